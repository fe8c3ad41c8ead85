//! `--jobs`: an exact split, a common start, one merged result.

use crate::run::{Output, Running, echoloop, load};
use crate::servers::{Fate, SIZE, serve};
use echoloop::load::{LoadResult, Memory, Part, Saved};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// The timeout of a condition; only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a load to its end and returns its output with the saved file.
#[track_caller]
fn saved(arguments: &[&str]) -> (Output, Saved) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saved.json");
    let save = ["--save", path.to_str().unwrap()];
    let output = load(&[arguments, &save].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let saved = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    (output, saved)
}

fn each<T>(parts: &[Part], pick: impl Fn(&Part) -> T) -> Vec<T> {
    parts.iter().map(pick).collect()
}

/// A figure of all parts, added up.
fn total(parts: &[Part], pick: impl Fn(&LoadResult) -> u64) -> u64 {
    parts.iter().map(|part| pick(&part.result)).sum()
}

fn sorted<T: PartialOrd>(mut all: Vec<T>) -> Vec<T> {
    all.sort_by(|one, other| other.partial_cmp(one).unwrap());
    all
}

#[test]
fn load_is_split_exactly_and_the_result_is_the_sum() {
    let (output, saved) = saved(&[
        "--jobs",
        "3",
        "--idle",
        "100",
        "--active",
        "10",
        "--rate",
        "1000",
        "--probe",
        "50",
        "--duration",
        "1s",
        "--warmup",
        "200ms",
        "-o",
        "json",
    ]);
    let (result, parts) = (&saved.result, &saved.parts);
    assert_eq!(parts.len(), 3);
    let of = |pick: fn(&Part) -> u64| sorted(each(parts, pick));
    assert_eq!(of(|part| part.configuration.idle), [34, 33, 33]);
    assert_eq!(of(|part| part.configuration.active), [4, 3, 3]);
    assert_eq!(of(|part| part.result.probe.asked), [17, 17, 16]);
    assert_eq!(of(|part| part.result.echo.due), [400, 300, 300]);
    let rates = each(parts, |part| part.configuration.rate.unwrap());
    assert_eq!(sorted(rates), [400.0, 300.0, 300.0]);
    assert_eq!(
        (saved.configuration.idle, saved.configuration.active),
        (100, 10)
    );
    assert_eq!(saved.configuration.rate, Some(1000.0));

    let counts = &result.connections;
    assert_eq!((counts.asked, counts.opened, counts.lost), (110, 110, 0));
    assert_eq!(result.echo.due, 1000);
    assert_eq!(
        result.echo.received,
        total(parts, |part| part.echo.received)
    );
    assert_eq!(
        result.echo.response_time_us.count,
        result.echo.received + result.echo.outstanding
    );
    assert_eq!((result.probe.asked, result.probe.alive), (50, 50));
    let cpu: f64 = parts
        .iter()
        .map(|part| part.result.generator.cpu_percent)
        .sum();
    assert!(
        (result.generator.cpu_percent - cpu).abs() < 1e-9,
        "{result:#?}"
    );
    let per_second: f64 = parts.iter().map(|part| part.result.echo.per_second).sum();
    assert!(
        (result.echo.per_second - per_second).abs() < 1e-6,
        "{result:#?}"
    );
    let slowest = parts
        .iter()
        .map(|part| part.result.echo.response_time_us.max);
    assert_eq!(Some(result.echo.response_time_us.max), slowest.max());
    // All parts are measured at the same time.
    assert!(
        parts
            .iter()
            .all(|part| part.result.started == result.started)
    );
    assert!((result.seconds - 1.0).abs() < 1e-9, "{}", result.seconds);
    assert_eq!(result.intervals.len(), 1);
    assert_eq!(result.intervals[0].asked, 1000);
    assert_eq!(result.intervals[0].held, 110);

    let server = result.server.as_ref().unwrap();
    assert!(server.rss_bytes > server.rss_before_bytes, "{server:?}");
    assert!(server.rss_after_bytes > 0, "{server:?}");
    assert_eq!((server.processes, server.memory), (1, Memory::Rss));
    assert!(
        saved.command.contains(&"--jobs".to_owned()),
        "{:?}",
        saved.command
    );
    // Stdout has the merged result only, and stderr one line for the second.
    assert_eq!(&output.result(), result);
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
    assert!(output.stderr.contains("110 held"), "{output:#?}");
}

