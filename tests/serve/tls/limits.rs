//! Limits of handshakes in progress and of memory.

use std::io::Write;
use std::net::TcpStream;

use super::{Peer, serve};
use crate::client::{assert_refused, connect, read_to_fin};
use crate::harness::{PATIENCE, eventually};
use crate::machine::{allow_fds, anonymous_bytes, open_fds};

#[test]
fn handshakes_above_the_limit_are_refused_and_counted() {
    let (authority, mut daemon) = serve(&["--max-handshakes", "2"]);
    let Some(mut established) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    let silent = [connect(daemon.address()), connect(daemon.address())];
    for number in [2, 3] {
        daemon.wait_for_line("open", |line| line.contains(&format!("#{number} open")));
    }
    assert_refused(daemon.address());
    let warning = daemon.wait_for_line("the refusal", |line| {
        line.contains("refused a connection: ")
    });
    assert!(
        warning.ends_with("handshake limit reached; raise --max-handshakes"),
        "{warning}"
    );
    established.assert_echo();
    drop(silent);
    for number in [2, 3] {
        assert!(
            daemon
                .close_summary(number)
                .starts_with("peer closed, 0 bytes in")
        );
    }
    let mut peer = Peer::open(&authority, &daemon, &[]).unwrap();
    peer.assert_echo();
    drop((peer, established));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    daemon.wait_for_line("the counters", |line| {
        line.contains("4 connections served, 1 refused")
    });
}

/// Failed handshakes do not remain in the count.
#[test]
fn failed_handshakes_free_their_places() {
    let (authority, daemon) = serve(&["--max-handshakes", "1"]);
    for _ in 0..5 {
        let mut stream = connect(daemon.address());
        stream.write_all(b"not TLS\n").unwrap();
        let alert = read_to_fin(&mut stream);
        assert_eq!(alert.first(), Some(&21), "{alert:?}");
    }
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    peer.assert_echo();
}

const CLIENTS: usize = 500;
const EACH: usize = 60_000;
const BUFFERED: usize = 4 << 20;

/// Each holds 60 kB of a handshake message, 30 MB in total.
#[test]
fn unfinished_handshakes_stay_within_max_buffered() {
    if !allow_fds(CLIENTS as u64 + 100) {
        return;
    }
    let (authority, daemon) = serve(&["--max-buffered", "4MiB"]);
    let before = anonymous_bytes(daemon.pid());
    let mut message = vec![1, 0, 0xff, 0xff];
    message.resize(EACH, 0);
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut stream = connect(daemon.address());
            stream.set_nonblocking(true).unwrap();
            for fragment in message.chunks(16_000) {
                let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
                let record = [&[22, 3, 1], &length[..], fragment].concat();
                // It fails if the daemon has reset the connection.
                let _ = stream.write(&record);
            }
            stream
        })
        .collect();
    let Some(mut peer) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    peer.assert_echo();
    let grown = anonymous_bytes(daemon.pid()).saturating_sub(before);
    // Beside the buffers: the sessions, which have not derived keys.
    let sessions = CLIENTS * (8 << 10);
    assert!(grown < 2 * BUFFERED + sessions, "{grown} bytes more");
    drop(clients);
    eventually(PATIENCE, "all connections are closed", || {
        open_fds(daemon.pid()) < CLIENTS / 2
    });
    peer.assert_echo();
}

#[test]
fn partial_records_after_the_handshake_stay_within_max_buffered() {
    let (authority, daemon) = serve(&["--max-buffered", "100KiB"]);
    let peers: Option<Vec<_>> = (0..16)
        .map(|_| Peer::open(&authority, &daemon, &[]))
        .collect();
    let Some(mut peers) = peers else { return };
    for peer in &mut peers {
        assert_eq!(peer.ask("partial 16000"), "sent");
    }
    // 256 kB: some are evicted, or are not read.
    let mut other = Peer::open(&authority, &daemon, &[]).unwrap();
    other.assert_echo();
    daemon.wait_for_line("an eviction", |line| line.contains("closed: no memory"));
}
