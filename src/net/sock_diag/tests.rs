//! Requests byte by byte, and replies about real sockets on loopback.

use super::*;
use crate::net::netlink::MAX_STALE_REPLIES;
use crate::net::{ListenOptions, MioNet, Net, Source};
use rustix::io::ioctl_fionread;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on loopback: the queried socket and the peer's.
struct Pair {
    net: MioNet,
    stream: TcpStream,
    peer: TcpStream,
}

impl Pair {
    /// A connection to a listener on `address`, from a peer that connects to `target` with a receive buffer of 16 KiB.
    fn new(address: &str, target: &str) -> Pair {
        let mut net = MioNet::new().unwrap();
        net.open_sock_diag().unwrap();
        let options = ListenOptions::new(address.parse().unwrap());
        let listener = net.listen(&options, Source::listener(0)).unwrap();
        let port = net.local_addr(&listener).unwrap().port();
        let target = SocketAddr::new(target.parse().unwrap(), port);
        let kind = Type::STREAM.cloexec();
        let peer = Socket::new(Domain::for_address(target), kind, Some(Protocol::TCP)).unwrap();
        peer.set_recv_buffer_size(16 * 1024).unwrap();
        peer.connect(&SockAddr::from(target)).unwrap();
        let mut accepted = None;
        eventually("a connection to accept", || {
            accepted = net.accept(&listener).ok();
            accepted.is_some()
        });
        let (stream, peer) = (accepted.unwrap(), peer.into());
        Pair { net, stream, peer }
    }

    fn over_ipv4() -> Pair {
        Pair::new("127.0.0.1:0", "127.0.0.1")
    }

    #[track_caller]
    fn progress(&mut self) -> Progress {
        let progress = self.net.progress(&self.stream);
        progress.expect("the progress of an established connection")
    }

    /// Writes until the kernel accepts no more.
    fn fill(&mut self) -> u64 {
        let mut written = 0;
        while let Ok(count) = self.stream.write(&[7; 16 * 1024]) {
            written += count as u64;
        }
        written
    }

    /// Waits until every written byte is either unacknowledged or in the peer's receive buffer.
    #[track_caller]
    fn wait_until_counted(&mut self, written: u64) {
        eventually("written = unacknowledged + received", || {
            let received = ioctl_fionread(&self.peer).unwrap();
            self.progress().unacknowledged + received == written
        });
    }

