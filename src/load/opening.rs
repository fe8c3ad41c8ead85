//! The order in which connections are opened, and how far ahead of the server.
//!
//! Over loopback a connect succeeds before the server has accepted anything, and once the accept queue is full the kernel
//! drops the handshake, which is tried again after a second. So what the server has not shown to have accepted is
//! bounded: every sixteenth connection is asked for an echo, and since the queue is first in, first out, its answer
//! proves that all before it were accepted too.

use super::pace::Pace;
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Every so many connections one is asked for an echo.
const PROOF_EVERY: u32 = 16;

/// An echo that is awaited as a proof.
#[derive(Clone, Copy, Debug)]
struct Proof {
    connection: u32,
    asked_at: Option<Time>,
    is_settled: bool,
}

/// How far the opening is.
#[derive(Debug)]
pub(super) struct Opening {
    total: u32,
    window: u32,
    patience: Duration,
    pace: Option<Pace>,
    next: u32,
    /// Connections begun that neither stand nor have failed, and when they were begun.
    pending: HashMap<u32, Time>,
    /// Proofs awaited, in the order of their connections.
    proofs: VecDeque<Proof>,
    begun_since_proof: u32,
    /// All connections below this were accepted, or have ended.
    proven: u32,
    /// The server gives no proofs: it does not echo, or it does not accept.
    is_blind: bool,
    pub(super) began: Time,
}

impl Opening {
    pub(super) fn new(
        total: u32,
        window: u32,
        ramp: Option<f64>,
        patience: Duration,
        now: Time,
    ) -> Opening {
        Opening {
            total,
            window: window.max(PROOF_EVERY),
            patience,
            pace: ramp.map(|per_second| Pace::new(now, per_second, 1)),
            next: 0,
            pending: HashMap::new(),
            proofs: VecDeque::new(),
            begun_since_proof: 0,
            proven: 0,
            is_blind: false,
            began: now,
        }
    }

    /// The number of the connection to begin now, if one is to be.
    pub(super) fn next(&self, now: Time) -> Option<u32> {
        let is_due = self
            .pace
            .is_none_or(|pace| pace.due(self.next.into()) <= now);
        (self.has_room() && is_due).then_some(self.next)
    }

    fn has_room(&self) -> bool {
        if self.is_blind {
            return self.next < self.total && self.pending.len() < self.window as usize;
        }
        let unproven = self.next - self.proven;
        // While no proof is awaited, fewer than `PROOF_EVERY` can be unproven.
        self.next < self.total && (unproven < self.window || self.proofs.is_empty())
    }

    /// The connection that was next has been begun.
    pub(super) fn begun(&mut self, now: Time) {
        self.pending.insert(self.next, now);
        self.begun_since_proof += 1;
        let is_last = self.next + 1 == self.total;
        if !self.is_blind && (self.begun_since_proof == PROOF_EVERY || is_last) {
            self.begun_since_proof = 0;
            self.proofs.push_back(Proof {
                connection: self.next,
                asked_at: None,
                is_settled: false,
            });
        }
        self.next += 1;
    }

    /// The connection that was next could not be begun.
    pub(super) fn skipped(&mut self) {
        self.next += 1;
    }

    /// Nothing more is to be begun; returns how many are left out.
    pub(super) fn stop(&mut self) -> u32 {
        let left = self.total - self.next;
        self.total = self.next;
        left
    }

    /// A connection stands: how long it took, and whether it is to be asked for a proof. None if it was not awaited.
    pub(super) fn stands(&mut self, connection: u32, now: Time) -> Option<(Duration, bool)> {
        let began = self.pending.remove(&connection)?;
        let proof = self
            .proofs
            .iter_mut()
            .find(|proof| proof.connection == connection);
        let is_asked = proof.is_some();
        if let Some(proof) = proof {
            proof.asked_at = Some(now);
        }
        Some((now.since(began), is_asked))
    }

    /// Whether a connection is begun and not established.
    pub(super) fn is_connecting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// When a connection was begun that is not established.
    pub(super) fn begun_at(&self, connection: u32) -> Option<Time> {
        self.pending.get(&connection).copied()
    }

    /// A connection has failed before it stood; true if it was awaited.
    pub(super) fn failed(&mut self, connection: u32) -> bool {
        let was_awaited = self.pending.remove(&connection).is_some();
        self.settle(connection);
        was_awaited
    }

