//! Simulated standard input: a pipe with a writer at its own pace, or a file.

use crate::network::Network;
use std::io::{self, ErrorKind};

/// Standard input of a program under test.
#[derive(Debug)]
pub struct SimStdin {
    bytes: Vec<u8>,
    /// Bytes that the writer has written, and bytes that the program has read.
    arrived: usize,
    pub read: usize,
    /// The error after the last byte; `None`: EOF.
    error: Option<ErrorKind>,
    /// The writer has closed the pipe.
    is_closed: bool,
    /// A read has returned EOF or the error.
    pub end_reported: bool,
    /// A read returned EAGAIN: the next arrival raises an event.
    is_armed: bool,
    /// An event is raised and not yet reported.
    is_pending: bool,
    /// Events reported, less the reads that returned EAGAIN since. Invariant: the program reads only if this is above
    /// zero.
    events: u32,
    /// An event is raised only after a read has returned EAGAIN.
    is_weak: bool,
    is_file: bool,
    /// The most bytes that the writer writes at once, and its longest pause after that.
    chunk: usize,
    pause: u64,
    /// When the writer acts next.
    pub arrives_at: u64,
    /// The program may read without an event.
    pub may_read_without_event: bool,
}

impl SimStdin {
    /// An empty pipe.
    pub fn pipe(bytes: Vec<u8>, chunk: usize, pause: u64, is_weak: bool) -> SimStdin {
        SimStdin {
            bytes,
            arrived: 0,
            read: 0,
            error: None,
            is_closed: false,
            end_reported: false,
            is_armed: false,
            is_pending: false,
            events: 1,
            is_weak,
            is_file: false,
            chunk,
            pause,
            arrives_at: 0,
            may_read_without_event: false,
        }
    }

    /// A file: all bytes are available, with a single event, since epoll does not support files.
    pub fn file(bytes: Vec<u8>) -> SimStdin {
        SimStdin {
            arrived: bytes.len(),
            is_closed: true,
            is_pending: true,
            is_file: true,
            arrives_at: u64::MAX,
            ..SimStdin::pipe(bytes, 0, 0, false)
        }
    }

    /// Makes reads after the last byte fail.
    pub fn failing_at_end(self, error: ErrorKind) -> SimStdin {
        SimStdin {
            error: Some(error),
            ..self
        }
    }

    pub fn error(&self) -> Option<ErrorKind> {
        self.error
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

    /// A spurious event is reported.
    pub fn on_event(&mut self) {
        self.events += 1;
    }

    /// Lets the writer write, or close the pipe, if its time has come.
    pub fn advance(&mut self, network: &mut Network) {
        if self.arrives_at > network.now {
            return;
        }
        let left = self.bytes.len() - self.arrived;
        if left > 0 {
            self.arrived += 1 + network.rng.index(left.min(self.chunk));
            self.arrives_at = network.now + network.rng.between(0, self.pause);
        } else {
            self.is_closed = true;
            self.arrives_at = u64::MAX;
        }
        if std::mem::take(&mut self.is_armed) || !self.is_weak {
            self.is_pending = true;
        }
    }

    /// As read(2).
    pub fn read(&mut self, network: &mut Network, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(
            self.events > 0 || self.may_read_without_event,
            "a read without an event since the last EAGAIN"
        );
        assert!(!self.end_reported, "a read after EOF or an error");
        assert!(!buffer.is_empty(), "a read into an empty buffer");
        if network.fault(network.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let available = self.arrived - self.read;
        if available == 0 && !self.is_closed {
            self.is_armed = true;
            self.events = self.events.saturating_sub(1);
            return Err(ErrorKind::WouldBlock.into());
        }
        if !self.is_file && network.fault(network.faults.read_blocks) {
            self.is_pending = true;
            self.events = self.events.saturating_sub(1);
            return Err(ErrorKind::WouldBlock.into());
        }
        if available == 0 {
            self.end_reported = true;
            return self.error.map_or(Ok(0), |error| Err(error.into()));
        }
        let mut count = available.min(buffer.len());
        if count > 1 && network.fault(network.faults.partial_read) {
            count = 1 + network.rng.index(count);
        }
        let piece = &self.bytes[self.read..self.read + count];
        buffer[..count].copy_from_slice(piece);
        self.read += count;
        network.trace(9, count as u64);
        Ok(count)
    }
}
