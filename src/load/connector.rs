//! The order in which connections are opened, and how far ahead of the server.
//!
//! Over loopback a connect succeeds before the server has accepted anything, and once the accept queue is full the kernel
//! drops SYNs, which are retransmitted after a second. So the number of connections that the server has not provably
//! accepted is bounded: every sixteenth connection requests an echo, and since the accept queue is first in, first out,
//! its reply proves that all connections before it were accepted too.

use super::Pace;
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// One connection of this many requests an echo as a proof.
const PROOF_EVERY: u32 = 16;

/// An echo that proves acceptance.
#[derive(Clone, Copy, Debug)]
struct Proof {
    connection: u32,
    requested_at: Option<Time>,
    is_settled: bool,
}

/// Opens connections in order. They are numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Connector {
    total: u32,
    window: u32,
    proof_timeout: Duration,
    pace: Option<Pace>,
    next: u32,
    /// Connections that are connecting, and when each began.
    pub(super) connecting: HashMap<u32, Time>,
    /// Outstanding proofs, in the order of their connections.
    proofs: VecDeque<Proof>,
    started_since_proof: u32,
    /// All connections below this number were accepted or have ended.
    proven: u32,
    /// The server sends no proofs: it does not echo, or it does not accept.
    is_without_proofs: bool,
}

impl Connector {
    pub(super) fn new(
        total: u32,
        window: u32,
        ramp: Option<f64>,
        proof_timeout: Duration,
        now: Time,
    ) -> Connector {
        Connector {
            total,
            window: window.max(PROOF_EVERY),
            proof_timeout,
            pace: ramp.map(|per_second| Pace::new(now, per_second, 1)),
            ..Connector::default()
        }
    }

    /// The number of the connection to open now, if any.
    pub(super) fn next(&self, now: Time) -> Option<u32> {
        (self.has_room() && self.next_due() <= now).then_some(self.next)
    }

    fn next_due(&self) -> Time {
        self.pace
            .map_or(Time::ZERO, |pace| pace.due(self.next.into()))
    }

    fn has_room(&self) -> bool {
        if self.is_without_proofs {
            return self.next < self.total && self.connecting.len() < self.window as usize;
        }
        let unproven = self.next - self.proven;
        // Without an outstanding proof fewer than `PROOF_EVERY` are unproven.
        self.next < self.total && (unproven < self.window || self.proofs.is_empty())
    }

    /// The next connection is connecting.
    pub(super) fn on_started(&mut self, now: Time) {
        self.connecting.insert(self.next, now);
        self.started_since_proof += 1;
        let is_last = self.next + 1 == self.total;
        if !self.is_without_proofs && (self.started_since_proof == PROOF_EVERY || is_last) {
            self.started_since_proof = 0;
            self.proofs.push_back(Proof {
                connection: self.next,
                requested_at: None,
                is_settled: false,
            });
        }
        self.next += 1;
    }

    /// The next connection failed at once.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Opens no further connections; returns how many were left.
    pub(super) fn cancel_rest(&mut self) -> u32 {
        let left = self.total - self.next;
        self.total = self.next;
        left
    }

    /// A connection is established: returns how long it took, and whether it must request a proof. None if it was not
    /// connecting.
    pub(super) fn on_established(
        &mut self,
        connection: u32,
        now: Time,
    ) -> Option<(Duration, bool)> {
        let began = self.connecting.remove(&connection)?;
        let proof = self.proof(connection);
        let is_proof = proof.is_some();
        if let Some(proof) = proof {
            proof.requested_at = Some(now);
        }
        Some((now.since(began), is_proof))
    }

    fn proof(&mut self, connection: u32) -> Option<&mut Proof> {
        let mut proofs = self.proofs.iter_mut();
        proofs.find(|proof| proof.connection == connection)
    }

    /// A connection has ended; returns whether it was still connecting.
    pub(super) fn on_closed(&mut self, connection: u32) -> bool {
        let was_connecting = self.connecting.remove(&connection).is_some();
        self.settle_proof(connection);
        was_connecting
    }

    /// A connection has sent its proof, or will not send it any more.
    pub(super) fn settle_proof(&mut self, connection: u32) {
        if let Some(proof) = self.proof(connection) {
            proof.is_settled = true;
        }
        while let Some(proof) = self.proofs.front().filter(|proof| proof.is_settled) {
            self.proven = proof.connection + 1;
            self.proofs.pop_front();
        }
    }