#[test]
fn json_lines_are_the_sums_of_each_second() {
    let output = load(&[
        "--jobs",
        "2",
        "--active",
        "3",
        "--rate",
        "600",
        "--duration",
        "2s",
        "--warmup",
        "0",
        "-o",
        "jsonl",
    ]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let lines: Vec<serde_json::Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: Vec<_> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["start", "interval", "interval", "end"]);
    assert_eq!(lines[0]["configuration"]["rate"], 600.0);
    for line in &lines[1..3] {
        // A message due at the end of a second counts before or after it.
        let asked = line["asked"].as_u64().unwrap();
        assert!((598..=602).contains(&asked), "{line}");
        assert_eq!(line["held"], 3, "{line}");
    }
    // The last message is due shortly before the end, and may be sent after it.
    let figure = |name: &str| lines[3]["echo"][name].as_u64().unwrap();
    let answered = figure("received") + figure("outstanding");
    let counts = (figure("due"), answered, figure("unanswered"));
    assert_eq!(counts, (1200, 1200, 0), "{}", lines[3]);
    for (line, second) in lines[1..3]
        .iter()
        .zip(lines[3]["intervals"].as_array().unwrap())
    {
        for figure in [
            "at", "echoes", "asked", "p50_us", "p99_us", "max_us", "held", "lost",
        ] {
            assert_eq!(line[figure], second[figure], "{figure}: {line} {second}");
        }
    }
}

#[test]
fn reply_to_another_part_is_detected() {
    let latest: Mutex<[Option<[u8; SIZE]>; 2]> = Mutex::default();
    let address = serve(move |message| {
        let mut latest = latest.lock().unwrap();
        latest[message.connection] = Some(*message.bytes);
        if let Some(other) = latest[1 - message.connection] {
            *message.bytes = other;
        }
        Fate::Answered
    });
    let output = load(&[
        &address.to_string(),
        "--jobs",
        "2",
        "--active",
        "2",
        "--duration",
        "300ms",
        "--warmup",
        "0",
        "-o",
        "json",
    ]);
    let result = output.result();
    assert!(result.echo.mismatched > 0, "{result:#?}");
    let warnings = result.warnings.join("\n");
    assert!(warnings.contains("of another connection"), "{warnings}");
}

fn pid_of(load: &Running) -> Pid {
    Pid::from_raw(load.process.id().try_into().unwrap())
}

/// The child processes of a load, once there are `count` of them.
fn children_of(load: &Running, count: usize) -> Vec<Pid> {
    let pid = load.process.id();
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children = text
            .split_whitespace()
            .map(|pid| Pid::from_raw(pid.parse().unwrap()));
        let children: Vec<Pid> = children.collect();
        if children.len() == count {
            return children;
        }
        assert!(start.elapsed() < TIMEOUT, "{children:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_running(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn endless(target: &str, more: &[&str]) -> Running {
    let arguments = [
        "load",
        target,
        "--jobs",
        "3",
        "--duration",
        "1h",
        "-o",
        "json",
    ];
    Running::start(echoloop(&[&arguments, more].concat()))
}

fn echoing_server() -> String {
    serve(|_| Fate::Answered).to_string()
}

#[test]
fn killed_part_is_named_and_the_others_are_ended() {
    let mut load = endless(&echoing_server(), &["--idle", "30", "--active", "3"]);
    load.wait_for_the_first_second();
    let children = children_of(&load, 3);
    kill(children[1], Signal::SIGKILL).unwrap();
    let output = load.finish();
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.stdout, "");
    let last = output.stderr.lines().last().unwrap();
    let named = format!(
        "(process {}) has failed: it was killed by signal 9 (SIGKILL)",
        children[1]
    );
    assert!(
        last.contains("part ") && last.contains(" of 3 ") && last.contains(&named),
        "{last}"
    );
    assert!(
        !children.into_iter().any(is_running),
        "the load waits for all"
    );
}

