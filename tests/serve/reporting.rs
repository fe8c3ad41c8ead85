//! What the daemon reports about itself in its log: counters, rates and slow iterations.

use nix::sys::signal::Signal;

use crate::client::{assert_echo, connect, exchange};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::upgrade::Upgradable;

#[test]
fn sigusr1_logs_the_counters_in_one_line_and_serves_on() {
    let mut daemon = Daemon::start(&["--max-connections", "2"]);
    let mut open = connect(daemon.address());
    assert_echo(&mut open, b"12 bytes in.");
    let mut closed = connect(daemon.address());
    assert_eq!(exchange(&mut closed, b"8 bytes."), b"8 bytes.");
    daemon.signal(Signal::SIGUSR1);
    let line = daemon.wait_for_line("the counters", |line| line.contains("counters: "));
    let expected = "INFO  counters: connections=1 max_connections=2 opened=2 closed=1 (peer_closed=1) refused=0 \
                    accept_failed=0 accept_paused=0 accept_limited=0 bytes_in=20 bytes_out=20 buffered=0 most_buffered=";
    assert!(line.contains(expected), "{line}");
    assert_echo(&mut open, b"still served");
    daemon.signal(Signal::SIGUSR1);
    eventually(PATIENCE, "a second line", || {
        let lines = daemon.lines();
        lines
            .iter()
            .filter(|line| line.contains("counters: "))
            .count()
            == 2
    });
}

#[test]
fn stats_interval_logs_connections_and_rates() {
    let daemon = Daemon::start(&["--stats-interval", "200ms"]);
    let mut client = connect(daemon.address());
    assert_echo(&mut client, b"counted");
    daemon.wait_for_line("rates", |line| {
        line.contains("INFO  statistics: connections=1 ")
    });
    let sum = |lines: Vec<String>| -> f64 {
        let opened = |line: &String| {
            let (_, rest) = line.split_once("opened_per_s=")?;
            rest.split(' ').next()?.parse::<f64>().ok()
        };
        lines.iter().filter_map(opened).sum()
    };
    // One connection in one interval of 0.2 s, or of several on a loaded machine.
    eventually(PATIENCE, "the rate of the connection", || {
        sum(daemon.lines()) > 0.0
    });
    let before = daemon.lines().len();
    eventually(PATIENCE, "further lines", || {
        daemon.lines().len() > before + 2
    });
    assert!(sum(daemon.lines()) <= 5.0);
}

/// Its counters continue, so without those at its start the first rates would be too high.
#[test]
fn rates_of_a_new_process_are_those_since_the_upgrade() {
    let server = Upgradable::start(&["--stats-interval", "200ms"]);
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_echo(client, b"before");
    }
    assert!(server.upgrade().status.success());
    let of_new_process = || {
        let lines = server.daemon.lines().into_iter();
        let lines = lines.skip_while(|line| !line.contains("took over 1 listener"));
        lines
            .filter(|line| line.contains("statistics: "))
            .collect::<Vec<_>>()
    };
    eventually(PATIENCE, "two lines of the new process", || {
        of_new_process().len() >= 2
    });
    for line in of_new_process() {
        let expected = "connections=50 opened_per_s=0.0 closed_per_s=0.0 bytes_in_per_s=0 ";
        assert!(line.contains(expected), "{line}");
    }
}

/// The time of an iteration is that of its work, without the wait.
#[test]
fn slow_iteration_is_logged_with_its_work() {
    let mut daemon = Daemon::start(&["--slow-iteration", "1ns"]);
    let mut client = connect(daemon.address());
    assert_echo(&mut client, b"1234567");
    let line = daemon.wait_for_line("a slow iteration", |line| {
        line.contains("an iteration of the event loop took ")
    });
    assert!(
        line.contains("WARN") && line.contains(" events, ") && line.ends_with(" deadlines"),
        "{line}"
    );
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    // At most one line per 5 s.
    let slow = daemon.lines();
    let slow = slow
        .iter()
        .filter(|line| line.contains("an iteration of the event loop took "));
    assert_eq!(slow.count(), 1);

    let daemon = Daemon::start(&["--slow-iteration", "1h"]);
    assert_echo(&mut connect(daemon.address()), b"fast");
    assert!(
        !daemon
            .lines()
            .iter()
            .any(|line| line.contains("an iteration of the event loop"))
    );
}

#[test]
fn interval_of_zero_is_a_usage_error() {
    for flag in ["--stats-interval", "--slow-iteration"] {
        let output = crate::harness::echoloop()
            .args(["serve", flag, "0"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag}");
    }
}
