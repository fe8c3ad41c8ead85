//! `--find` and `--sweep`: limits of connections are found exactly, and the curve, the sentence and the exit codes.
//!
//! How well a capacity is found depends on the machine; `cargo bench --bench load -- find` measures it.

use crate::fixed::{Above, Fixed};
use crate::network::in_own_network;
use crate::output::lines_of;
use crate::run::{Output, Running, echoloop, load};
use crate::schema::assert_valid;
use crate::servers::{Fate, serve_some};
use echoloop::load::{Find, Quantity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The timeout of a condition; only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server that holds this many connections.
fn limited(limit: usize, above: Above) -> String {
    let service = Duration::ZERO;
    let server = Fixed {
        service,
        limit,
        above,
    };
    server.start().to_string()
}

fn unlimited() -> String {
    limited(usize::MAX, Above::Reset)
}

#[track_caller]
fn found(output: &Output) -> Find {
    assert_valid("result", &output.stdout);
    let find = output.result().find;
    find.unwrap_or_else(|| panic!("nothing found: {output:#?}"))
}

/// All steps up to the best value are met, possibly at the second time; none above it is.
#[track_caller]
fn assert_monotone(find: &Find) {
    let best = find.best.unwrap_or(0);
    let mut last = 0;
    for step in &find.steps {
        assert!(step.value >= last, "by value: {find:#?}");
        last = step.value;
        assert!(!step.met || step.value <= best, "{find:#?}");
    }
    let met = |value: u64| {
        find.steps
            .iter()
            .any(|step| step.value == value && step.met)
    };
    assert!(find.best.is_none_or(met), "{find:#?}");
    assert!(
        find.next.is_none_or(|next| next > best && !met(next)),
        "{find:#?}"
    );
}

#[test]
fn limit_of_700_connections_is_found_exactly() {
    let server = limited(700, Above::Reset);
    let output = load(&[&server, "--find", "idle", "--step", "100ms", "-o", "json"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let find = found(&output);
    assert_eq!(
        (find.best, find.next),
        (Some(700), Some(701)),
        "{output:#?}"
    );
    assert_eq!((find.what, find.condition.clone()), (Quantity::Idle, None));
    // It fails, or is lost if the reset arrives late.
    let sentence = &find.sentence;
    let expected = "700 idle connections; at 701 1 connection ";
    assert!(sentence.starts_with(expected), "{sentence}");
    assert_monotone(&find);
    assert!(
        find.steps.iter().all(|step| step.p99_us.is_none()),
        "{find:#?}"
    );
    let result = output.result();
    assert_eq!(
        result.connections.opened, 700,
        "the best step's: {result:#?}"
    );
    assert_eq!(result.probe.alive, 700, "{result:#?}");
    let lines = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("idle "));
    assert_eq!(
        lines.count(),
        find.steps.len(),
        "a line per step: {output:#?}"
    );
}

/// The number of connections to or from a port that are in `TIME_WAIT` (proc(5), /proc/net/tcp).
fn in_time_wait(port: &str) -> usize {
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_waiting = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        let addresses = [columns.next(), columns.next()];
        let is_of_port = addresses
            .into_iter()
            .flatten()
            .any(|at| at.ends_with(&port));
        is_of_port && columns.next() == Some("06")
    };
    table.lines().filter(is_waiting).count()
}

#[test]
fn steps_leave_no_connection_in_time_wait() {
    in_own_network("find::steps_leave_no_connection_in_time_wait", || {
        let server = limited(120, Above::Reset);
        let (_, port) = server.rsplit_once(':').unwrap();
        let output = load(&[&server, "--find", "idle", "--step", "100ms"]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(in_time_wait(port), 0);
        // A load without a search closes with FIN.
        let idle = ["--idle", "5", "--duration", "100ms", "--warmup", "0"];
        load(&[&[server.as_str()], &idle[..]].concat());
        let start = Instant::now();
        while in_time_wait(port) < 5 {
            assert!(start.elapsed() < TIMEOUT, "{}", in_time_wait(port));
            thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn limit_of_active_connections_is_found_exactly() {
    let server = limited(37, Above::Reset);
    let arguments = ["--find", "active", "--rate", "500", "--step", "100ms"];
    let output = load(&[&[&server, "-o", "json"], &arguments[..]].concat());
    let find = found(&output);
    assert_eq!((find.best, find.next), (Some(37), Some(38)), "{output:#?}");
    assert_monotone(&find);
}

#[test]
fn limit_of_a_server_that_stops_accepting_is_found_exactly() {
    let server = limited(30, Above::Queued);
    let arguments = [
        "--find",
        "idle",
        "--step",
        "100ms",
        "--connect-timeout",
        "1s",
    ];
    let output = load(&[&[&server, "-o", "json"], &arguments[..]].concat());
    let find = found(&output);
    assert_eq!((find.best, find.next), (Some(30), Some(31)), "{output:#?}");
    assert_eq!(
        find.sentence,
        "30 idle connections; at 31 1 idle connection does not answer its probe"
    );
}

#[test]
fn rate_found_is_not_above_the_capacity() {
    let server = Fixed {
        service: Duration::from_millis(1),
        limit: 100,
        above: Above::Reset,
    };
    let server = server.start().to_string();
    let arguments = ["--find", "rate", "--active", "4", "--step", "300ms"];
    let output = load(&[&[&server, "-o", "json"], &arguments[..]].concat());
    let find = found(&output);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_monotone(&find);
    // The rate may be missed by 2 %, and a reply of the warm-up may count.
    assert!(find.best.unwrap() <= 1050, "{find:#?}");
    assert!(find.next.is_some(), "{find:#?}");
}

#[test]
fn text_is_the_sentence_the_curve_and_the_best_step() {
    let server = limited(20, Above::Reset);
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (saved, page) = (of("best.json"), of("best.html"));
    let arguments = ["--find", "idle", "--active", "2", "--step", "100ms"];
    let files = ["--save", &saved, "--report", &page];
    let output = load(&[&[server.as_str()], &arguments[..], &files[..]].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let text = &output.stdout;
    let sentence = "18 idle connections; at 19 1 connection ";
    assert!(text.starts_with(sentence), "{text}");
    let (curve, step) = text.split_once("The step at 18 idle connections:").unwrap();
    assert!(curve.lines().all(|line| line.len() <= 80), "{text}");
    assert!(curve.lines().any(|line| line.contains(" best ")), "{text}");
    assert!(step.contains("20 requested, 20 established"), "{text}");
    assert_valid("saved", &fs::read_to_string(&saved).unwrap());
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.contains("18 idle connections; at 19"), "{page}");
    assert!(page.contains("find-times") && page.contains("find-rates"));
    let report = Running::start(echoloop(&["report", &saved])).finish();
    assert!(report.stdout.starts_with(sentence), "{report:#?}");
}

#[test]
fn condition_that_is_never_met_is_exit_code_3() {
    let server = unlimited();
    let arguments = ["--find", "rate", "--while", "p99<1ns", "--step", "100ms"];
    let output = load(&[&[&server, "-o", "json"], &arguments[..]].concat());
    assert_eq!(output.code, Some(3), "{output:#?}");
    let find = found(&output);
    assert_eq!((find.best, find.next), (None, Some(1)));
    let sentence = &find.sentence;
    assert!(
        sentence.starts_with("not even 1/s with p99 < 1 ns: "),
        "{sentence}"
    );
}

#[test]
fn expectations_are_of_the_best_step() {
    let server = limited(20, Above::Reset);
    let of = |expect: &str| {
        let arguments = ["--find", "idle", "--step", "100ms", "-o", "json"];
        load(&[&[&server, "--expect", expect], &arguments[..]].concat())
    };
    let met = of("failed=0");
    assert_eq!(met.code, Some(0), "{met:#?}");
    assert!(met.result().expect[0].met);
    let missed = of("failed>0");
    assert_eq!(missed.code, Some(3), "{missed:#?}");
}

#[test]
fn sweep_is_a_line_per_step_in_jsonl() {
    let server = limited(20, Above::Reset);
    let output = load(&[
        &server,
        "--sweep",
        "idle=0..40:3",
        "--active",
        "1",
        "--step",
        "100ms",
        "-o",
        "jsonl",
    ]);
    assert_eq!(
        output.code,
        Some(0),
        "a sweep has no threshold: {output:#?}"
    );
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{output:#?}");
    assert_valid("start", lines[0]);
    let steps = lines[1..4]
        .iter()
        .map(|line| assert_valid("step_record", line));
    let steps: Vec<(u64, bool)> = steps
        .map(|step| {
            (
                step["value"].as_u64().unwrap(),
                step["met"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(steps, [(0, true), (20, false), (40, false)]);
    let end = assert_valid("end", lines[4]);
    assert_eq!(
        (&end["find"]["best"], &end["find"]["next"]),
        (&0.into(), &20.into())
    );
}

#[test]
fn signal_ends_the_search_with_what_is_known() {
    let server = unlimited();
    let mut search = Running::start(echoloop(&[
        "load", &server, "--find", "idle", "--step", "200ms", "-o", "json",
    ]));
    let progress = lines_of(&mut search);
    let first = progress.recv_timeout(TIMEOUT).unwrap();
    assert!(first.ends_with("  met"), "{first}");
    let pid = Pid::from_raw(search.process.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let mut stdout = search.process.stdout.take().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
    assert_eq!(search.process.wait().unwrap().code(), Some(0));
    let result: echoloop::load::LoadResult = serde_json::from_str(&text).unwrap();
    let find = result.find.unwrap();
    assert!(find.best >= Some(100), "{find:#?}");
    assert!(find.sentence.starts_with("at least "), "{find:#?}");
    assert!(
        find.sentence.ends_with("(interrupted by a signal)"),
        "{find:#?}"
    );
}

#[test]
fn server_that_stops_listening_ends_the_search() {
    let server = serve_some(150, |_| Fate::Answered).to_string();
    let output = load(&[&server, "--find", "idle", "--step", "100ms", "-o", "json"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let sentence = found(&output).sentence;
    assert!(
        sentence.starts_with("100 idle connections; at 200 ")
            && sentence.ends_with("(then the server accepted no connection)"),
        "{sentence}"
    );
}

#[test]
fn server_without_a_listener_is_exit_code_1() {
    let output = load(&["127.0.0.94:1", "--find", "idle", "-o", "json"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output.stderr.contains("cannot open any connection"),
        "{output:#?}"
    );
}

#[test]
fn wrong_usage_of_a_search_is_exit_code_2() {
    for (arguments, words) in [
        (&["--find", "speed"][..], "write rate, active or idle"),
        (&["--find", "rate", "--rate", "5"], "leave --rate out"),
        (&["--find", "idle", "--idle", "5"], "leave --idle out"),
        (&["--find", "active", "--active", "5"], "leave --active out"),
        (&["--find", "rate", "--active", "0"], "--active 50"),
        (&["--find", "rate", "--duration", "5s"], "--duration"),
        (&["--find", "rate", "--jobs", "2"], "--jobs"),
        (&["--find", "rate", "--sweep", "rate=1..2"], "--sweep"),
        (&["--find", "idle", "--while", "p99<5ms"], "--active 10"),
        (
            &["--find", "idle", "--bind", "127.0.0.1:7"],
            "port of --bind",
        ),
        (&["--sweep", "rate=2..1"], "at most HIGH"),
        (&["--while", "p99<5ms"], "--while is for --find"),
        (&["--step", "1s"], "--step is for --find"),
    ] {
        let output = load(&[&["127.0.0.1:9"], arguments].concat());
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:#?}");
        assert!(output.stderr.contains(words), "{words}: {output:#?}");
        assert_eq!(output.stdout, "", "{arguments:?}");
    }
}
