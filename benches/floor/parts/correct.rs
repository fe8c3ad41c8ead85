//! Correctness of all rivals: a client sends more than the socket buffers hold before it reads anything, and
//! half-closes; every byte must come back in order, and then FIN.

use crate::bench::Bench;
use crate::rivals::Rival;
use crate::row::{Row, Unit};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// More than the buffers of both sockets hold at their largest (tcp(7), `tcp_wmem`, `tcp_rmem`).
const BYTES: usize = 64 << 20;

/// How long no write succeeds once all buffers are full.
const WRITE_STALL: Duration = Duration::from_millis(50);

/// The timeout of a read.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn run(bench: &mut Bench) {
    let series = Rival::ALL.map(|rival| {
        if !bench.has(rival) {
            return Vec::new();
        }
        let server = bench.start(rival);
        let begin = Instant::now();
        verify_slow_reader(server.address);
        vec![1000.0 * begin.elapsed().as_secs_f64()]
    });
    let what = "64 MiB to a slow reader, half-close";
    let row = Row::new("correct", what, Unit::Milliseconds, series);
    let bar = "every byte, then FIN:".into();
    bench.report.add(row.bar(bar, true, false));
}

/// # Panics
/// When a byte is missing or wrong, or the connection does not end with FIN.
fn verify_slow_reader(server: SocketAddr) {
    // The period is no divisor of a power of two, so a displaced block does not match.
    let bytes: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    let sent = send_until_blocked(&mut stream, &bytes);
    assert!(
        sent < BYTES,
        "the socket buffers hold everything, so there is no pending output"
    );
    thread::scope(|scope| {
        let mut writer = stream.try_clone().unwrap();
        let rest = &bytes[sent..];
        scope.spawn(move || {
            writer.write_all(rest).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::with_capacity(BYTES);
        stream.read_to_end(&mut received).unwrap();
        assert!(received == bytes, "the echo differs from what was sent");
    });
}

/// Sends until writes have blocked for a while; returns the bytes sent.
fn send_until_blocked(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut last = Instant::now();
    while sent < bytes.len() && last.elapsed() < WRITE_STALL {
        match stream.write(&bytes[sent..]) {
            Ok(count) => {
                sent += count;
                last = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("the connection failed: {error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}
