//! Clients that read slowly but steadily, with receive buffers so small that most of their data waits in the send
//! buffer of the daemon's socket: no timeout closes them, since their kernels keep acknowledging bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::client::{QUIET, connect_with_buffers, send_until_quiet, write_some};
use crate::harness::Daemon;

/// The interval between two reads of a client.
const STEP: Duration = Duration::from_millis(50);

/// A client that reads `rate` bytes per second on average.
struct SteadyReader {
    stream: TcpStream,
    rate: u128,
    began: Instant,
    received: usize,
}

impl SteadyReader {
    fn new(stream: TcpStream, rate: u128) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            rate,
            began: Instant::now(),
            received: 0,
        }
    }

    /// Reads the bytes due by now, then sleeps for [`STEP`]. Returns false at FIN.
    fn step(&mut self, expected: impl Fn(usize) -> u8) -> bool {
        let due = self.began.elapsed().as_millis() * self.rate / 1000;
        let due = usize::try_from(due).unwrap();
        while self.received < due {
            let mut buffer = vec![0; (due - self.received).min(4096)];
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    for byte in &buffer[..count] {
                        assert_eq!(*byte, expected(self.received), "byte {}", self.received);
                        self.received += 1;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!(
                    "{error} after {:?} and {} bytes",
                    self.began.elapsed(),
                    self.received
                ),
            }
        }
        // The pace of the reads is the input of these tests.
        sleep(STEP);
        true
    }
}

fn byte(position: usize) -> u8 {
    u8::try_from(position % 251).unwrap()
}

/// Sends until the kernels and the daemon accept no more, without reading; returns the count.
fn fill(stream: &TcpStream) -> usize {
    let mut sent = 0;
    let write = || {
        let piece: Vec<u8> = (sent..sent + 4096).map(byte).collect();
        let count = write_some(stream, &piece)?;
        sent += count;
        Ok(count)
    };
    send_until_quiet(QUIET, write).unwrap();
    sent
}

#[test]
fn steady_reader_of_pending_output_is_not_stalled() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let daemon = Daemon::start(&["-v", "--stall-timeout", "2s"]);
    let stream = connect_with_buffers(daemon.address(), 4096);
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    let sent = fill(&stream);
    // The client's kernel acknowledges in steps of up to its receive buffer: every 0.7 s at this rate.
    let mut reader = SteadyReader::new(stream, 8_000);
    while reader.began.elapsed() < 4 * TIMEOUT {
        assert!(
            reader.step(byte),
            "closed after {:?}",
            reader.began.elapsed()
        );
    }
    assert!(
        reader.received < sent,
        "the client has pending output throughout"
    );
    // The client stops reading and is reset after the stall timeout.
    let stopped = Instant::now();
    let closed = daemon.close_summary(serial);
    assert!(closed.starts_with("stalled, "), "{closed}");
    let waited = stopped.elapsed();
    assert!(waited < 2 * TIMEOUT + Duration::from_secs(2), "{waited:?}");
}

#[test]
fn steady_reader_outlasts_the_idle_timeout() {
    const LENGTH: usize = 60_000;
    let daemon = Daemon::start(&["-v", "--idle-timeout", "2s"]);
    let mut stream = connect_with_buffers(daemon.address(), 4096);
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    let message: Vec<u8> = (0..LENGTH).map(byte).collect();
    stream.write_all(&message).unwrap();
    // Three times the timeout, without any work for the daemon: its kernel sends the reply.
    let mut reader = SteadyReader::new(stream, 10_000);
    while reader.received < LENGTH {
        let (waited, received) = (reader.began.elapsed(), reader.received);
        assert!(
            reader.step(byte),
            "closed after {waited:?}: {received} bytes"
        );
    }
    // From here on the connection is idle.
    assert_eq!(
        daemon.close_summary(serial),
        format!("idle, {LENGTH} bytes in, {LENGTH} out")
    );
}

#[test]
fn half_closed_steady_reader_receives_everything() {
    const LENGTH: usize = 60_000;
    let daemon = Daemon::start(&["-v", "--stall-timeout", "2s", "--idle-timeout", "2s"]);
    let mut stream = connect_with_buffers(daemon.address(), 4096);
    let message: Vec<u8> = (0..LENGTH).map(byte).collect();
    stream.write_all(&message).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reader = SteadyReader::new(stream, 10_000);
    while reader.step(byte) {}
    assert_eq!(reader.received, LENGTH);
}
