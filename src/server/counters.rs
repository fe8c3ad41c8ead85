//! The counters of the server. Plain integers: with one thread, no atomics are needed.

use crate::connection::{CloseReason, Closed};
use std::io;

/// Why a connection was refused: accepted and reset immediately, so that the client is notified. It never had a slot.
///
/// Or a proxy has reported the client, which was refused then ([`CloseReason::Refused`]): that connection counts as
/// opened and closed, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The limit of connections is reached.
    MaxConnections,
    /// The limit of connections from its source is reached.
    MaxPerSource,
    /// There is no memory for another connection, in the process or in the kernel's epoll instance.
    NoMemory,
    /// The protocol does not admit another connection until handshakes have completed
    /// ([`Protocol::admits`](crate::protocol::Protocol::admits)).
    MaxHandshakes,
    /// Its address is not admitted ([`Server::set_address_filter`](super::Server::set_address_filter)).
    Denied,
    /// Connections come from [proxies](crate::protocol::Protocol::proxies), and it does not.
    NotProxy,
}

impl Refusal {
    /// The number of causes.
    pub const COUNT: usize = 6;

    /// All causes, in the order of their numbers.
    pub const ALL: [Refusal; Refusal::COUNT] = [
        Refusal::MaxConnections,
        Refusal::MaxPerSource,
        Refusal::NoMemory,
        Refusal::MaxHandshakes,
        Refusal::Denied,
        Refusal::NotProxy,
    ];

    /// The limit that was reached, for the log.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Refusal::MaxConnections => "connection limit reached",
            Refusal::MaxPerSource => "connection limit of its source reached",
            Refusal::NoMemory => "no memory for another connection",
            Refusal::MaxHandshakes => "handshake limit reached",
            Refusal::Denied => "its address is not admitted",
            Refusal::NotProxy => "its address is not that of a proxy",
        }
    }
}

/// A limit that prevents new connections; [`Config::advice`](super::Config::advice) returns the remedy.
#[derive(Clone, Copy, Debug)]
pub enum Shortage<'a> {
    /// A connection was refused.
    Refused(Refusal),
    /// Accepting is paused, because a limit of the process or the system is reached. accept(2) returned this error.
    Paused(&'a io::Error),
    /// Accepting is paused, because [`Config::accept_rate`](super::Config::accept_rate) is reached.
    Rate,
}

/// Counters since the start of the server.
///
/// Invariant: `opened` = the sum of `closed` + the number of open connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that were accepted and admitted.
    pub opened: u64,
    /// Connections that were closed, by `reason as usize`.
    pub closed: [u64; CloseReason::COUNT],
    /// Connections that were refused, by cause.
    pub refused: [u64; Refusal::COUNT],
    /// Connections that failed before they were accepted, such as those reset in the accept queue.
    pub accept_failed: u64,
    /// Pauses of accepting, because file descriptors or memory were exhausted.
    pub accept_paused: u64,
    /// Pauses of accepting, because the limit of connections per second was reached.
    pub accept_limited: u64,
    /// Bytes received on closed connections.
    pub bytes_in: u64,
    /// Bytes sent on closed connections.
    pub bytes_out: u64,
}

impl Counters {
    pub(super) fn count_closed(&mut self, closed: &Closed) {
        self.closed[closed.reason as usize] += 1;
        self.bytes_in += closed.bytes_in;
        self.bytes_out += closed.bytes_out;
    }

    pub(super) fn count_refused(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }

    /// The number of closed connections, for all reasons.
    #[must_use]
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// The number of refused connections, for all causes.
    #[must_use]
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// The number of connections refused because of `refusal`.
    #[must_use]
    pub fn refused_for(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    /// The number of connections closed for `reason`.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
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
    fn closes_are_counted_by_reason_and_in_total() {
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
    fn refusals_are_counted_by_cause() {
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
