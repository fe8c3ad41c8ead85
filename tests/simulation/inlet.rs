//! Standard input in a simulated world: a pipe that somebody writes to at his own pace, or a file.

use crate::world::World;
use std::io::{self, ErrorKind};

/// What is typed, or stands in a file.
#[derive(Debug)]
pub struct Inlet {
    bytes: Vec<u8>,
    /// How much of it has come, and how much of that was read.
    arrived: usize,
    pub read: usize,
    /// Behind the last byte: a failure, or the end.
    error: Option<ErrorKind>,
    /// The writer has gone.
    is_closed: bool,
    /// A read has told the end, or the failure.
    pub has_ended: bool,
    /// A read has found nothing: an event comes when there is something.
    is_armed: bool,
    /// The event has come, and was not told yet.
    is_pending: bool,
    /// So many events said that there is something, and so many reads have found nothing less: only above zero may one be
    /// tried.
    told: u32,
    /// An event comes only after a read has found nothing.
    is_weak: bool,
    is_file: bool,
    /// How much comes at once, at most, and how long the writer pauses after that, at most.
    chunk: usize,
    pause: u64,
    pub arrives_at: u64,
    /// Somebody may look whether there is something without an event.
    pub may_be_looked_at: bool,
}

impl Inlet {
    /// A pipe that nothing is in yet.
    pub fn pipe(bytes: Vec<u8>, chunk: usize, pause: u64, is_weak: bool) -> Inlet {
        Inlet {
            bytes,
            arrived: 0,
            read: 0,
            error: None,
            is_closed: false,
            has_ended: false,
            is_armed: false,
            is_pending: false,
            told: 1,
            is_weak,
            is_file: false,
            chunk,
            pause,
            arrives_at: 0,
            may_be_looked_at: false,
        }
    }

    /// A file: all is there, and it is ready once, as epoll takes no files.
    pub fn file(bytes: Vec<u8>) -> Inlet {
        Inlet {
            arrived: bytes.len(),
            is_closed: true,
            is_pending: true,
            is_file: true,
            arrives_at: u64::MAX,
            ..Inlet::pipe(bytes, 0, 0, false)
        }
    }

    /// The input, which fails behind its last byte.
    pub fn fails(self, error: ErrorKind) -> Inlet {
        Inlet {
            error: Some(error),
            ..self
        }
    }

    pub fn error(&self) -> Option<ErrorKind> {
        self.error
    }

    /// Whether an event is to be told.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Whether an event was to be told, which is told now.
    pub fn takes_pending(&mut self) -> bool {
        // Whoever waits again has heeded all that he was told.
        self.told = self.told.min(1) + u32::from(self.is_pending);
        std::mem::take(&mut self.is_pending)
    }

    /// An event is told for no cause.
    pub fn is_told(&mut self) {
        self.told += 1;
    }

    /// What its time has come for happens: the writer writes, or goes.
    pub fn goes_on(&mut self, world: &mut World) {
        if self.arrives_at > world.now {
            return;
        }
        let left = self.bytes.len() - self.arrived;
        if left > 0 {
            self.arrived += 1 + world.rng.index(left.min(self.chunk));
            self.arrives_at = world.now + world.rng.between(0, self.pause);
        } else {
            self.is_closed = true;
            self.arrives_at = u64::MAX;
        }
        if std::mem::take(&mut self.is_armed) || !self.is_weak {
            self.is_pending = true;
        }
    }

    /// As read(2).
    pub fn read(&mut self, world: &mut World, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(
            self.told > 0 || self.may_be_looked_at,
            "a read without an event since the last one blocked"
        );
        assert!(!self.has_ended, "a read behind the end");
        assert!(!buffer.is_empty(), "a read of nothing");
        if world.fault(world.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let there = self.arrived - self.read;
        if there == 0 && !self.is_closed {
            self.is_armed = true;
            self.told = self.told.saturating_sub(1);
            return Err(ErrorKind::WouldBlock.into());
        }
        if !self.is_file && world.fault(world.faults.read_blocks) {
            self.is_pending = true;
            self.told = self.told.saturating_sub(1);
            return Err(ErrorKind::WouldBlock.into());
        }
        if there == 0 {
            self.has_ended = true;
            return self.error.map_or(Ok(0), |error| Err(error.into()));
        }
        let mut count = there.min(buffer.len());
        if count > 1 && world.fault(world.faults.partial_read) {
            count = 1 + world.rng.index(count);
        }
        let piece = &self.bytes[self.read..self.read + count];
        buffer[..count].copy_from_slice(piece);
        self.read += count;
        world.trace(9, count as u64);
        Ok(count)
    }
}
