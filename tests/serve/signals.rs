//! SIGTERM, SIGINT and SIGHUP: each ends the daemon well, nobody who came before is reset, a second one is final.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM};

use crate::client::{
    Torrent, assert_echo, assert_refused_soon, assert_reset, connect, connect_with_buffers,
    read_to_fin,
};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, allow_descriptors};

fn assert_ends_well_on(signal: Signal) {
    let mut daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"accepted");
    daemon.signal(signal);
    assert_eq!(read_to_fin(&mut stream), b"", "nothing is owed but a FIN");
    drop(stream);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after {signal}"
    );
}

#[test]
fn sigterm_ends_the_daemon_well() {
    assert_ends_well_on(SIGTERM);
}

#[test]
fn sigint_ends_the_daemon_well() {
    assert_ends_well_on(SIGINT);
}

#[test]
fn sighup_ends_the_daemon_well() {
    assert_ends_well_on(SIGHUP);
}

#[test]
fn a_daemon_without_clients_ends_at_once() {
    let mut daemon = Daemon::start(&[]);
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after SIGTERM"
    );
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "it took {took:?} to end with nothing to do"
    );
}

/// So many that they cannot all be accepted in the turn in which the signal comes.
#[test]
fn clients_queued_just_before_the_signal_are_not_reset() {
    if !allow_descriptors(2_000) {
        return;
    }
    let mut daemon = Daemon::start(&[]);
    daemon.pause();
    let mut streams: Vec<TcpStream> = (0..1_000).map(|_| connect(daemon.address())).collect();
    for stream in &mut streams {
        stream.write_all(b"just in time").unwrap();
    }
    daemon.signal(SIGTERM);
    daemon.resume();
    for stream in &mut streams {
        let received = read_to_fin(stream).escape_ascii().to_string();
        let fine = received == "just in time" || received.is_empty();
        assert!(fine, "neither the echo and FIN nor FIN alone: {received}");
    }
    drop(streams);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn a_second_signal_ends_at_once_with_exit_code_1() {
    let mut daemon = Daemon::start(&["--drain-timeout", "30s", "--socket-buffer", "16KiB"]);
    let torrent = Torrent::never_reading(&daemon);
    daemon.signal(SIGTERM);
    // Else the kernel might fold both signals into one.
    assert_refused_soon(daemon.address());
    assert!(
        daemon.is_running(),
        "the daemon ended although it owes bytes"
    );
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(1),
        "exit code after a second signal"
    );
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "it took {took:?} to end at once"
    );
    drop(torrent);
}

/// With FIN it could take what it has for all.
#[test]
fn who_is_owed_bytes_at_a_second_signal_is_reset() {
    let arguments = ["-v", "--drain-timeout", "30s", "--socket-buffer", "16KiB"];
    let mut daemon = Daemon::start(&[&arguments[..], &["--max-pending", "4MiB"]].concat());
    let mut stream = connect_with_buffers(daemon.address(), 16 * 1024);
    stream.write_all(&vec![7; 1_000_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // All has been read, so that nothing but what is owed tells a reset from a FIN.
    let (here, there) = (stream.local_addr().unwrap(), daemon.address());
    eventually(PATIENCE, "the daemon has read everything", || {
        let table = TcpTable::read();
        table.socket(here, there).unacknowledged + table.socket(there, here).unread == 0
    });
    daemon.signal(SIGTERM);
    assert_refused_soon(daemon.address());
    daemon.signal(SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(1));
    assert!(daemon.closed(1).starts_with("drain expired, "));
    assert_reset(stream);
}

#[test]
fn a_second_signal_of_another_kind_counts_too() {
    let mut daemon = Daemon::start(&["--drain-timeout", "30s", "--socket-buffer", "16KiB"]);
    let torrent = Torrent::never_reading(&daemon);
    daemon.signal(SIGHUP);
    assert_refused_soon(daemon.address());
    daemon.signal(SIGINT);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(1),
        "exit code after a second signal"
    );
    drop(torrent);
}
