//! `--part`: the exact share of a load that one of several processes runs; `--save -`: its result as one line.

use crate::run::{Output, Running, echoloop, load};
use crate::schema::assert_valid;
use crate::servers::{Fate, serve};
use crate::tools::run_within;
use echoloop::load::{Distribution, LoadResult, PartNumber, Saved, WallTime};
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The variables that `--part auto` reads.
const VARIABLES: [&str; 4] = [
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "JOB_COMPLETION_INDEX",
    "ECHOLOOP_PARTS",
];

/// A common start: late enough for processes on a busy machine.
pub(crate) fn start() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (WallTime(now) + Duration::from_secs(3)).to_string()
}

/// The result in a line of `--save -`.
#[track_caller]
pub(crate) fn saved_line(line: &str) -> Saved {
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
    assert_valid("saved", line);
    serde_json::from_str(line).unwrap()
}

#[track_caller]
fn saved(output: &Output) -> Saved {
    assert_eq!(output.code, Some(0), "{output:#?}");
    saved_line(&output.stdout)
}

/// Runs `echoloop report` on these lines, and returns its exit code, stdout and stderr.
pub(crate) fn report(lines: &str, flags: &[&str]) -> (Option<i32>, String, String) {
    let command = echoloop(&[&["report", "-"], flags].concat());
    let output = run_within(Duration::from_secs(60), command, lines.as_bytes());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Checks that these are all parts of one load of 100 idle and 10 active connections, 1,000 messages per second and
/// 50 probes for 2 s; and that `merged` is their sum.
#[track_caller]
pub(crate) fn assert_whole(parts: &[Saved], merged: &LoadResult) {
    let sum = |pick: fn(&Saved) -> u64| parts.iter().map(pick).sum::<u64>();
    assert_eq!(sum(|part| part.configuration.idle), 100);
    assert_eq!(sum(|part| part.configuration.active), 10);
    let rates = parts.iter().map(|part| part.configuration.rate.unwrap());
    let rate: f64 = rates.sum();
    assert!((rate - 1000.0).abs() < 1e-9, "{rate}");
    assert_eq!(sum(|part| part.result.echo.due), 2000);
    let counts = &merged.connections;
    assert_eq!((counts.asked, counts.opened, counts.lost), (110, 110, 0));
    assert_eq!((merged.echo.due, merged.echo.mismatched), (2000, 0));
    assert_eq!((merged.probe.asked, merged.probe.alive), (50, 50));
    assert_eq!(merged.echo.received, sum(|part| part.result.echo.received));
    let mut times = Distribution::new();
    for part in parts {
        times.add(&part.histograms.response_us);
    }
    assert_eq!(merged.echo.response_time_us, times.summary());
}

/// The flags of the load that [`assert_whole`] expects.
pub(crate) const WHOLE: [&str; 12] = [
    "--idle",
    "100",
    "--active",
    "10",
    "--rate",
    "1000",
    "--probe",
    "50",
    "--duration",
    "2s",
    "--warmup",
    "200ms",
];

fn echo_server() -> SocketAddr {
    serve(|_| Fate::Answered)
}

#[test]
fn parts_sum_to_the_load_and_report_merges_their_lines() {
    let (target, start) = (echo_server().to_string(), start());
    let part = |part: &str| {
        let fixed = ["load", &target, "--part", part, "--save", "-"];
        let start = ["--start-at", &start];
        Running::start(echoloop(&[&fixed[..], &start, &WHOLE].concat()))
    };
    let running = ["1/3", "2/3", "3/3"].map(part);
    let outputs = running.map(Running::finish);
    let parts: Vec<Saved> = outputs.iter().map(saved).collect();
    for (output, part) in outputs.iter().zip(&parts) {
        assert!(
            output.stderr.contains("\nresponse time"),
            "no text: {output:#?}"
        );
        let number = part.part.unwrap().number;
        let line = format!("\npart            {number} of 3\n");
        assert!(output.stderr.contains(&line), "no number: {output:#?}");
        let connections = part.configuration.idle + part.configuration.active;
        assert!((36..=37).contains(&connections), "{connections}");
    }
    let numbers = parts.iter().map(|part| part.part);
    assert!(numbers.eq((1..=3).map(|number| Some(PartNumber { number, of: 3 }))));
    let lines: Vec<&str> = outputs.iter().map(|output| &*output.stdout).collect();
    let (code, merged, stderr) = report(&lines.concat(), &["--parts", "3", "-o", "json"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_whole(&parts, &serde_json::from_str(&merged).unwrap());

    // The same without the second part, whose absence comes first.
    let (code, text, stderr) = report(&[lines[0], lines[2]].concat(), &[]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(text.starts_with("!! part 2 of 3 is missing"), "{text}");
    assert!(
        stderr.starts_with("echoloop: part 2 of 3 is missing"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn part_of_several_processes_is_one_part() {
    let target = echo_server().to_string();
    let short = ["--duration", "300ms", "--warmup", "0", "--save", "-"];
    let counts = ["--idle", "20", "--active", "5", "--rate", "100"];
    let fixed = [&target, "--part", "2/2", "--jobs", "2"];
    let saved = saved(&load(&[&fixed[..], &counts, &short].concat()));
    let number = Some(PartNumber { number: 2, of: 2 });
    assert_eq!(saved.part, number);
    assert_eq!(saved.parts.len(), 2);
    assert!(saved.parts.iter().all(|job| job.part == number));
    let idle: u64 = saved.parts.iter().map(|job| job.configuration.idle).sum();
    let active: u64 = saved.parts.iter().map(|job| job.configuration.active).sum();
    // The first part has the odd connection.
    assert_eq!((idle, active), (10, 2));
    assert_eq!(saved.result.connections.opened, 12);
    assert_eq!(saved.configuration.rate, Some(40.0));
}

/// Runs a load with `--part auto` and these variables.
fn automatic(variables: &[(&str, &str)]) -> Output {
    let target = echo_server().to_string();
    let short = ["--duration", "100ms", "--warmup", "0", "--save", "-"];
    let fixed = ["load", &target, "--part", "auto", "--active", "8"];
    let mut command = echoloop(&[&fixed[..], &short].concat());
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    Running::start(command).finish()
}

#[test]
fn automatic_part_is_that_of_the_environment() {
    for (index, count) in [
        ("SLURM_PROCID", "SLURM_NTASKS"),
        ("JOB_COMPLETION_INDEX", "ECHOLOOP_PARTS"),
    ] {
        let saved = saved(&automatic(&[(index, "3"), (count, "4")]));
        assert_eq!(saved.part, Some(PartNumber { number: 4, of: 4 }));
        assert_eq!(saved.result.connections.opened, 2);
    }
}

#[test]
fn automatic_part_without_its_variables_is_exit_code_2() {
    for (variables, word) in [
        (&[][..], "JOB_COMPLETION_INDEX and ECHOLOOP_PARTS"),
        (&[("SLURM_PROCID", "1")], "SLURM_NTASKS is not set"),
        (
            &[("SLURM_PROCID", "4"), ("SLURM_NTASKS", "4")],
            "SLURM_PROCID=\"4\"",
        ),
        (
            &[("JOB_COMPLETION_INDEX", "a"), ("ECHOLOOP_PARTS", "4")],
            "JOB_COMPLETION_INDEX=\"a\"",
        ),
    ] {
        let output = automatic(variables);
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        assert!(output.stderr.contains(word), "{output:#?}");
    }
}

#[test]
fn impossible_parts_are_exit_code_2() {
    for (flags, word) in [
        (&["--part", "0/4"][..], "1/4 to 4/4"),
        (&["--part", "2/3", "--active", "2"], "at most 2 parts"),
        (
            &["--part", "1/2", "--active", "5", "--jobs", "3"],
            "at most 2 in the smallest part",
        ),
        (&["--part", "1/2", "--find", "idle"], "--find"),
        (&["--part", "1/2", "--sweep", "idle=1..9"], "--sweep"),
        (&["--save", "-", "-o", "json"], "both write to stdout"),
        (&["--save", "-", "-o", "jsonl"], "both write to stdout"),
    ] {
        let output = load(flags);
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains(word), "{output:#?}");
    }
}

/// A short load that saves to stdout.
fn saving() -> Command {
    let short = ["--duration", "1s", "--warmup", "0", "--save", "-"];
    echoloop(&[&["load", "--active", "20"], &short[..]].concat())
}

#[test]
fn saved_line_is_one_write_with_the_memory_after_closing() {
    // A socket keeps the bounds of each write.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut command = saving();
    command.stdout(OwnedFd::from(theirs));
    let mut process = command.spawn().unwrap();
    // Its copy of the socket would keep this one open.
    drop(command);
    let mut line = vec![0; 1 << 20];
    let length = ours.recv(&mut line).unwrap();
    let saved = saved_line(std::str::from_utf8(&line[..length]).unwrap());
    assert!(saved.result.server.unwrap().rss_after_bytes > 0);
    let mut text = String::new();
    process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(process.wait().unwrap().success(), "{text}");
    assert!(text.contains("resident after all"), "{text}");
    ours.set_nonblocking(true).unwrap();
    assert!(ours.recv(&mut line).is_err(), "a second write");
}

#[test]
fn closed_stdout_loses_no_result_in_silence() {
    let mut command = saving();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(Stdio::from(writer));
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot save the result to stdout"),
        "{stderr}"
    );
}
