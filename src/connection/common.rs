//! What all connections of a loop share, and what one of them is driven with.

use super::Pool;
use crate::net::{Key, Time};
use crate::reactor::SCRATCH_SIZE;
use std::io;

/// What one connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that may be owed to one peer before it is read no more.
    ///
    /// A connection that owes is read only while a whole read would still fit below this. So with the default, the
    /// size of one read, a connection that owes anything is not read.
    pub max_pending: usize,
    /// Work that one connection may cause in one iteration, in bytes read or written, whichever are more. Each message
    /// counts as [`MESSAGE_COST`] bytes besides.
    pub budget: usize,
}

/// What answering a message costs beside its bytes, in bytes of raw echo that take as long.
pub const MESSAGE_COST: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_pending: SCRATCH_SIZE,
            budget: 2 * SCRATCH_SIZE,
        }
    }
}

impl Limits {
    /// How much is read at once: never more than may be owed, since the answer may be as long.
    fn read_size(&self) -> usize {
        self.max_pending.min(self.budget).clamp(1, SCRATCH_SIZE)
    }
}

/// What all connections of a loop share.
#[derive(Debug)]
pub struct Common<P> {
    /// The protocol, with what its sessions share.
    pub protocol: P,
    /// The memory held for what is owed.
    pub pool: Pool,
    /// What each connection may take.
    pub limits: Limits,
    /// Bytes that came after our FIN and were dropped.
    pub bytes_dropped: u64,
    /// The error that ended the connection driven last, if it was one.
    pub last_error: Option<io::Error>,
    /// [`Limits::read_size`], which would be worked out anew for every message.
    pub(super) read_size: usize,
}

impl<P> Common<P> {
    /// For connections that speak `protocol` and hold at most `max_buffered` bytes together. A limit of zero is taken
    /// for one, since nothing would move.
    pub fn new(protocol: P, limits: Limits, max_buffered: usize) -> Common<P> {
        let limits = Limits {
            max_pending: limits.max_pending.max(1),
            budget: limits.budget.max(1),
        };
        Common {
            protocol,
            pool: Pool::new(max_buffered),
            limits,
            bytes_dropped: 0,
            last_error: None,
            read_size: limits.read_size(),
        }
    }
}

/// What a connection is driven with.
#[derive(Debug)]
pub struct Workbench<'a, P> {
    /// Names the connection: for the log, and as the holder of what it holds.
    pub key: Key,
    /// The time that sessions are given.
    pub now: Time,
    /// What all connections share.
    pub common: &'a mut Common<P>,
    /// The buffer that answers in several pieces are gathered in; of no value afterwards.
    pub gathered: &'a mut Vec<u8>,
    /// How much of the connection's [budget](Limits::budget) is used up in this iteration.
    pub used: usize,
}

impl<P> Workbench<'_, P> {
    /// Takes work that was done from the budget.
    pub(super) fn charge(&mut self, work: usize) {
        self.used = self.used.saturating_add(work);
    }

    /// What is left of the budget.
    pub(super) fn budget(&self) -> usize {
        self.common.limits.budget.saturating_sub(self.used)
    }

    /// What is held from now on is held for this connection. Called off the path of a message that is echoed at once.
    #[inline]
    pub(super) fn becomes_holder(&mut self) {
        self.common.pool.current = self.key;
    }

    /// Whether there is memory to hold what an answer to more input may come to.
    #[inline]
    pub(super) fn may_read(&self) -> bool {
        !self.common.pool.is_scarce()
    }
}
