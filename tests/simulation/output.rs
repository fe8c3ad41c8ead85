//! Standard output in a simulated world: a pipe that somebody reads, or reads no more for a while, or for good.

use crate::world::{MILLISECOND, World};
use std::io::{self, ErrorKind};

/// The pipe.
#[derive(Debug, Default)]
pub struct Pipe {
    /// All that was ever written to it.
    pub written: Vec<u8>,
    room: usize,
    /// A write has found no room: an event comes when there is some.
    is_armed: bool,
    /// The event has come, and was not told yet.
    is_pending: bool,
    /// So many events said that there is some, and so many writes have found none less: only above zero may one be tried.
    told: u32,
    /// How much it takes at once, and how long it pauses after that.
    capacity: usize,
    pause: u64,
    pub reads_at: u64,
    /// So many times in a thousand a write finds no room although there is some. An event follows.
    blocks: u64,
    /// When it takes nothing any more, and what a write says then; `u64::MAX`: never.
    pub breaks_at: u64,
    error: Option<ErrorKind>,
    has_broken: bool,
    /// A write has been told so.
    pub has_told: bool,
}

impl Pipe {
    /// A pipe that is looked at only when an event says that it takes something.
    pub fn new(capacity: usize, pause: u64) -> Pipe {
        Pipe {
            capacity,
            pause,
            is_armed: true,
            breaks_at: u64::MAX,
            ..Pipe::default()
        }
    }

    /// A pipe that is empty, and may be written to at once. It is first read at `reads_at`.
    pub fn empty(capacity: usize, pause: u64, reads_at: u64, blocks: u64) -> Pipe {
        Pipe {
            room: capacity,
            is_armed: false,
            told: 1,
            reads_at,
            blocks,
            ..Pipe::new(capacity, pause)
        }
    }

    /// The pipe, of which so much is read at once from its first reading on.
    pub fn then_takes(self, capacity: usize) -> Pipe {
        Pipe { capacity, ..self }
    }

    /// A file: it takes all, and is ready once, as epoll takes no files.
    pub fn file() -> Pipe {
        Pipe {
            is_pending: true,
            ..Pipe::empty(usize::MAX, 0, u64::MAX, 0)
        }
    }

    /// The pipe, of which a write from `at` on says only this.
    pub fn breaks(self, at: u64, error: ErrorKind) -> Pipe {
        Pipe {
            breaks_at: at,
            error: Some(error),
            ..self
        }
    }

    /// Why a write fails, if it does.
    pub fn error(&self) -> Option<ErrorKind> {
        self.error
    }

    /// Somebody reads what is in it.
    pub fn is_read(&mut self, world: &mut World) {
        self.reads_at = world.now + world.rng.between(MILLISECOND, MILLISECOND + self.pause);
        self.room = self.capacity;
        self.is_pending |= std::mem::take(&mut self.is_armed);
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

    /// What its time has come for happens.
    pub fn goes_on(&mut self, world: &mut World) {
        if self.breaks_at <= world.now {
            (self.breaks_at, self.reads_at) = (u64::MAX, u64::MAX);
            self.room = 0;
            self.has_broken = true;
            // As epoll has it: whoever watches is told, whether he waits or not.
            self.is_armed = false;
            self.is_pending = true;
        }
        if self.reads_at <= world.now {
            self.is_read(world);
        }
    }

    pub fn write(&mut self, world: &mut World, bytes: &[u8]) -> io::Result<usize> {
        assert!(
            self.told > 0,
            "a write without an event since the last one blocked"
        );
        assert!(!bytes.is_empty(), "a write of nothing");
        assert!(!self.has_told, "a write to what had broken");
        if world.fault(world.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.has_broken {
            self.has_told = true;
            return Err(self.error.unwrap().into());
        }
        if self.room == 0 {
            self.is_armed = true;
            self.told = self.told.saturating_sub(1);
            return Err(ErrorKind::WouldBlock.into());
        }
        if world.fault(self.blocks) {
            self.told = self.told.saturating_sub(1);
            self.is_pending = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut count = self.room.min(bytes.len());
        if count > 1 && world.fault(world.faults.partial_write) {
            count = 1 + world.rng.index(count);
        }
        self.room -= count;
        self.written.extend(&bytes[..count]);
        world.trace(8, count as u64);
        Ok(count)
    }
}
