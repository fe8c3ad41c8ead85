//! Clients flood the daemon with the smallest messages and read every reply: an honest client still receives its
//! replies. `benches/worst_day` measures its latency.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::client::{assert_reads, connect};
use crate::harness::{Daemon, PATIENCE, eventually};

const FLOODERS: usize = 50;

/// Clients that repeat a message and read the replies, on a separate thread until this value is dropped.
struct Flood {
    stops: Arc<AtomicBool>,
    received: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(daemon: SocketAddr, message: &[u8]) -> Self {
        let stops: Arc<AtomicBool> = Arc::default();
        let received: Arc<AtomicUsize> = Arc::default();
        let thread = Some(thread::spawn({
            let (stops, received) = (Arc::clone(&stops), Arc::clone(&received));
            let messages = message.repeat(65_536 / message.len());
            let mut streams: Vec<_> = (0..FLOODERS).map(|_| connect(daemon)).collect();
            for stream in &streams {
                stream.set_nonblocking(true).unwrap();
            }
            move || {
                while !stops.load(Relaxed) {
                    for stream in &mut streams {
                        received.fetch_add(exchange(stream, &messages), Relaxed);
                    }
                }
            }
        }));
        Self {
            stops,
            received,
            thread,
        }
    }

    fn received(&self) -> usize {
        self.received.load(Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stops.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends and reads without blocking; returns how many bytes were read.
fn exchange(stream: &mut TcpStream, messages: &[u8]) -> usize {
    if let Err(error) = stream.write(messages) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "a flooder: {error}");
    }
    match stream.read(&mut [0; 16_384]) {
        Ok(count) => count,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "a flooder: {error}");
            0
        }
    }
}

/// The exchanges of the honest client take far less than [`PATIENCE`], even on a busy machine.
#[track_caller]
fn assert_replies_during_flood(
    protocol: &str,
    flood: &[u8],
    exchanges: usize,
    message: &[u8],
    reply: &[u8],
) {
    let daemon = Daemon::start(&["-p", protocol]);
    let flood = Flood::start(daemon.address(), flood);
    eventually(PATIENCE, "the flooders receive replies", || {
        flood.received() > 0
    });
    let mut honest = connect(daemon.address());
    let (before, began) = (flood.received(), Instant::now());
    for number in 1..=exchanges {
        honest.write_all(message).unwrap();
        assert_reads(&mut honest, reply);
        let took = began.elapsed();
        assert!(took < PATIENCE, "{number} exchanges took {took:?}");
    }
    eventually(PATIENCE, "the flooders receive more replies", || {
        flood.received() > before
    });
}

#[test]
fn flood_of_newlines_from_50_clients_does_not_starve_a_line() {
    assert_replies_during_flood("line", b"\n", 10, b"hello\n", b"ECHO hello\n");
}

#[test]
fn flood_of_empty_frames_from_50_clients_starves_no_frame() {
    assert_replies_during_flood("frame:1", b"\0", 50, b"\x05hello", b"\x05hello");
}
