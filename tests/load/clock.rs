//! `--clock`: the time of a reference clock, on hosts whose clocks differ.
//!
//! What must hold on a busy machine, too: the offset is right within its uncertainty, no message is sent before the start
//! time, and the saved times are those of the reference clock. That both loads start within 5 ms needs a quiet moment:
//! there are several attempts.

use crate::hosts_file::refusing;
use crate::run::{Running, echoloop, load};
use crate::schema::assert_valid;
use crate::tools::{PATIENCE, have_tool, run};
use crate::two_hosts::{HERE, OTHER_NAME, OtherHost, arrivals, with_other_host};
use echoloop::load::{Clocks, LoadResult, Saved, WallTime, Warning};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// By how much the clock of the other host is behind, as faketime(1) takes it and in microseconds.
const BEHIND: (&str, f64) = ("-3s", 3e6);

/// The precision of libfaketime beside that of the measured offset, in microseconds.
const FAKETIME_PRECISION_US: f64 = 100.0;

/// Attempts at starting within 5 ms.
const ATTEMPTS: usize = 8;

/// `echoloop serve -p clock`, killed at the end of the test.
struct ClockServer {
    process: Child,
    address: SocketAddr,
}

impl ClockServer {
    fn start(host: &str, protocol: &str) -> ClockServer {
        let listen = format!("{host}:0");
        let mut serve = echoloop(&["serve", "-p", protocol, "-l", &listen]);
        let mut process = serve.stdout(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        log.read_line(&mut line).unwrap();
        let (_, rest) = line.split_once("listening on ").unwrap();
        let address = rest.split_whitespace().next().unwrap().parse().unwrap();
        ClockServer { process, address }
    }
}

impl Drop for ClockServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Replaces a command by one whose wall clock is behind, but not its monotonic clock.
fn behind(mut command: Command, program: &str, arguments: &[String]) -> Command {
    command
        .args(["--exclude-monotonic", "-f", BEHIND.0, program])
        .args(arguments)
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn load_behind(arguments: &[String]) -> Running {
    let program = env!("CARGO_BIN_EXE_echoloop");
    Running::start(behind(Command::new("faketime"), program, arguments))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn now() -> WallTime {
    WallTime(SystemTime::UNIX_EPOCH.elapsed().unwrap())
}

fn saved(path: &str) -> Saved {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn faketime_leaves_the_monotonic_clock_alone() {
    if !have_tool("faketime") || !have_tool("python3") {
        return;
    }
    let script = "import time; print(time.time(), time.monotonic())";
    let read = |mut command: Command| -> Vec<f64> {
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        words(&text)
            .iter()
            .map(|time| time.parse().unwrap())
            .collect()
    };
    let mut plain = Command::new("python3");
    plain.args(["-c", script]);
    let arguments = ["-c".to_owned(), script.to_owned()];
    let faked = behind(Command::new("faketime"), "python3", &arguments);
    let (plain, faked) = (read(plain), read(faked));
    // The second one runs later.
    assert!(faked[1] >= plain[1], "monotonic: {plain:?} {faked:?}");
    let shifted = (faked[0] - plain[0]) - (faked[1] - plain[1]);
    assert!((shifted + 3.0).abs() < 1.0, "wall: {plain:?} {faked:?}");
}

/// The offset is right, and everything that is saved is in the time of the reference clock.
#[test]
fn offset_is_right_within_its_uncertainty() {
    if !have_tool("faketime") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let clock = ClockServer::start("127.0.0.1", "clock");
    for jobs in ["", "--jobs 2"] {
        let path = folder.path().join("run.json");
        let path = path.to_str().unwrap();
        let before = now();
        let line = format!(
            "load -c 2 -d 300ms --warmup 0 {jobs} --start-at +300ms --clock {} -o json --save {path}",
            clock.address
        );
        let output = load_behind(&words(&line)).finish();
        let after = now();
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_valid("result", &output.stdout);
        assert_valid("saved", &fs::read_to_string(path).unwrap());
        let saved = saved(path);
        let results = saved.parts.iter().map(|part| &part.result);
        let results: Vec<&LoadResult> = results.chain([&saved.result]).collect();
        assert_eq!(results.len(), if jobs.is_empty() { 1 } else { 3 });
        for result in results {
            let reading = result.clock.as_ref().unwrap();
            assert_eq!(reading.server, clock.address.to_string());
            let error = (reading.offset_us - BEHIND.1).abs();
            let allowed = reading.uncertainty_us + FAKETIME_PRECISION_US;
            assert!(error <= allowed, "{reading:?}");
            // By the reference clock. Saved times have whole milliseconds, cut off.
            let started: WallTime = result.started.parse().unwrap();
            assert!(
                before < started && started < after,
                "{before} {started} {after}"
            );
        }
        let begun: WallTime = saved.begun.parse().unwrap();
        let slack = Duration::from_millis(2);
        assert!(
            before < begun + slack && begun < after,
            "{before} {begun} {after}"
        );
        let ended: WallTime = saved.ended.parse().unwrap();
        assert!(ended < after + slack, "{ended} {after}");
    }
}

#[test]
fn text_shows_the_clock() {
    let clock = ClockServer::start("127.0.0.1", "clock");
    let address = clock.address.to_string();
    let output = load(&[
        "-c", "1", "-d", "100ms", "--warmup", "0", "--clock", &address,
    ]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let line = output
        .stdout
        .lines()
        .find(|line| line.starts_with("clock "));
    let line = line.unwrap_or_else(|| panic!("no clock in {}", output.stdout));
    assert!(line.contains(&address) && line.contains("within"), "{line}");
    assert!(
        output.stdout.lines().all(|line| line.len() <= 80),
        "{output:#?}"
    );
}

/// A server that accepts, applies `act` to the connection, and keeps it until the client closes it.
fn serve(act: fn(&mut TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            act(&mut stream);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn server_that_is_no_clock_is_an_error_of_one_line() {
    let echo = ClockServer::start("127.0.0.1", "raw");
    let lines = ClockServer::start("127.0.0.1", "line");
    let refusing = refusing("127.0.0.1:0").unwrap();
    let closed = refusing.local_addr().unwrap().as_socket().unwrap();
    let cases = [
        (echo.address, "it echoes the request"),
        (lines.address, "no reply within 500ms"),
        (closed, "--clock 127.0.0.1:"),
        (
            serve(|stream| stream.shutdown(Shutdown::Both).unwrap()),
            "closed the connection",
        ),
        (
            serve(|stream| {
                stream.read_exact(&mut [0; 8]).unwrap();
                stream.write_all(b"HTTP/1.1 400 Bad Request").unwrap();
            }),
            "longer than 8 bytes",
        ),
        (
            serve(|stream| {
                for byte in [2, 1] {
                    let _ = stream.read_exact(&mut [0; 8]);
                    let _ = stream.write_all(&[byte; 8]);
                }
            }),
            "not increasing",
        ),
    ];
    for (address, reason) in cases {
        let limit = if address == lines.address {
            "500ms"
        } else {
            "20s"
        };
        let address = address.to_string();
        let limit = ["--connect-timeout", limit, "-d", "100ms"];
        let output = load(&[&limit[..], &["--clock", &address]].concat());
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stdout.is_empty(), "{output:#?}");
        let lines: Vec<&str> = output.stderr.lines().collect();
        let [line] = lines[..] else {
            panic!("not one line: {output:#?}");
        };
        assert!(line.contains(&address) && line.contains(reason), "{line}");
    }
}

#[test]
fn clock_of_a_search_is_a_usage_error() {
    let output = load(&["--find", "rate", "--clock", "127.0.0.1:9"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
}

/// Runs a load on this host and one on the other, whose clock is behind, each with these further flags; returns the
/// merged result.
fn both(
    other: &OtherHost,
    target: SocketAddr,
    folder: &TempDir,
    [here, there]: [&str; 2],
) -> LoadResult {
    let paths = ["here.json", "there.json"].map(|name| folder.path().join(name));
    let line = |flags: &str, path: &std::path::Path| {
        let path = path.display();
        let fixed = "-q -c 1 --rate 20 -d 1s --warmup 0 --save";
        words(&format!("load {target} {fixed} {path} {flags}"))
    };
    let program = env!("CARGO_BIN_EXE_echoloop");
    let there = line(there, &paths[1]);
    let there = Running::start(behind(other.command("faketime"), program, &there));
    let here = line(here, &paths[0]);
    let here: Vec<&str> = here.iter().map(String::as_str).collect();
    let here = Running::start(echoloop(&here));
    for output in [here.finish(), there.finish()] {
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    assert_eq!(saved(paths[1].to_str().unwrap()).host, OTHER_NAME);
    let [one, two] = paths.each_ref().map(|path| path.to_str().unwrap());
    let merged = run(echoloop(&["report", one, two, "-o", "json"]), b"");
    assert_eq!(merged.status.code(), Some(0), "{merged:?}");
    let text = String::from_utf8(merged.stdout).unwrap();
    assert_valid("result", &text);
    serde_json::from_str(&text).unwrap()
}

/// The warnings about clocks and the time measured together; a busy machine causes others.
fn of_clocks(result: &LoadResult) -> Vec<&Warning> {
    let is_of_clocks = |warning: &&Warning| {
        matches!(
            warning,
            Warning::ClocksNotCompared(_) | Warning::PartialOverlap(..)
        )
    };
    result.warning_details.iter().filter(is_of_clocks).collect()
}

/// Whether a load was not connected at its start time: the machine is too busy.
fn is_late(result: &LoadResult) -> bool {
    let mut warnings = result.warning_details.iter();
    warnings.any(|warning| matches!(warning, Warning::LateStart(_)))
}

#[track_caller]
fn assert_has_warning(result: &LoadResult, expected: &str) {
    let mut texts = result.warnings.iter();
    assert!(texts.any(|text| text.contains(expected)), "{result:#?}");
}

/// Whether the merged loads were measured together for this long, within 5 ms.
#[track_caller]
fn assert_together(result: &LoadResult, seconds: f64) {
    let together = result.together.as_ref().unwrap();
    assert_eq!((together.hosts, together.clocks), (2, Clocks::Compared));
    assert!((together.seconds - seconds).abs() <= 0.005, "{together:?}");
}

#[test]
fn hosts_with_different_clocks_start_together() {
    if !have_tool("faketime") {
        return;
    }
    with_other_host(
        "clock::hosts_with_different_clocks_start_together",
        |other| {
            let folder = TempDir::new().unwrap();
            let clock = ClockServer::start(HERE, "clock");
            let (target, arrivals) = arrivals();
            let mut distances = Vec::new();
            for _ in 0..ATTEMPTS {
                let start = now() + Duration::from_secs(2);
                let flags = format!("--start-at {start} --clock {}", clock.address);
                let merged = both(other, target, &folder, [&flags, &flags]);
                if !is_late(&merged) {
                    assert!(of_clocks(&merged).is_empty(), "{:?}", merged.warnings);
                    assert_together(&merged, 1.0);
                }
                let arrived = [(); 2].map(|()| arrivals.recv_timeout(PATIENCE).unwrap().1);
                let error = merged.together.unwrap().uncertainty_us.unwrap();
                // The start time has whole milliseconds, cut off.
                let error = Duration::from_millis(1)
                    + Duration::from_secs_f64((error + FAKETIME_PRECISION_US) / 1e6);
                let is_early = |at: &Duration| *at + error < start.0;
                assert!(!arrived.iter().any(is_early), "{start}: {arrived:?}");
                let distance = arrived[0].abs_diff(arrived[1]);
                let late = arrived[0].max(arrived[1]).saturating_sub(start.0);
                if distance.max(late) <= Duration::from_millis(5) {
                    return;
                }
                distances.push((distance, late));
            }
            panic!("never within 5 ms of each other and of the start time: {distances:?}");
        },
    );
}

#[test]
fn overlap_of_hosts_with_different_clocks_is_right() {
    if !have_tool("faketime") {
        return;
    }
    with_other_host(
        "clock::overlap_of_hosts_with_different_clocks_is_right",
        |other| {
            let folder = TempDir::new().unwrap();
            let clock = ClockServer::start(HERE, "clock");
            let (target, _arrivals) = arrivals();
            let start = now() + Duration::from_secs(3);
            let flags = [start, start + Duration::from_millis(600)]
                .map(|start| format!("--start-at {start} --clock {}", clock.address));
            let merged = both(other, target, &folder, flags.each_ref().map(String::as_str));
            assert_together(&merged, 0.4);
            let [&Warning::PartialOverlap(shared, whole, longest)] = of_clocks(&merged)[..] else {
                panic!("{:?}", merged.warning_details);
            };
            for (found, expected) in [(shared, 400), (whole, 1_600), (longest, 1_000)] {
                assert!(found.abs_diff(expected) <= 5, "{:?}", merged.warnings);
            }
            assert_has_warning(&merged, "measured together for 0.4 of 1.0 s");
        },
    );
}

#[test]
fn clocks_of_two_hosts_without_a_reference_are_not_compared() {
    if !have_tool("faketime") {
        return;
    }
    with_other_host(
        "clock::clocks_of_two_hosts_without_a_reference_are_not_compared",
        |other| {
            let folder = TempDir::new().unwrap();
            let (target, arrivals) = arrivals();
            // The other host reaches this time three seconds later.
            let flags = format!("--start-at {}", now() + Duration::from_secs(3));
            let merged = both(other, target, &folder, [&flags, &flags]);
            let arrived = [(); 2].map(|()| arrivals.recv_timeout(PATIENCE).unwrap().1);
            assert!(arrived[0].abs_diff(arrived[1]) > Duration::from_secs(2));
            assert_eq!(of_clocks(&merged), [&Warning::ClocksNotCompared(2)]);
            assert_has_warning(&merged, "clocks were not compared");
            let together = merged.together.unwrap();
            assert_eq!((together.hosts, together.clocks), (2, Clocks::NotCompared));
        },
    );
}
