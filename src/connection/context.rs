//! What all connections of a loop share, and the context in which one of them is driven.

use super::{CloseReason, Pool};
use crate::net::{Key, Time};
use crate::reactor::SCRATCH_SIZE;
use std::io;

/// What one connection may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of pending output above which a connection is not read.
    ///
    /// A connection with pending output is read only while a whole read would still fit below this. So with the
    /// default, the size of one read, a connection with any pending output is not read.
    pub max_pending: usize,
    /// Work that one connection may cause in one iteration, in bytes read or written, whichever are more. Each message
    /// counts as [`MESSAGE_COST`] bytes besides.
    pub budget: usize,
}

/// The cost of answering a message beside its bytes, in bytes of raw echo that take as long.
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
    /// How much is read at once: never more than may be pending, since the answer may be as long.
    fn read_size(&self) -> usize {
        self.max_pending.min(self.budget).clamp(1, SCRATCH_SIZE)
    }
}

/// What all connections of a loop share.
#[derive(Debug)]
pub struct Common<P> {
    /// The protocol, with what its sessions share.
    pub protocol: P,
    /// The memory that connections hold.
    pub pool: Pool,
    /// What each connection may use.
    pub limits: Limits,
    /// Bytes that arrived after our FIN and were dropped.
    pub bytes_dropped: u64,
    /// The error that ended the connection that was driven last, if an error did.
    pub last_error: Option<io::Error>,
    /// [`Limits::read_size`], computed once.
    pub(super) read_size: usize,
}

impl<P> Common<P> {
    /// For connections of `protocol` that hold at most `max_buffered` bytes together. A limit of zero counts as one,
    /// since no byte could move otherwise.
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

/// The context in which a connection is driven.
#[derive(Debug)]
pub struct DriveContext<'a, P> {
    /// Names the connection: for the log, and for the memory that it holds.
    pub key: Key,
    /// The time that sessions are given.
    pub now: Time,
    /// What all connections share.
    pub common: &'a mut Common<P>,
    /// The buffer for output in several pieces; its contents are of no use afterwards.
    pub write_buffer: &'a mut Vec<u8>,
    /// How much of the connection's [budget](Limits::budget) is used up in this iteration.
    pub used: usize,
    /// Whether input was received; not set where the outcome is [`Input`](super::Outcome::Input), which implies it.
    pub received: bool,
    /// Whether the kernel has accepted output; likewise.
    pub sent: bool,
}

impl<'a, P> DriveContext<'a, P> {
    /// The context of the connection that `key` names, in an iteration that began at `now`.
    #[inline]
    pub fn new(
        key: Key,
        now: Time,
        common: &'a mut Common<P>,
        write_buffer: &'a mut Vec<u8>,
    ) -> Self {
        DriveContext {
            key,
            now,
            common,
            write_buffer,
            used: 0,
            received: false,
            sent: false,
        }
    }

    /// Takes work that was done from the budget.
    pub(super) fn charge(&mut self, work: usize) {
        self.used = self.used.saturating_add(work);
    }

    /// What is left of the budget.
    pub(super) fn budget(&self) -> usize {
        self.common.limits.budget.saturating_sub(self.used)
    }

    /// Whether there is memory for the answer to more input.
    #[inline]
    pub(super) fn has_memory(&self) -> bool {
        !self.common.pool.is_scarce()
    }

    /// Closes a connection because of an error, which is kept for the log.
    pub(super) fn close_with(&mut self, error: io::Error, reason: CloseReason) -> CloseReason {
        self.common.last_error = Some(error);
        reason
    }
}
