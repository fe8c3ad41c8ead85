//! What the server counts. Plain numbers: one thread, no locks, no atomics.

use crate::connection::{CloseReason, Closed};
use crate::net::Limit;

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

    /// The limit that was reached, for the log.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Refusal::MaxConnections => "connection limit reached",
            Refusal::MaxPerSource => "connection limit of its source reached",
            Refusal::NoMemory => "no memory for another connection",
        }
    }
}

/// A limit that keeps new connections out: [`Config::advice`](super::Config::advice) gives the remedy for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// A connection was refused.
    Refused(Refusal),
    /// Accepting is paused, because a limit of the process or the machine is reached.
    Paused(Limit),
}

/// Counts since the server began.
///
/// Invariant: `opened` = the sum of `closed` + the connections that are live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(reason: CloseReason, bytes_in: u64, bytes_out: u64) -> Closed {
        Closed {
            reason,
            tag: 0,
            pending_output: 0,
            bytes_in,
            bytes_out,
            error: None,
        }
    }

    #[test]
    fn each_end_is_counted_under_its_reason_and_in_all() {
        let mut counters = Counters::default();
        counters.count_closed(&closed(CloseReason::PeerClosed, 5, 3));
        counters.count_closed(&closed(CloseReason::PeerClosed, 20, 10));
        counters.count_closed(&closed(CloseReason::Idle, 0, 0));
        assert_eq!(counters.closed_for(CloseReason::PeerClosed), 2);
        assert_eq!(counters.closed_for(CloseReason::Idle), 1);
        assert_eq!(counters.closed_for(CloseReason::Stalled), 0);
        assert_eq!(counters.closed_in_all(), 3);
        assert_eq!((counters.bytes_in, counters.bytes_out), (25, 13));
    }

    #[test]
    fn each_refusal_is_counted_under_its_cause() {
        let mut counters = Counters::default();
        counters.count_refused(Refusal::MaxPerSource);
        counters.count_refused(Refusal::MaxPerSource);
        counters.count_refused(Refusal::NoMemory);
        assert_eq!(counters.refused_for(Refusal::MaxPerSource), 2);
        assert_eq!(counters.refused_for(Refusal::NoMemory), 1);
        assert_eq!(counters.refused_for(Refusal::MaxConnections), 0);
        assert_eq!(counters.refused_in_all(), 3);
    }
}
