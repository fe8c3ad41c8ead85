//! RST in every state: the daemon and its other connections continue, and each reset is logged.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use nix::sys::signal::Signal;

use crate::client::{BulkSender, assert_echo, connect, read_to_fin, reset};
use crate::harness::{Daemon, PATIENCE, eventually};

/// Runs `cause_reset`, which resets a connection and returns its serial; the close must be logged, and other
/// connections must work. Returns the log line after `closed: `.
fn assert_survives(extra: &[&str], cause_reset: impl FnOnce(&mut Daemon) -> u64) -> String {
    let mut daemon = Daemon::start(&[&["-v"], extra].concat());
    let mut other = connect(daemon.address());
    assert_echo(&mut other, b"before");
    let serial = cause_reset(&mut daemon);
    let closed = daemon.close_summary(serial);
    assert_echo(&mut other, b"after");
    assert_echo(&mut connect(daemon.address()), b"new client");
    assert!(daemon.is_running(), "the daemon exited");
    closed
}

fn serial_of(daemon: &Daemon, stream: &TcpStream) -> u64 {
    daemon.serial_of(stream.local_addr().unwrap())
}

#[test]
fn reset_of_a_new_connection_is_logged_as_peer_reset() {
    let closed = assert_survives(&[], |daemon| {
        let stream = connect(daemon.address());
        let serial = serial_of(daemon, &stream);
        reset(stream);
        serial
    });
    // The text of the error may follow.
    let is_reset = closed.starts_with("peer reset, 0 bytes in, 0 out");
    assert!(is_reset, "after `#2 closed: `: {closed}");
}

#[test]
fn reset_before_accept_closes_only_that_connection() {
    let closed = assert_survives(&[], |daemon| {
        daemon.pause();
        for number in 0..20 {
            let mut stream = connect(daemon.address());
            if number % 2 == 1 {
                stream.write_all(b"never read").unwrap();
            }
            reset(stream);
        }
        let last = connect(daemon.address());
        daemon.resume();
        let serial = serial_of(daemon, &last);
        // All twenty were accepted from the queue, so each must be closed.
        for reset in 2..serial {
            daemon.close_summary(reset);
        }
        drop(last);
        serial
    });
    assert!(
        closed.starts_with("peer closed"),
        "the close of the last connection, which was not reset: {closed}"
    );
}

#[test]
fn reset_during_an_echo_closes_only_that_connection() {
    assert_survives(&[], |daemon| {
        let mut stream = connect(daemon.address());
        let serial = serial_of(daemon, &stream);
        stream.write_all(&vec![b'x'; 60_000]).unwrap();
        stream
            .read_exact(&mut [0; 1_000])
            .expect("the start of the echo");
        reset(stream);
        serial
    });
}

#[test]
fn reset_with_pending_output_closes_only_that_connection() {
    let closed = assert_survives(&["--socket-buffer", "8KiB"], |daemon| {
        let sender = BulkSender::with_pending_output(daemon);
        let serial = serial_of(daemon, &sender.stream);
        reset(sender.stream);
        serial
    });
    assert!(
        !closed.starts_with("peer closed"),
        "the client sent no FIN: {closed}"
    );
}

#[test]
fn reset_after_half_close_closes_only_that_connection() {
    assert_survives(&["--socket-buffer", "8KiB"], |daemon| {
        let sender = BulkSender::with_pending_output(daemon);
        let serial = serial_of(daemon, &sender.stream);
        sender.stream.shutdown(Shutdown::Write).unwrap();
        reset(sender.stream);
        serial
    });
}

/// Data, FIN and RST have arrived before the daemon handles the first event.
#[test]
fn data_fin_and_rst_at_once_close_only_that_connection() {
    assert_survives(&[], |daemon| {
        let mut stream = connect(daemon.address());
        let serial = serial_of(daemon, &stream);
        daemon.pause();
        stream.write_all(b"data").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        reset(stream);
        daemon.resume();
        serial
    });
}

#[test]
fn reset_during_the_drain_does_not_stop_it() {
    let mut daemon = Daemon::start(&["-v", "--socket-buffer", "8KiB", "--drain-timeout", "30s"]);
    let mut other = connect(daemon.address());
    assert_echo(&mut other, b"before");
    let sender = BulkSender::with_pending_output(&daemon);
    let serial = serial_of(&daemon, &sender.stream);

    daemon.signal(Signal::SIGTERM);
    assert_eq!(
        read_to_fin(&mut other),
        b"",
        "bytes received before the FIN"
    );
    assert!(daemon.is_running(), "the daemon exited with pending output");
    reset(sender.stream);
    daemon.close_summary(serial);
    drop(other);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn simultaneous_100_resets_leave_other_connections_open() {
    let daemon = Daemon::start(&["-v"]);
    let mut other = connect(daemon.address());
    assert_echo(&mut other, b"before");
    let mut streams: Vec<TcpStream> = (0..100).map(|_| connect(daemon.address())).collect();
    for stream in &mut streams {
        stream.write_all(&[b'x'; 2_000]).unwrap();
    }
    streams.into_iter().for_each(reset);
    assert_echo(&mut other, b"after");
    eventually(PATIENCE, "100 log lines with `closed`", || {
        daemon
            .lines()
            .iter()
            .filter(|line| line.contains(" closed: "))
            .count()
            == 100
    });
}
