//! Urgent data (RFC 6093) stays in line and is echoed like other data, at any position of its mark.
//!
//! A read ends at the mark, and epoll reports no further edge for the bytes after it. So each case also runs with the
//! daemon stopped while the client sends, so that it finds everything at once.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use socket2::SockRef;

use crate::client::{assert_echo, assert_no_nagle_delay, assert_reads, connect, read_to_fin};
use crate::harness::Daemon;

/// A part of the data sent: plain, or with the urgent mark after its last byte (`MSG_OOB`).
enum Part {
    Plain(&'static [u8]),
    Urgent(&'static [u8]),
}
use Part::{Plain, Urgent};

fn send(stream: &mut TcpStream, parts: &[Part]) {
    for part in parts {
        match part {
            Plain(bytes) => stream.write_all(bytes).unwrap(),
            Urgent(bytes) => {
                let sent = SockRef::from(&*stream).send_out_of_band(bytes).unwrap();
                assert_eq!(sent, bytes.len(), "all urgent bytes are sent");
            }
        }
    }
}

/// Checks the echo of the parts and of a message after them; the parts arrive one by one, then all at once.
fn assert_urgent_echo(parts: &[Part], expected: &[u8]) {
    let mut daemon = Daemon::start(&[]);
    for at_once in [false, true] {
        let mut stream = connect(daemon.address());
        assert_echo(&mut stream, b"accepted");
        if at_once {
            daemon.pause();
        }
        send(&mut stream, parts);
        if at_once {
            daemon.resume();
        }
        assert_reads(&mut stream, expected);
        assert_echo(&mut stream, b"the next message");
    }
}

#[test]
fn urgent_byte_is_echoed_in_line() {
    assert_urgent_echo(&[Plain(b"abc"), Urgent(b"X"), Plain(b"def")], b"abcXdef");
}

#[test]
fn urgent_first_byte_is_echoed_first() {
    assert_urgent_echo(&[Urgent(b"X"), Plain(b"def")], b"Xdef");
}

#[test]
fn urgent_last_byte_is_echoed_last() {
    assert_urgent_echo(&[Plain(b"abc"), Urgent(b"X")], b"abcX");
}

#[test]
fn several_urgent_bytes_are_echoed_in_line() {
    let parts = [
        Plain(b"a"),
        Urgent(b"bX"),
        Plain(b"c"),
        Urgent(b"Y"),
        Urgent(b"Z"),
        Plain(b"d"),
    ];
    assert_urgent_echo(&parts, b"abXcYZd");
}

#[test]
fn urgent_byte_before_fin_is_echoed_before_fin() {
    let mut daemon = Daemon::start(&[]);
    for at_once in [false, true] {
        let mut stream = connect(daemon.address());
        assert_echo(&mut stream, b"accepted");
        if at_once {
            daemon.pause();
        }
        send(&mut stream, &[Plain(b"abc"), Urgent(b"X")]);
        stream.shutdown(Shutdown::Write).unwrap();
        if at_once {
            daemon.resume();
        }
        let received = read_to_fin(&mut stream);
        assert_eq!(
            received.escape_ascii().to_string(),
            "abcX",
            "received to the FIN"
        );
    }
}

/// Two marks cause three reads and so three small replies in a row. With Nagle's algorithm (RFC 896) the second would
/// wait for the ACK of the first, which the client's kernel delays by 40 ms.
#[test]
fn consecutive_small_replies_have_no_nagle_delay() {
    let mut daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    for _ in 0..100 {
        // Request and reply in turn, so that the client's kernel starts to delay ACKs.
        assert_echo(&mut stream, b"message");
    }
    assert_no_nagle_delay((0..100).map(|_| {
        daemon.pause();
        send(&mut stream, &[Urgent(b"abX"), Urgent(b"cdY"), Plain(b"ef")]);
        let start = Instant::now();
        daemon.resume();
        assert_reads(&mut stream, b"abXcdYef");
        start.elapsed()
    }));
}
