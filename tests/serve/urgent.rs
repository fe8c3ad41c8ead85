//! Urgent data (RFC 6093) stays in line and comes back like the rest, wherever its mark falls.
//!
//! The mark cuts a read short, and no further edge follows for what lies behind it. Each case is
//! therefore also run on a daemon held still meanwhile, which then finds everything at once.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::client::{assert_echo, assert_reads, connect, read_to_fin};
use crate::harness::Daemon;

/// A part of what is sent: plain, or with the urgent mark behind its last byte (`MSG_OOB`).
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
                assert_eq!(sent, bytes.len(), "so few bytes are sent whole");
            }
        }
    }
}

/// Echo of the parts, and then of a message behind them, seen one after the other and all at once.
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
        assert_echo(&mut stream, b"and on it goes");
    }
}

#[test]
fn an_urgent_byte_comes_back_in_line() {
    assert_urgent_echo(&[Plain(b"abc"), Urgent(b"X"), Plain(b"def")], b"abcXdef");
}

#[test]
fn an_urgent_byte_comes_back_as_the_first() {
    assert_urgent_echo(&[Urgent(b"X"), Plain(b"def")], b"Xdef");
}

#[test]
fn an_urgent_byte_comes_back_as_the_last() {
    assert_urgent_echo(&[Plain(b"abc"), Urgent(b"X")], b"abcX");
}

#[test]
fn several_urgent_bytes_come_back_in_line() {
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
fn an_urgent_byte_followed_by_fin_at_once_comes_back_before_the_fin() {
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

/// Two marks make three reads and so three small answers in a row. With Nagle's algorithm (RFC 896) the
/// second would wait for the acknowledgement of the first, which the client's kernel delays by 40 ms.
#[test]
fn small_answers_in_a_row_do_not_wait_for_acknowledgements() {
    const ROUNDS: u32 = 100;
    let mut daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    for _ in 0..100 {
        // A dialogue, so that the kernel delays acknowledgements, which at first it does not.
        assert_echo(&mut stream, b"word for word");
    }
    let mut waited = Duration::ZERO;
    for _ in 0..ROUNDS {
        daemon.pause();
        send(&mut stream, &[Urgent(b"abX"), Urgent(b"cdY"), Plain(b"ef")]);
        let start = Instant::now();
        daemon.resume();
        assert_reads(&mut stream, b"abXcdYef");
        waited += start.elapsed();
    }
    assert!(
        waited < ROUNDS * Duration::from_millis(20),
        "{ROUNDS} rounds took {waited:?}"
    );
}
