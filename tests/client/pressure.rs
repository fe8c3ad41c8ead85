//! Back-pressure: a slow server slows the input down, and neither direction waits for the other.

use std::io::{Read, Write};

use crate::clients::{Running, client, peak_anonymous_bytes, text};
use crate::harness::Daemon;
use crate::peers::{Peer, read_all};

const TOTAL: usize = 100_000_000;

#[test]
fn input_is_not_read_while_the_server_reads_nothing() {
    let (resume, resumed) = std::sync::mpsc::channel();
    let peer = Peer::start(move |stream| {
        resumed.recv().unwrap();
        read_all(stream)
    });
    let mut running = Running::start(client("send", peer.address, &[]), TOTAL);
    let fed = running.fed_until_stuck();
    assert!(fed < 40_000_000, "{fed} bytes of input read");
    let held = peak_anonymous_bytes(running.pid());
    assert!(held < 4_000_000, "{held} bytes held");
    resume.send(()).unwrap();
    assert_eq!(running.wait_exit(), Some(0));
    assert!(
        peer.join() == text(0, TOTAL),
        "bytes received by the server"
    );
}

#[test]
fn echo_of_100_mb_uses_bounded_memory() {
    let daemon = Daemon::start(&[]);
    let mut running = Running::start(client("send", daemon.address(), &[]), TOTAL);
    let pid = running.pid();
    let mut first = [0; 1];
    let stdout = running.child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(first, text(0, 1)[..]);
    let mut rest = std::io::sink();
    let mut stdout = running.child.stdout.take().unwrap();
    let most = TOTAL as u64 - 2_000_000;
    let count = std::io::copy(&mut (&mut stdout).take(most), &mut rest).unwrap();
    assert_eq!(count, most);
    let held = peak_anonymous_bytes(pid);
    assert!(held < 4_000_000, "{held} bytes held");
    let count = std::io::copy(&mut stdout, &mut rest).unwrap();
    assert_eq!(count + most + 1, TOTAL as u64);
    assert_eq!(running.wait_exit(), Some(0));
}

#[test]
fn server_that_writes_before_reading_is_read() {
    // The server reads nothing before it has written more than the kernel buffers.
    let peer = Peer::start(|mut stream| {
        stream.write_all(&text(0, 30_000_000)).unwrap();
        read_all(stream).len()
    });
    let mut running = Running::start(client("send", peer.address, &[]), 30_000_000);
    running.assert_prints_text(30_000_000);
    assert_eq!(peer.join(), 30_000_000);
}
