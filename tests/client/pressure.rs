//! A server that is slow slows the input down; neither direction waits for the other.

use std::io::{Read, Write};

use crate::clients::{Running, client, text};
use crate::harness::Daemon;
use crate::machine::peak_resident_bytes;
use crate::peers::{Peer, swallow};

const TOTAL: usize = 100_000_000;

#[test]
fn the_input_is_not_read_while_the_server_takes_nothing() {
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let peer = Peer::start(move |stream| {
        may_go_on.recv().unwrap();
        swallow(stream)
    });
    let mut running = Running::start(client("send", peer.address, &[]), TOTAL);
    let fed = running.fed_until_stuck();
    assert!(fed < 40_000_000, "{fed} bytes of input taken");
    let held = peak_resident_bytes(running.pid());
    assert!(held < 16_000_000, "{held} bytes held");
    go_on.send(()).unwrap();
    assert_eq!(running.wait_exit(), Some(0));
    assert!(peer.found() == text(0, TOTAL), "what the server got");
}

#[test]
fn a_hundred_megabytes_go_there_and_back_in_bounded_memory() {
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
    let held = peak_resident_bytes(pid);
    assert!(held < 16_000_000, "{held} bytes held");
    let count = std::io::copy(&mut stdout, &mut rest).unwrap();
    assert_eq!(count + most + 1, TOTAL as u64);
    assert_eq!(running.wait_exit(), Some(0));
}

#[test]
fn a_server_that_must_speak_before_it_listens_is_heard_while_the_input_waits() {
    // It takes nothing until all it says has been taken, which is more than the kernel holds.
    let peer = Peer::start(|mut stream| {
        stream.write_all(&text(0, 30_000_000)).unwrap();
        swallow(stream).len()
    });
    let mut running = Running::start(client("send", peer.address, &[]), 30_000_000);
    running.assert_prints_text(30_000_000);
    assert_eq!(peer.found(), 30_000_000);
}
