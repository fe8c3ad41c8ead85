//! Deadlines over TLS: handshake, idle connections, slow readers, the drain.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Peer, serve};
use crate::client::{connect, read_to_fin};
use crate::harness::PATIENCE;

/// The begin of a `ClientHello` of 16 KiB, of which a byte a tenth of a second would take half an hour.
const HELLO: [u8; 9] = [22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb];

#[test]
fn silent_client_is_closed_at_the_handshake_timeout() {
    let (_authority, daemon) = serve(&["--tls-handshake-timeout", "1s"]);
    let start = Instant::now();
    let mut stream = connect(daemon.address());
    assert_eq!(read_to_fin(&mut stream), b"");
    // Deadlines are accurate to a tick of 250 ms.
    assert!(start.elapsed() >= Duration::from_millis(750));
    assert_eq!(
        daemon.close_summary(1),
        "handshake timeout, 0 bytes in, 0 out"
    );
}

/// Activity does not extend the deadline.
#[test]
fn slow_handshake_is_closed_at_the_handshake_timeout() {
    let (_authority, daemon) = serve(&["--tls-handshake-timeout", "1s", "--idle-timeout", "1h"]);
    let mut stream = connect(daemon.address());
    let start = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    stream.write_all(&HELLO).unwrap();
    loop {
        assert!(start.elapsed() < PATIENCE, "the connection is still open");
        match stream.read(&mut [0; 100]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // RST if a byte arrived after the close.
            Ok(0) | Err(_) => break,
            Ok(count) => panic!("{count} bytes"),
        }
        let _ = stream.write_all(&[0]);
    }
    assert!(start.elapsed() >= Duration::from_millis(750));
    assert!(daemon.close_summary(1).starts_with("handshake timeout, "));
}

#[test]
fn established_connection_outlives_the_handshake_timeout() {
    let (authority, daemon) = serve(&["--tls-handshake-timeout", "1s"]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    // It is connected after the other, and closed by the timeout.
    let mut silent = connect(daemon.address());
    assert_eq!(read_to_fin(&mut silent), b"");
    peer.assert_echo();
}

#[test]
fn idle_connection_is_closed_with_close_notify() {
    let (authority, daemon) = serve(&["--idle-timeout", "1s"]);
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    assert_eq!(peer.ask("end"), "b'' then close_notify");
    assert_eq!(peer.ask("tail"), "0 bytes then fin");
    assert!(daemon.close_summary(1).starts_with("idle, "));
}

#[test]
fn slow_reader_is_not_read_and_loses_no_byte() {
    let (authority, daemon) = serve(&["--socket-buffer", "16KiB"]);
    let Some(mut slow) = Peer::open(&authority, &daemon, &["buffer=16384"]) else {
        return;
    };
    assert_eq!(slow.ask("fill"), "filled");
    let mut other = Peer::open(&authority, &daemon, &[]).unwrap();
    assert_eq!(other.ask("echo 100000"), "echoed");
    assert_eq!(slow.ask("drain"), "echoed");
    assert_eq!(slow.ask("unwrap"), "unwrapped");
}

#[test]
fn reader_that_takes_nothing_is_reset_at_the_stall_timeout() {
    let (authority, daemon) = serve(&["--stall-timeout", "1s", "--socket-buffer", "16KiB"]);
    let Some(mut slow) = Peer::open(&authority, &daemon, &["buffer=16384"]) else {
        return;
    };
    assert_eq!(slow.ask("fill"), "filled");
    assert!(daemon.close_summary(1).starts_with("stalled, "));
    assert_eq!(slow.ask("prefix"), "reset");
}

#[test]
fn drain_ends_with_close_notify_and_fin() {
    let (authority, mut daemon) = serve(&[]);
    let Some(mut established) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    established.assert_echo();
    let mut handshaking = connect(daemon.address());
    handshaking.write_all(&HELLO).unwrap();
    daemon.wait_for_line("the second connection", |line| line.contains("#2 open"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(established.ask("end"), "b'' then close_notify");
    assert_eq!(established.ask("tail"), "0 bytes then fin");
    assert_eq!(read_to_fin(&mut handshaking), b"");
    drop((established, handshaking));
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    let lines = daemon.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("2 connections served")),
        "{lines:#?}"
    );
}

/// The kernel's send buffer is full when `close_notify` is due.
#[test]
fn drain_sends_4_mib_then_close_notify_then_fin() {
    let buffers = ["--socket-buffer", "16KiB", "--max-pending", "8MiB"];
    for version in ["version=1.3", "version=1.2"] {
        let (authority, mut daemon) = serve(&[&buffers[..], &["--drain-timeout", "60s"]].concat());
        let Some(mut slow) = Peer::open(&authority, &daemon, &["buffer=16384", version]) else {
            return;
        };
        assert_eq!(slow.ask("push 4194304"), "acknowledged");
        daemon.signal(Signal::SIGTERM);
        daemon.wait_for_line("the drain", |line| line.contains("draining"));
        assert_eq!(slow.ask("rest"), "complete, close_notify");
        assert_eq!(slow.ask("tail"), "0 bytes then fin");
        drop(slow);
        assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    }
}

#[test]
fn drain_sends_pending_output_before_close_notify() {
    let flags = ["--socket-buffer", "16KiB", "--drain-timeout", "60s"];
    let (authority, mut daemon) = serve(&flags);
    let Some(mut slow) = Peer::open(&authority, &daemon, &["buffer=16384"]) else {
        return;
    };
    assert_eq!(slow.ask("fill"), "filled");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(slow.ask("prefix"), "close_notify");
    drop(slow);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}
