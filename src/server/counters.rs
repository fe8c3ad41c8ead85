//! What the server counts. Plain numbers: one thread, no locks, no atomics.

use crate::connection::{CloseReason, Closed};

/// Why a connection was refused: accepted and closed at once, so that its peer sees it. It was never open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There are as many connections as are allowed.
    MaxConnections,
    /// There are as many connections from its source as are allowed from one.
    MaxPerSource,
    /// There is no memory for another, in the process or in the kernel's selector.
    NoMemory,
}

impl Refusal {
    /// How many causes there are.
    pub const COUNT: usize = 3;

    /// What an operator reads.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Refusal::MaxConnections => "as many connections as allowed (--max-connections)",
            Refusal::MaxPerSource => {
                "as many connections from its source as allowed (--max-per-source)"
            }
            Refusal::NoMemory => "no memory for another connection",
        }
    }
}

/// Counts since the server began.
///
/// Invariant: `opened` = the sum of `closed` + the connections that are live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were taken.
    pub opened: u64,
    /// Connections that have ended, by the [`index`](CloseReason::index) of the reason.
    pub closed: [u64; CloseReason::COUNT],
    /// Connections that were refused, by cause.
    pub refused: [u64; Refusal::COUNT],
    /// Connections that failed before they were accepted, such as those reset in the queue.
    pub accept_failed: u64,
    /// How often accepting had to pause because descriptors or memory were exhausted.
    pub accept_paused: u64,
    /// Bytes read from connections that have ended.
    pub bytes_in: u64,
    /// Bytes sent on connections that have ended.
    pub bytes_out: u64,
}

impl Counters {
    pub(super) fn count_closed(&mut self, closed: &Closed) {
        self.closed[closed.reason.index()] += 1;
        self.bytes_in += closed.bytes_in;
        self.bytes_out += closed.bytes_out;
    }

    pub(super) fn count_refused(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }

    /// How many connections have ended, whatever the reason.
    #[must_use]
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// How many connections were refused, whatever the cause.
    #[must_use]
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// How many connections were refused for `refusal`.
    #[must_use]
    pub fn refused_for(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    /// How many connections have ended for `reason`.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason.index()]
    }
}