#[test]
fn parts_end_if_the_load_is_killed() {
    let mut load = endless(&echoing_server(), &["--active", "3"]);
    load.wait_for_the_first_second();
    let children = children_of(&load, 3);
    kill(pid_of(&load), Signal::SIGKILL).unwrap();
    load.finish();
    let start = Instant::now();
    while children.iter().copied().any(is_running) {
        assert!(start.elapsed() < TIMEOUT, "{children:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn sigint_ends_all_parts_with_one_merged_result() {
    let mut load = endless(&echoing_server(), &["--idle", "30", "--active", "3"]);
    load.wait_for_the_first_second();
    let children = children_of(&load, 3);
    kill(pid_of(&load), Signal::SIGINT).unwrap();
    let output = load.finish();
    let result = output.result();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!((1.0..600.0).contains(&result.seconds), "{result:#?}");
    assert!(result.echo.received > 0 && result.echo.unanswered == 0);
    assert_eq!((result.probe.asked, result.probe.alive), (30, 30));
    let warnings = result.warnings.join("\n");
    assert!(warnings.contains("3 of 3 loads"), "{warnings}");
    assert!(warnings.contains("interrupted by a signal"), "{warnings}");
    assert!(!children.into_iter().any(is_running));
}

#[test]
fn sigint_before_the_common_start_gives_a_result_without_a_measured_part() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    // The first connection of each part comes at once, the second after ten seconds.
    let flags = ["--idle", "300", "--ramp", "0.3", "--probe", "off"];
    let load = endless(&target, &flags);
    let accepted: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
    let sources: HashSet<_> = accepted.iter().map(|(_, peer)| peer.ip()).collect();
    assert_eq!(sources.len(), 3, "each part has an address: {sources:?}");
    kill(pid_of(&load), Signal::SIGINT).unwrap();
    let output = load.finish();
    assert_eq!(output.code, Some(0), "{output:#?}");
    let result = output.result();
    assert_eq!(result.connections.opened, 3, "{result:#?}");
    assert!(result.seconds.abs() < 1e-9, "{result:#?}");
    let warnings = result.warnings.join("\n");
    assert!(warnings.contains("interrupted by a signal"), "{warnings}");
}

#[test]
fn sigint_right_after_the_start_kills_no_part() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let load = endless(
        &target,
        &["--idle", "300", "--ramp", "0.3", "--probe", "off"],
    );
    children_of(&load, 3);
    kill(pid_of(&load), Signal::SIGINT).unwrap();
    let output = load.finish();
    // Whether a connection was established by then is not determined.
    assert!(matches!(output.code, Some(0 | 1)), "{output:#?}");
    assert!(!output.stderr.contains("has failed"), "{output:#?}");
    assert_eq!(output.result().connections.asked, 300);
}

#[test]
fn refused_connects_of_all_parts_fail_with_one_line() {
    // An address without a listener.
    let output = load(&["127.0.0.93:1", "--jobs", "2", "--active", "4", "-o", "json"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
}

#[test]
fn wrong_number_of_jobs_is_exit_code_2() {
    for (flags, words) in [
        (&["--jobs", "0"][..], "1 to 1024"),
        (&["--jobs", "many"], "auto"),
        (&["--jobs", "3", "--active", "2"], "ask for at most 2"),
    ] {
        let output = load(flags);
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains(words), "{output:#?}");
    }
    let one = load(&[
        "--jobs",
        "auto",
        "--active",
        "1",
        "--duration",
        "10ms",
        "--warmup",
        "0",
    ]);
    assert_eq!(one.code, Some(0), "{one:#?}");
}