    #[track_caller]
    fn assert_unread_bytes_are_reported(mut self) {
        let written = self.fill();
        self.wait_until_counted(written);
        assert!(self.progress().unacknowledged > 0);
    }
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        let is_late = start.elapsed() >= PATIENCE;
        assert!(!is_late, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn unread_bytes_are_unacknowledged_until_the_peer_reads() {
    let mut pair = Pair::over_ipv4();
    assert_eq!(pair.progress().unacknowledged, 0);
    let written = pair.fill();
    pair.wait_until_counted(written);
    let before = pair.progress().unacknowledged;
    assert!(before > 32 * 1024, "{before} of {written}");

    let mut half = vec![0; usize::try_from(written / 2).unwrap()];
    pair.peer.read_exact(&mut half).unwrap();
    pair.wait_until_counted(written - written / 2);
    let after = pair.progress().unacknowledged;
    assert!(after < before, "{before}, then {after}");

    pair.peer.read_exact(&mut half).unwrap();
    eventually("everything is acknowledged", || {
        pair.progress().unacknowledged == 0
    });
}

#[test]
fn since_acknowledged_grows_while_the_peer_does_not_read() {
    let mut pair = Pair::over_ipv4();
    let start = Instant::now();
    let written = pair.fill();
    pair.wait_until_counted(written);
    let counted = Instant::now();
    let mut last = Duration::ZERO;
    // Long enough for several window probes, which the peer acknowledges.
    eventually("1.5 s without an acknowledged byte", || {
        let since = pair.progress().since_acknowledged;
        assert!(since >= last, "fell from {last:?} to {since:?}");
        last = since;
        since >= Duration::from_millis(1500)
    });
    let slack = Duration::from_millis(300);
    let (upper, lower) = (start.elapsed() + slack, counted.elapsed());
    assert!(last <= upper, "{last:?}, and {upper:?} at most");
    assert!(last + slack >= lower, "{last:?}, and {lower:?} at least");
}

#[test]
fn since_acknowledged_restarts_when_the_peer_reads() {
    let mut pair = Pair::over_ipv4();
    let (mut written, mut acknowledged, mut steps) = (0, 0, 0);
    let mut polled = Instant::now();
    let mut not_before = polled;
    // The peer reads 80 kB/s, and its window opens in steps of several kilobytes.
    eventually("five acknowledgements after the first", || {
        written += pair.fill();
        pair.peer.read_exact(&mut [0; 4096]).unwrap();
        thread::sleep(Duration::from_millis(50));
        let before = std::mem::replace(&mut polled, Instant::now());
        let progress = pair.progress();
        if written - progress.unacknowledged > acknowledged {
            acknowledged = written - progress.unacknowledged;
            not_before = before;
            steps += 1;
        }
        let most = not_before.elapsed() + Duration::from_millis(300);
        let since = progress.since_acknowledged;
        assert!(since <= most, "{since:?}, and {most:?} at most");
        steps > 5
    });
}

#[test]
fn since_received_counts_from_the_last_byte() {
    let mut pair = Pair::over_ipv4();
    eventually("300 ms without a byte", || {
        pair.progress().since_received >= Duration::from_millis(300)
    });
    pair.peer.write_all(b"x").unwrap();
    eventually("a byte arrived just now", || {
        pair.progress().since_received < Duration::from_millis(250)
    });
}

#[test]
fn fin_is_not_counted_as_an_unacknowledged_byte() {
    let mut pair = Pair::over_ipv4();
    let written = pair.fill();
    pair.wait_until_counted(written);
    pair.stream.shutdown(std::net::Shutdown::Write).unwrap();
    pair.wait_until_counted(written);
}

#[test]
fn ipv6_connection_has_progress() {
    Pair::new("[::1]:0", "::1").assert_unread_bytes_are_reported();
}

#[test]
fn ipv4_peer_of_ipv6_listener_has_progress() {
    let pair = Pair::new("[::]:0", "127.0.0.1");
    assert!(pair.stream.peer_addr().unwrap().is_ipv6(), "mapped");
    pair.assert_unread_bytes_are_reported();
}

#[test]
fn reset_connection_or_missing_socket_gives_none() {
    let mut pair = Pair::over_ipv4();
    socket2::SockRef::from(&pair.peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    let addresses = (
        pair.stream.local_addr().unwrap(),
        pair.stream.peer_addr().unwrap(),
    );
    drop(pair.peer);
    eventually("the reset has arrived", || pair.stream.peer_addr().is_err());
    assert_eq!(pair.net.progress(&pair.stream), None);
    let mut diag = SockDiag::open().unwrap();
    assert_eq!(diag.progress(addresses.0, addresses.1), None, "ENOENT");

    let mut pair = Pair::over_ipv4();
    pair.net = MioNet::new().unwrap();
    assert_eq!(pair.net.progress(&pair.stream), None, "not opened");
}

#[test]
fn stale_replies_are_discarded() {
    let mut pair = Pair::over_ipv4();
    let written = pair.fill();
    pair.wait_until_counted(written);
    let local = pair.stream.local_addr().unwrap();
    let peer = pair.stream.peer_addr().unwrap();
    let mut diag = SockDiag::open().unwrap();
    let other = SocketAddr::from(([127, 0, 0, 1], 1));
    let send = |diag: &mut SockDiag| diag.0.send(request(0, [other, other], 0, 0)).unwrap();
    for _ in 0..3 {
        send(&mut diag);
        let found = diag.progress(local, peer).unwrap();
        assert_eq!(found.unacknowledged, pair.progress().unacknowledged);
    }
    for _ in 0..=MAX_STALE_REPLIES {
        send(&mut diag);
    }
    assert_eq!(diag.progress(local, peer), None, "too many");
    assert!(diag.progress(local, peer).is_some(), "the next request");
}

#[test]
fn link_local_request_has_its_interface() {
    let local = "[fe80::1%7]:80".parse().unwrap();
    let peer = "[fe80::2%7]:4096".parse().unwrap();
    let request = request(0, [local, peer], 2, 0);
    let bytes = request.bytes();
    assert_eq!(bytes[16..20], [AF_INET6, IPPROTO_TCP, 2, 0]);
    assert_eq!(bytes[24..28], [0, 80, 16, 0], "ports in network order");
    assert_eq!(bytes[60..64], 7_u32.to_ne_bytes());
    assert_eq!(bytes[64..], INET_DIAG_NOCOOKIE);
}

#[test]
fn truncated_replies_give_none() {
    let mut message = vec![0; REPLY];
    message.extend(108_u16.to_ne_bytes());
    message.extend(INET_DIAG_INFO.to_ne_bytes());
    message.extend([1; 104]);
    assert!(parse_progress(&message).is_some());
    for length in 0..REPLY + 4 + 72 {
        assert_eq!(parse_progress(&message[..length]), None, "{length} bytes");
    }
    message[REPLY] = 0;
    assert_eq!(
        parse_progress(&message),
        None,
        "an attribute without length"
    );
}

#[test]
fn since_acknowledged_of_vanished_peer_and_zero_window() {
    let seconds = Duration::from_secs;
    // A peer that acknowledges window probes; a vanished peer; a peer that acknowledges immediately.
    assert_eq!(
        since_acknowledged(seconds(9), seconds(1), seconds(2)),
        seconds(7)
    );
    assert_eq!(
        since_acknowledged(seconds(1), seconds(9), seconds(2)),
        seconds(9)
    );
    assert_eq!(
        since_acknowledged(seconds(0), seconds(0), seconds(2)),
        seconds(0)
    );
}