    /// A connection has given its proof, or never will.
    pub(super) fn settle(&mut self, connection: u32) {
        if let Some(proof) = self
            .proofs
            .iter_mut()
            .find(|proof| proof.connection == connection)
        {
            proof.is_settled = true;
        }
        while let Some(proof) = self.proofs.front().filter(|proof| proof.is_settled) {
            self.proven = proof.connection + 1;
            self.proofs.pop_front();
        }
    }

    /// Whether the server has shown that it accepted this connection.
    pub(super) fn is_proven(&self, connection: u32) -> bool {
        connection < self.proven || self.is_blind
    }

    /// Stops to wait for proofs when the oldest is overdue; true when that happens.
    pub(super) fn goes_blind(&mut self, now: Time) -> bool {
        if self.is_blind || self.overdue_at().is_none_or(|due| due > now) {
            return false;
        }
        self.is_blind = true;
        self.proofs.clear();
        true
    }

    fn overdue_at(&self) -> Option<Time> {
        let oldest = self.proofs.iter().find_map(|proof| proof.asked_at)?;
        Some(oldest + self.patience)
    }

    /// Whether nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.next == self.total && self.pending.is_empty() && self.proofs.is_empty()
    }

    /// When there is something to do even if nothing happens.
    pub(super) fn wake_at(&self) -> Option<Time> {
        let next = self.has_room().then(|| {
            self.pace
                .map_or(Time::ZERO, |pace| pace.due(self.next.into()))
        });
        next.into_iter().chain(self.overdue_at()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn opening(total: u32, window: u32) -> Opening {
        Opening::new(total, window, None, PATIENCE, Time::ZERO)
    }

    proptest! {
        /// A server that accepts in order, when it likes, and connects of which some fail: the accept queue never holds
        /// more than the window, and all comes to an end.
        #[test]
        fn the_accept_queue_stays_below_the_window(total in 1_u32..2000, window in 16_u32..300, steps in proptest::collection::vec(0_u8..8, 20..200)) {
            let mut opening = opening(total, window);
            let (mut queue, mut asked) = (VecDeque::new(), Vec::new());
            // Whatever the steps are, some of them accept.
            let mut steps = steps.into_iter().chain([5]).cycle();
            while !opening.is_over() {
                match (steps.next().unwrap(), opening.next(Time::ZERO)) {
                    (0, Some(_)) => opening.skipped(),
                    (1..5, Some(connection)) => {
                        opening.begun(Time::ZERO);
                        queue.push_back(connection);
                        let (_, is_proof) = opening.stands(connection, Time::ZERO).unwrap();
                        if is_proof { asked.push(connection); }
                    }
                    _ => if let Some(accepted) = queue.pop_front() && asked.contains(&accepted) {
                        opening.settle(accepted);
                    }
                }
                prop_assert!(queue.len() <= window as usize, "{} of {window}", queue.len());
            }
            prop_assert_eq!(opening.next, total);
        }
    }

    #[test]
    fn a_server_that_proves_nothing_holds_nothing_up_for_ever() {
        let mut opening = opening(100, 16);
        while let Some(connection) = opening.next(Time::ZERO) {
            opening.begun(Time::ZERO);
            opening.stands(connection, Time::ZERO);
        }
        assert_eq!(opening.wake_at(), Some(Time::ZERO + PATIENCE));
        assert!(!opening.goes_blind(Time::ZERO));
        assert!(opening.goes_blind(Time::ZERO + PATIENCE));
        assert!(opening.next(Time::ZERO).is_some());
    }

    #[test]
    fn a_ramp_holds_back() {
        let mut opening = Opening::new(10, 100, Some(2.0), PATIENCE, Time::ZERO);
        let half = Time::ZERO + Duration::from_millis(500);
        assert_eq!(opening.next(Time::ZERO), Some(0));
        opening.begun(Time::ZERO);
        assert_eq!(opening.next(Time::ZERO), None);
        assert_eq!(opening.wake_at(), Some(half));
        assert_eq!(opening.next(half), Some(1));
    }

    #[test]
    fn who_stops_says_how_many_are_left_out() {
        let mut opening = opening(10, 100);
        opening.begun(Time::ZERO);
        assert_eq!(opening.stop(), 9);
        assert!(!opening.is_over());
        assert!(opening.failed(0));
        assert!(opening.is_over());
        assert!(!opening.failed(0));
    }
}
