//! How a load ends: by itself, by a signal, by force; and what its exit code says.

use crate::run::{Running, echoloop, load};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen; only a test that is failing waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn pid_of(load: &Running) -> Pid {
    Pid::from_raw(load.process.id().try_into().unwrap())
}

/// The server that a load has started.
fn child_of(load: &Running) -> Pid {
    let pid = load.process.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap())
}

fn is_running(pid: Pid) -> bool {
    // One that has ended and was not waited for is a zombie.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_for_the_end_of(pid: Pid) {
    let start = Instant::now();
    while is_running(pid) {
        assert!(start.elapsed() < PATIENCE, "{pid} is still running");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ctrl_c_ends_it_early_and_what_was_measured_is_reported() {
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
    let said = load.finish();
    let result = said.result();
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!((1.0..600.0).contains(&result.seconds), "{result:#?}");
    assert!(
        result.echo.received > 0 && result.echo.received == result.echo.sent,
        "{result:#?}"
    );
    assert_eq!(result.probe.alive, 5);
    assert!(
        result
            .warnings
            .iter()
            .any(|warning| warning.contains("a signal ended it")),
        "{result:#?}"
    );
}

#[test]
fn the_server_has_a_group_of_its_own_and_ends_with_the_load() {
    let mut load = Running::start(echoloop(&["load", "--active", "1", "--duration", "1h"]));
    load.wait_for_the_first_second();
    let server = child_of(&load);
    assert!(is_running(server));
    assert_eq!(getpgid(Some(server)).unwrap(), server);
    kill(pid_of(&load), Signal::SIGTERM).unwrap();
    assert_eq!(load.finish().code, Some(0));
    assert!(!is_running(server), "it is waited for");
}

#[test]
fn the_server_ends_even_if_the_load_is_killed() {
    let mut load = Running::start(echoloop(&["load", "--idle", "100", "--duration", "1h"]));
    load.wait_for_the_first_second();
    let server = child_of(&load);
    kill(pid_of(&load), Signal::SIGKILL).unwrap();
    load.finish();
    wait_for_the_end_of(server);
}

#[test]
fn a_missed_expectation_is_exit_code_3_and_a_met_one_is_0() {
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
fn wrong_usage_is_exit_code_2_with_what_to_write() {
    for (arguments, words) in [
        (&["--expect", "p99"][..], "p99<5ms"),
        (&["--rate", "fast"], "20k"),
        (&["--size", "0"], "more than zero"),
        (&["--sources", "here"], "127.0.0.0/8"),
        (&["--start-at", "noon"], "2026-"),
        (&["--churn", "loud"], "reset"),
    ] {
        let said = load(arguments);
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.stderr.contains(words), "{said:#?}");
    }
}

#[test]
fn flags_that_do_not_go_together_are_exit_code_2_in_one_line_and_nobody_is_connected_to() {
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
        let said = load(&[&[target.as_str()], flags].concat());
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert_eq!(said.stderr.lines().count(), 1, "{said:#?}");
        assert!(said.stderr.contains(words), "{said:#?}");
        assert_eq!(said.stdout, "");
        assert!(listener.accept().is_err(), "{flags:?}: somebody came");
    }
}

#[test]
fn a_server_process_that_is_not_there_is_told_before_anything_is_measured() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    // Above the largest id that the kernel gives (proc(5), `pid_max`).
    let said = load(&[&target, "--active", "1", "--server-pid", "4194305"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert_eq!(said.stderr.lines().count(), 1, "{said:#?}");
    assert!(said.stderr.contains("--server-pid 4194305"), "{said:#?}");
    assert!(listener.accept().is_err(), "nobody was connected to");
}

#[test]
fn nobody_there_is_a_failure_in_one_line() {
    // Port 1 of an address that nothing listens on.
    let said = load(&["127.0.0.93:1", "--active", "3", "-o", "json"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert_eq!(said.stderr.lines().count(), 1, "{said:#?}");
    assert_eq!(said.result().connections.failed.refused, 3);
}

#[test]
fn a_stderr_that_nobody_reads_does_not_stop_the_loop() {
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
    // Full from the start: lines that it does not take are dropped.
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
    assert_eq!(result.echo.received, result.echo.sent);
    assert_eq!(result.intervals.len(), 2);
    drop((reader, command));
    filling.join().unwrap();
}

#[test]
fn a_flag_about_echoes_is_said_to_be_without_effect_where_all_connections_are_idle() {
    for flag in [["--rate", "1k"], ["--pipeline", "2"], ["--churn", "reset"]] {
        let said = load(&[&["--idle", "5", "--duration", "10ms"][..], &flag].concat());
        assert_eq!(said.code, Some(0), "{said:#?}");
        let words = format!("{} has no effect, since all connections are idle", flag[0]);
        assert!(said.stderr.contains(&words), "{said:#?}");
    }
    let said = load(&["--idle", "5", "--duration", "10ms"]);
    assert!(!said.stderr.contains("has no effect"), "{said:#?}");
}
