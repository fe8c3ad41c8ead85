//! The end of a load: at its duration, by a signal, by SIGKILL; and its exit codes.

use crate::run::{Running, echoloop, load};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// The timeout of a condition; only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

fn pid_of(load: &Running) -> Pid {
    Pid::from_raw(load.process.id().try_into().unwrap())
}

/// The child process of a load.
fn child_of(load: &Running) -> Pid {
    let pid = load.process.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap())
}

fn is_running(pid: Pid) -> bool {
    // An exited process that was not waited for is a zombie.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_for_the_end_of(pid: Pid) {
    let start = Instant::now();
    while is_running(pid) {
        assert!(start.elapsed() < TIMEOUT, "{pid} is still running");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn sigint_ends_the_load_with_a_result() {
    let mut load = Running::start(echoloop(&[
        "load",
        "--active",
        "2",
        "--idle",
        "5",
        "--duration",
        "1h",
        "-o",
        "json",
    ]));
    load.wait_for_the_first_second();
    kill(pid_of(&load), Signal::SIGINT).unwrap();
    let output = load.finish();
    let result = output.result();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!((1.0..600.0).contains(&result.seconds), "{result:#?}");
    assert!(
        result.echo.received > 0 && result.echo.unanswered == 0,
        "{result:#?}"
    );
    assert_eq!(result.probe.alive, 5);
    assert!(
        result
            .warnings
            .iter()
            .any(|warning| warning.contains("interrupted by a signal")),
        "{result:#?}"
    );
}

#[test]
fn child_has_its_own_process_group_and_ends_with_the_load() {
    let mut load = Running::start(echoloop(&["load", "--active", "1", "--duration", "1h"]));
    load.wait_for_the_first_second();
    let server = child_of(&load);
    assert!(is_running(server));
    assert_eq!(getpgid(Some(server)).unwrap(), server);
    kill(pid_of(&load), Signal::SIGTERM).unwrap();
    assert_eq!(load.finish().code, Some(0));
    assert!(!is_running(server), "the load waits for it");
}

#[test]
fn child_ends_if_the_load_is_killed() {
    let mut load = Running::start(echoloop(&["load", "--idle", "100", "--duration", "1h"]));
    load.wait_for_the_first_second();
    let server = child_of(&load);
    kill(pid_of(&load), Signal::SIGKILL).unwrap();
    load.finish();
    wait_for_the_end_of(server);
}

#[test]
fn missed_expectation_is_exit_code_3_and_a_met_one_is_0() {
    let run = |expect: &str| {
        load(&[
            "--active",
            "1",
            "--duration",
            "200ms",
            "--warmup",
            "0",
            "--expect",
            expect,
        ])
    };
    let missed = run("rate>1000m");
    assert_eq!(missed.code, Some(3), "{missed:#?}");
    assert!(
        missed.stdout.contains("rate>1000m: MISSED"),
        "{}",
        missed.stdout
    );
    let met = run("mismatched=0");
    assert_eq!(met.code, Some(0), "{met:#?}");
}

#[test]
fn wrong_usage_is_exit_code_2_with_an_example() {
    for (arguments, words) in [
        (&["--expect", "p99"][..], "p99<5ms"),
        (&["--rate", "fast"], "20k"),
        (&["--size", "0"], "more than zero"),
        (&["--sources", "here"], "127.0.0.0/8"),
        (&["--start-at", "noon"], "2026-"),
        (&["--churn", "loud"], "reset"),
    ] {
        let output = load(arguments);
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert!(output.stderr.contains(words), "{output:#?}");
    }
}

#[test]
fn conflicting_flags_are_exit_code_2_without_a_connect() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    for (flags, words) in [
        (
            &["--churn", "fin", "--pipeline", "2"][..],
            "leave --pipeline out",
        ),
        (&["--active", "0"], "ask for 1 to 16777215"),
        (
            &["--active", "16m", "--idle", "16m"],
            "ask for 1 to 16777215",
        ),
        (&["--sources", "fd00::/64"], "same family"),
    ] {
        let output = load(&[&[target.as_str()], flags].concat());
        assert_eq!(output.code, Some(2), "{output:#?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        assert!(output.stderr.contains(words), "{output:#?}");
        assert_eq!(output.stdout, "");
        assert!(listener.accept().is_err(), "{flags:?}: it connected");
    }
}

#[test]
fn missing_server_process_fails_before_connecting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    // Above the largest process id (proc(5), `pid_max`).
    let output = load(&[&target, "--active", "1", "--server-pid", "4194305"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
    assert!(
        output.stderr.contains("--server-pid 4194305"),
        "{output:#?}"
    );
    assert!(listener.accept().is_err(), "it connected");
}

#[test]
fn refused_connects_fail_with_one_line() {
    // An address without a listener.
    let output = load(&["127.0.0.93:1", "--active", "3", "-o", "json"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
    assert_eq!(output.result().connections.failed.refused, 3);
}

#[test]
fn unread_stderr_does_not_block_the_loop() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = echoloop(&[
        "load",
        "--active",
        "1",
        "--duration",
        "2s",
        "--warmup",
        "0",
        "-o",
        "json",
    ]);
    // The pipe is full from the start: log lines are dropped.
    let mut filler = writer.try_clone().unwrap();
    let filling = thread::spawn(move || {
        use std::io::Write;
        let _ = filler.write_all(&vec![b'x'; 1 << 20]);
    });
    command.stderr(Stdio::from(writer));
    let mut process = command.spawn().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(process.stdout.as_mut().unwrap(), &mut text).unwrap();
    assert!(process.wait().unwrap().success());
    let result: echoloop::load::LoadResult = serde_json::from_str(&text).unwrap();
    assert_eq!(result.echo.unanswered, 0);
    assert_eq!(result.intervals.len(), 2);
    drop((reader, command));
    filling.join().unwrap();
}

#[test]
fn flag_without_effect_on_idle_connections_is_warned_about() {
    for flag in [["--rate", "1k"], ["--pipeline", "2"], ["--churn", "reset"]] {
        let output = load(&[&["--idle", "5", "--duration", "10ms"][..], &flag].concat());
        assert_eq!(output.code, Some(0), "{output:#?}");
        let words = format!("{} has no effect, since all connections are idle", flag[0]);
        assert!(output.stderr.contains(&words), "{output:#?}");
    }
    let output = load(&["--idle", "5", "--duration", "10ms"]);
    assert!(!output.stderr.contains("has no effect"), "{output:#?}");
}
