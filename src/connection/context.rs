//! The data that all connections of an event loop share, and the context in which a connection is driven.

use super::{CloseReason, Pool};
use crate::net::{Key, Time};
use crate::reactor::SCRATCH_SIZE;
use std::io;

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of pending output above which a connection is not read.
    ///
    /// A connection with pending output is read only if a whole read still fits below this limit. With the default, the
    /// size of one read, a connection with any pending output is not read.
    pub max_pending: usize,
    /// Work that one connection may cause in one iteration: bytes read or bytes written, whichever is more, and
    /// [`MESSAGE_COST`] for each message.
    pub budget: usize,
}

/// The cost of answering a message beside its bytes, as a number of bytes whose raw echo takes as long.
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
    /// The size of one read: at most `max_pending`, since the reply may be as long as the input.
    fn read_size(&self) -> usize {
        self.max_pending.min(self.budget).clamp(1, SCRATCH_SIZE)
    }
}

/// The data that all connections of an event loop share.
#[derive(Debug)]
pub struct Common<P> {
    /// The protocol, with the data that its sessions share.
    pub protocol: P,
    /// The memory that connections hold.
    pub pool: Pool,
    /// The limits of each connection.
    pub limits: Limits,
    /// Bytes that arrived after our FIN and were dropped.
    pub bytes_dropped: u64,
    /// Bytes received on all connections since the start, also on those that are open.
    pub bytes_in: u64,
    /// Bytes that the kernel has accepted on all connections since the start.
    pub bytes_out: u64,
    /// Deadlines that have passed.
    pub deadlines: u64,
    /// The error that ended the connection driven last, if there was one.
    pub last_error: Option<io::Error>,
    /// [`Limits::read_size`], computed once.
    pub(super) read_size: usize,
}

impl<P> Common<P> {
    /// For connections of `protocol` that together hold at most `max_buffered` bytes. A limit of zero counts as one byte,
    /// since nothing could be read otherwise.
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
            bytes_in: 0,
            bytes_out: 0,
            deadlines: 0,
            last_error: None,
            read_size: limits.read_size(),
        }
    }
}

/// What a connection waits for after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Input only: the connection has answered input, and is caught up again.
    Input,
    /// An event of any kind.
    Event,
    /// The next iteration: the budget for this one is used up, and no further event may arrive.
    Again,
    /// Memory: there may be input, but all connections together hold too much.
    Memory,
    /// The owner, which is to take the record that the connection holds.
    RecordReady,
    /// Nothing: the connection has ended, and its owner is to close it.
    Closed(CloseReason),
}

/// The context in which a connection is driven.
#[derive(Debug)]
pub struct DriveContext<'a, P> {
    /// The key of the connection, for the log and for its buffers.
    pub key: Key,
    /// The time that is passed to sessions.
    pub now: Time,
    /// The data that all connections share.
    pub common: &'a mut Common<P>,
    /// The buffer for output in several pieces; its contents are meaningless afterwards.
    pub write_buffer: &'a mut Vec<u8>,
    /// The part of the connection's [budget](Limits::budget) that is used up in this iteration.
    pub used: usize,
    /// Whether bytes have moved; not set if the outcome is [`Input`](super::Outcome::Input), which implies both.
    pub(super) moved: Moved,
}

/// Whether bytes have moved, which may restart a connection's timer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// Input was received.
    pub(super) received: bool,
    /// The kernel has accepted output.
    pub(super) sent: bool,
}

impl<'a, P> DriveContext<'a, P> {
    /// The context of the connection with this key, in an iteration that began at `now`.
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
            moved: Moved::default(),
        }
    }

    /// Counts work against the budget.
    pub(super) fn charge(&mut self, work: usize) {
        self.used = self.used.saturating_add(work);
    }

    /// The rest of the budget.
    pub(super) fn budget(&self) -> usize {
        self.common.limits.budget.saturating_sub(self.used)
    }

    /// Whether there is memory for the reply to more input.
    #[inline]
    pub(super) fn has_memory(&self) -> bool {
        !self.common.pool.is_scarce()
    }

    /// Keeps the error that ends a connection, for the log. Returns `reason`.
    pub(super) fn close_with(&mut self, error: io::Error, reason: CloseReason) -> CloseReason {
        self.common.last_error = Some(error);
        reason
    }

    /// As [`close_with`](Self::close_with), for an error of read(2).
    pub(super) fn close_on_read_error(&mut self, error: io::Error) -> CloseReason {
        let reason = CloseReason::of_error(&error, CloseReason::PeerReset);
        self.close_with(error, reason)
    }
}
