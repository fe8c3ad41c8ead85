//! Malformed handshakes and records of a client of tlslite-ng: the cases are in `malformed_cases.py`.

use std::process::Command;
use std::time::Duration;

use super::scanner::python_with;
use super::{Authority, Peer, file, port};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::open_fds;
use crate::tools::run_within;

/// What `malformed.py` prints if no case deviates.
const SUMMARY: &str = "821 cases: echo 104, ended 692, timeout 25\n";
const CASES: usize = 821;
const TIMEOUTS: usize = 25;

/// How many connections have ended, with that reason and with any.
fn closed(daemon: &Daemon, reason: &str) -> (usize, usize) {
    let lines = daemon.lines();
    let closed = lines.iter().filter(|line| line.contains(" closed: "));
    let with_reason = closed.clone().filter(|line| line.contains(reason));
    (with_reason.count(), closed.count())
}

#[test]
fn malformed_records_end_one_connection_and_disturb_no_other() {
    let Some(python) = python_with("tlslite") else {
        return;
    };
    let authority = Authority::new();
    // No case takes as long as the timeout of the first server; the second is for cases that end with the timeout.
    let mut servers = ["10m", "1s"].map(|timeout| {
        let daemon = authority.serve(&["--tls-handshake-timeout", timeout]);
        let other = Peer::open(&authority, &daemon, &[]);
        let fds = open_fds(daemon.pid());
        (daemon, other, fds)
    });
    let mut client = Command::new(python);
    // Without -B, Python writes compiled files beside the source.
    client.arg("-B").arg(file("malformed.py"));
    client.args(servers.iter().map(|(daemon, ..)| port(daemon)));
    let output = std::thread::scope(|scope| {
        let client = scope.spawn(move || run_within(Duration::from_secs(240), client, b""));
        while !client.is_finished() {
            for (_, other, _) in &mut servers {
                other.as_mut().unwrap().assert_echo();
            }
        }
        client.join().unwrap()
    });
    assert!(output.status.success(), "{output:#?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), SUMMARY);
    for (daemon, _, fds) in &servers {
        eventually(PATIENCE, "all connections of the client are closed", || {
            open_fds(daemon.pid()) == *fds
        });
    }
    let [(patient, ..), (quick, ..)] = &servers;
    eventually(PATIENCE, "the log has each case", || {
        closed(patient, "").1 >= CASES - TIMEOUTS && closed(quick, "").1 >= TIMEOUTS
    });
    assert_eq!(closed(patient, "handshake timeout").0, 0);
    let (timeouts, all) = closed(quick, "handshake timeout");
    assert_eq!(timeouts, all);
    for (daemon, other, _) in &mut servers {
        assert!(daemon.is_running());
        other.as_mut().unwrap().assert_echo();
        let mut new = Peer::open(&authority, daemon, &[]).unwrap();
        new.assert_echo();
        let lines = daemon.lines();
        assert_eq!(lines.iter().find(|line| line.contains("panic")), None);
    }
}
