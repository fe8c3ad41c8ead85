//! Clients that fill the daemon's memory: each sends an endless text, never reads, and reconnects after a reset.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::harness::{PATIENCE, eventually};

/// How long the kernel must accept no byte from any attacker before they count as blocked: longer than a delayed ACK
/// (200 ms).
const QUIET: Duration = Duration::from_millis(300);

/// What an attacker sends: `head` once, then `body` repeatedly, up to `most` bytes in total.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) most: usize,
}

impl Text {
    /// The same message, repeated without end.
    pub(crate) fn messages(message: &[u8]) -> Self {
        let (head, most) = (Vec::new(), usize::MAX);
        let body = message.repeat(65_536 / message.len() + 1);
        Self { head, body, most }
    }

    /// A message that is never completed; `most` must be below `--max-message`.
    pub(crate) fn unfinished(head: &[u8], most: usize) -> Self {
        let (head, body) = (head.to_vec(), vec![b'x'; 65_536]);
        Self { head, body, most }
    }

    /// The bytes after the first `sent`; empty at the end.
    fn after(&self, sent: usize) -> &[u8] {
        if sent < self.head.len() {
            return &self.head[sent..];
        }
        let start = (sent - self.head.len()) % self.body.len();
        let length = (self.body.len() - start).min(self.most - sent);
        &self.body[start..start + length]
    }
}

/// Attackers that run on a separate thread until this value is dropped.
pub(crate) struct Attack {
    stops: Arc<AtomicBool>,
    resets: Arc<AtomicUsize>,
    are_blocked: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    /// Starts one attacker from each 127.0.0.`host`.
    pub(crate) fn start(daemon: SocketAddr, hosts: Range<u8>, text: &Text) -> Self {
        let mut attack = Self {
            stops: Arc::default(),
            resets: Arc::default(),
            are_blocked: Arc::default(),
            thread: None,
        };
        let (stops, resets) = (Arc::clone(&attack.stops), Arc::clone(&attack.resets));
        let (are_blocked, text) = (Arc::clone(&attack.are_blocked), text.clone());
        attack.thread = Some(thread::spawn(move || {
            let mut attackers: Vec<_> = hosts.map(Attacker::new).collect();
            let mut last_progress = Instant::now();
            while !stops.load(Relaxed) {
                for attacker in &mut attackers {
                    match attacker.send(daemon, &text) {
                        SendOutcome::Blocked => {}
                        SendOutcome::Progress => last_progress = Instant::now(),
                        SendOutcome::Reset => _ = resets.fetch_add(1, Relaxed),
                    }
                }
                are_blocked.store(last_progress.elapsed() > QUIET, Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        }));
        attack
    }

    /// Waits until the daemon reads no more from the attackers, or resets one of them.
    #[track_caller]
    pub(crate) fn wait_until_effective(&self) {
        eventually(
            PATIENCE,
            "the attackers have filled the daemon's memory",
            || self.resets() > 0 || self.are_blocked.load(Relaxed),
        );
    }

    /// How many connections of the attackers the daemon has reset so far.
    pub(crate) fn resets(&self) -> usize {
        self.resets.load(Relaxed)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stops.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Attacker {
    host: u8,
    stream: Option<TcpStream>,
    sent: usize,
}

enum SendOutcome {
    Blocked,
    Progress,
    Reset,
}

impl Attacker {
    fn new(host: u8) -> Self {
        let (stream, sent) = (None, 0);
        Self { host, stream, sent }
    }

    /// Sends what the kernel accepts without blocking, on a new connection if there is none.
    fn send(&mut self, daemon: SocketAddr, text: &Text) -> SendOutcome {
        if self.stream.is_none() {
            // Connecting fails when the daemon exits at the end of the test.
            (self.stream, self.sent) = (connect_from(self.host, daemon).ok(), 0);
        }
        let Some(stream) = &mut self.stream else {
            return SendOutcome::Blocked;
        };
        let before = self.sent;
        loop {
            match stream.write(text.after(self.sent)) {
                Ok(0) => break,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.stream = None;
                    return SendOutcome::Reset;
                }
            }
        }
        // At the end of the text no write fails: only the pending error of the socket shows a reset.
        match stream.take_error() {
            Ok(None) if self.sent == before => SendOutcome::Blocked,
            Ok(None) => SendOutcome::Progress,
            _ => {
                self.stream = None;
                SendOutcome::Reset
            }
        }
    }
}

/// A non-blocking connection from 127.0.0.`host` with small buffers, so that its data is buffered in the daemon.
fn connect_from(host: u8, daemon: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.set_send_buffer_size(16 * 1024)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into())?;
    socket.connect_timeout(&daemon.into(), PATIENCE)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
