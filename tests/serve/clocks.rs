//! `--protocol clock`: eight bytes in, the time out.

use crate::client::{connect, read_to_fin};
use crate::harness::Daemon;
use crate::tools::run;
use echoloop::net::time_of_day;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

fn now() -> u64 {
    time_of_day().as_nanos().try_into().unwrap()
}

fn time_of(stream: &mut TcpStream) -> u64 {
    let mut reply = [0; 8];
    stream.read_exact(&mut reply).unwrap();
    u64::from_be_bytes(reply)
}

#[test]
fn reply_is_the_time_between_request_and_reply() {
    let daemon = Daemon::start(&["-p", "clock"]);
    let mut stream = connect(daemon.address());
    for _ in 0..100 {
        let before = now();
        stream.write_all(b"any byte").unwrap();
        let time = time_of(&mut stream);
        let after = now();
        assert!(before <= time && time <= after, "{before} {time} {after}");
    }
}

#[test]
fn pipelined_requests_get_increasing_times() {
    let daemon = Daemon::start(&["-p", "clock", "--max-pending", "100"]);
    let mut stream = connect(daemon.address());
    let before = now();
    // 2,000 requests, of which no write has a whole number.
    for piece in [7; 16_000].chunks(4_001) {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let replies = read_to_fin(&mut stream);
    let (times, rest) = replies.as_chunks();
    assert!(times.len() == 2_000 && rest.is_empty(), "{}", replies.len());
    let times = times.iter().map(|time| u64::from_be_bytes(*time));
    let times: Vec<u64> = [before].into_iter().chain(times).chain([now()]).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn fin_within_a_request_closes_as_malformed() {
    let daemon = Daemon::start(&["-p", "clock", "-v"]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"any byte, and more").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream).len(), 16);
    daemon.wait_for_line("malformed", |line| line.contains("malformed"));
}

#[test]
fn send_passes_requests_and_replies_unchanged() {
    let daemon = Daemon::start(&["-p", "clock"]);
    let mut send = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    send.args(["send", "-p", "clock", &daemon.address().to_string()]);
    let before = now();
    let output = run(send, b"16 bytes are two");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (times, rest) = output.stdout.as_chunks();
    assert!(times.len() == 2 && rest.is_empty(), "{output:?}");
    let first = u64::from_be_bytes(times[0]);
    assert!(before <= first && first <= u64::from_be_bytes(times[1]));
}