    /// Whether the server has accepted this connection, as far as that can be proven.
    pub(super) fn is_proven(&self, connection: u32) -> bool {
        connection < self.proven || self.is_without_proofs
    }

    /// Stops waiting for proofs if the oldest is overdue; returns whether it was.
    pub(super) fn abandon_proofs(&mut self, now: Time) -> bool {
        if self.proof_overdue_at().is_none_or(|due| due > now) {
            return false;
        }
        self.is_without_proofs = true;
        self.proofs.clear();
        true
    }

    fn proof_overdue_at(&self) -> Option<Time> {
        let oldest = self.proofs.iter().find_map(|proof| proof.requested_at)?;
        Some(oldest + self.proof_timeout)
    }

    /// Whether every connection is established or has failed, and no proof is outstanding.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.total && self.connecting.is_empty() && self.proofs.is_empty()
    }

    /// When to call again even without an event.
    pub(super) fn wake_at(&self) -> Option<Time> {
        let next = self.has_room().then(|| self.next_due());
        next.into_iter().chain(self.proof_overdue_at()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn connector(total: u32, window: u32) -> Connector {
        Connector::new(total, window, None, TIMEOUT, Time::ZERO)
    }

    proptest! {
        /// The server accepts in order at arbitrary times, and some connects fail: the accept queue never exceeds the
        /// window, and all connections are opened.
        #[test]
        fn accept_queue_stays_below_the_window(total in 1_u32..2000, window in 16_u32..300, steps in proptest::collection::vec(0_u8..8, 20..200)) {
            let mut connector = connector(total, window);
            let (mut queue, mut proofs) = (VecDeque::new(), Vec::new());
            // At least one step accepts.
            let mut steps = steps.into_iter().chain([5]).cycle();
            while !connector.is_done() {
                match (steps.next().unwrap(), connector.next(Time::ZERO)) {
                    (0, Some(_)) => connector.skip(),
                    (1..5, Some(connection)) => {
                        connector.on_started(Time::ZERO);
                        queue.push_back(connection);
                        let (_, is_proof) = connector.on_established(connection, Time::ZERO).unwrap();
                        if is_proof { proofs.push(connection); }
                    }
                    _ => if let Some(accepted) = queue.pop_front() && proofs.contains(&accepted) {
                        connector.settle_proof(accepted);
                    }
                }
                prop_assert!(queue.len() <= window as usize, "{} of {window}", queue.len());
            }
            prop_assert_eq!(connector.next, total);
        }
    }

    #[test]
    fn missing_proofs_are_abandoned_after_the_timeout() {
        let mut connector = connector(100, 16);
        while let Some(connection) = connector.next(Time::ZERO) {
            connector.on_started(Time::ZERO);
            connector.on_established(connection, Time::ZERO);
        }
        assert_eq!(connector.wake_at(), Some(Time::ZERO + TIMEOUT));
        assert!(!connector.abandon_proofs(Time::ZERO));
        assert!(connector.abandon_proofs(Time::ZERO + TIMEOUT));
        assert!(!connector.abandon_proofs(Time::ZERO + TIMEOUT), "once only");
        assert!(connector.next(Time::ZERO).is_some());
    }

    #[test]
    fn ramp_delays_the_next_connect() {
        let mut connector = Connector::new(10, 100, Some(2.0), TIMEOUT, Time::ZERO);
        let half = Time::ZERO + Duration::from_millis(500);
        assert_eq!(connector.next(Time::ZERO), Some(0));
        connector.on_started(Time::ZERO);
        assert_eq!(connector.next(Time::ZERO), None);
        assert_eq!(connector.wake_at(), Some(half));
        assert_eq!(connector.next(half), Some(1));
    }

    #[test]
    fn cancel_rest_returns_how_many_were_left() {
        let mut connector = connector(10, 100);
        connector.on_started(Time::ZERO);
        assert_eq!(connector.cancel_rest(), 9);
        assert!(!connector.is_done());
        assert!(connector.on_closed(0));
        assert!(connector.is_done());
        assert!(!connector.on_closed(0));
    }
}
