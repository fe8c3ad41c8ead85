//! Simulated standard output: a file, or a pipe whose reader may be slow or close it.

use crate::network::{MILLISECOND, Network};
use std::io::{self, ErrorKind};

/// Standard output of a program under test.
#[derive(Debug, Default)]
pub struct SimStdout {
    /// All bytes written so far.
    pub written: Vec<u8>,
    /// Free bytes of the pipe.
    space: usize,
    /// A write returned EAGAIN: the next space raises an event.
    is_armed: bool,
    /// An event is raised and not yet reported.
    is_pending: bool,
    /// Events reported, less the writes that returned EAGAIN since. Invariant: the program writes only if this is above
    /// zero.
    events: u32,
    /// Free bytes after the reader has read, and its longest pause after that.
    capacity: usize,
    pause: u64,
    /// When the reader reads next.
    pub next_read_at: u64,
    /// Chance per thousand that a write returns EAGAIN although there is space. An event follows.
    blocks: u64,
    /// From this time on writes fail with `error`; `u64::MAX`: never.
    pub fails_at: u64,
    error: Option<ErrorKind>,
    is_broken: bool,
    /// A write has returned the error.
    pub error_reported: bool,
}

impl SimStdout {
    /// A full pipe: the program waits for an event before the first write.
    pub fn new(capacity: usize, pause: u64) -> SimStdout {
        SimStdout {
            capacity,
            pause,
            is_armed: true,
            fails_at: u64::MAX,
            ..SimStdout::default()
        }
    }

    /// An empty pipe that may be written to at once. Its reader first reads at `next_read_at`.
    pub fn empty(capacity: usize, pause: u64, next_read_at: u64, blocks: u64) -> SimStdout {
        SimStdout {
            space: capacity,
            is_armed: false,
            events: 1,
            next_read_at,
            blocks,
            ..SimStdout::new(capacity, pause)
        }
    }

    /// Sets the free bytes after each read of the reader; the initial space stays.
    pub fn with_read_size(self, capacity: usize) -> SimStdout {
        SimStdout { capacity, ..self }
    }

    /// A file: it accepts every write, with a single event, since epoll does not support files.
    pub fn file() -> SimStdout {
        SimStdout {
            is_pending: true,
            ..SimStdout::empty(usize::MAX, 0, u64::MAX, 0)
        }
    }

    /// Makes writes fail from `at` on.
    pub fn failing_at(self, at: u64, error: ErrorKind) -> SimStdout {
        SimStdout {
            fails_at: at,
            error: Some(error),
            ..self
        }
    }

    /// The error of writes that fail.
    pub fn error(&self) -> Option<ErrorKind> {
        self.error
    }

    /// The reader empties the pipe.
    pub fn drain(&mut self, network: &mut Network) {
        self.next_read_at =
            network.now + network.rng.between(MILLISECOND, MILLISECOND + self.pause);
        self.space = self.capacity;
        self.is_pending |= std::mem::take(&mut self.is_armed);
    }

    /// The time of the next event of a program that waits for the reader.
    pub fn next_event_at(&self) -> u64 {
        if self.is_armed {
            self.next_read_at
        } else {
            u64::MAX
        }
    }

    /// Whether an event is raised and not yet reported.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Takes the pending event; the caller reports it.
    pub fn take_pending(&mut self) -> bool {
        // A program that waits again has handled all reported events.
        self.events = self.events.min(1) + u32::from(self.is_pending);
        std::mem::take(&mut self.is_pending)
    }

    /// Another process takes over the pipe: it may write before its first event, and registering reports the space.
    pub fn take_over(&mut self) {
        self.events = self.events.max(1);
        self.is_pending |= self.space > 0;
    }

    /// A spurious event is reported.
    pub fn on_event(&mut self) {
        self.events += 1;
    }

    /// Lets the reader read, or close the pipe, if its time has come.
    pub fn advance(&mut self, network: &mut Network) {
        if self.fails_at <= network.now {
            (self.fails_at, self.next_read_at) = (u64::MAX, u64::MAX);
            self.space = 0;
            self.is_broken = true;
            // As EPOLLERR of epoll: reported even if the last write did not return EAGAIN.
            self.is_armed = false;
            self.is_pending = true;
        }
        if self.next_read_at <= network.now {
            self.drain(network);
        }
    }

    /// As write(2).
    pub fn write(&mut self, network: &mut Network, bytes: &[u8]) -> io::Result<usize> {
        assert!(
            self.events > 0,
            "a write without an event since the last EAGAIN"
        );
        assert!(!bytes.is_empty(), "a write of no bytes");
        assert!(!self.error_reported, "a write after an error");
        if network.fault(network.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.is_broken {
            self.error_reported = true;
            return Err(self.error.unwrap().into());
        }
        if self.space == 0 {
            self.is_armed = true;
            self.events = self.events.saturating_sub(1);
            return Err(ErrorKind::WouldBlock.into());
        }
        if network.fault(self.blocks) {
            self.events = self.events.saturating_sub(1);
            self.is_pending = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut count = self.space.min(bytes.len());
        if count > 1 && network.fault(network.faults.partial_write) {
            count = 1 + network.rng.index(count);
        }
        self.space -= count;
        self.written.extend(&bytes[..count]);
        network.trace(8, count as u64);
        Ok(count)
    }
}
