//! Which connections the server has accepted, as far as its accept queue shows.
//!
//! The queue is first in, first out: of the connections that are established, all but as many as wait in it were accepted.
//! A server at its limit accepts a connection only to close it, so a connection counts as held by the server only some
//! time after it was accepted.

use crate::time::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// A connection that the server closes within this time after accepting it was refused.
const REFUSED_WITHIN: Duration = Duration::from_millis(500);

/// The distance between entries of the history.
const STEP: Duration = Duration::from_millis(50);

/// The number of accepted connections over time.
#[derive(Debug)]
pub(super) struct Acceptance {
    /// When so many were known to be accepted: those of the last `REFUSED_WITHIN`, and one before.
    history: VecDeque<(Time, u32)>,
    /// Since when connections wait in the accept queue without any being accepted.
    stalled_since: Option<Time>,
}

impl Acceptance {
    pub(super) fn new(now: Time) -> Acceptance {
        Acceptance {
            history: VecDeque::from([(now, 0)]),
            stalled_since: None,
        }
    }

    /// The first `accepted` connections are accepted, and `waiting` more may be in the accept queue.
    pub(super) fn update(&mut self, accepted: u32, waiting: u32, now: Time) {
        if accepted > self.accepted() {
            let before = self.history.iter().rev().nth(1);
            if before.is_some_and(|(at, _)| *at + STEP > now) {
                self.history.pop_back();
            }
            self.history.push_back((now, accepted));
            self.stalled_since = None;
        }
        self.stalled_since = match waiting {
            0 => None,
            _ => self.stalled_since.or(Some(now)),
        };
        while self
            .history
            .get(1)
            .is_some_and(|(at, _)| *at + REFUSED_WITHIN <= now)
        {
            self.history.pop_front();
        }
    }

    /// How many connections are accepted.
    pub(super) fn accepted(&self) -> u32 {
        self.history.back().map_or(0, |(_, accepted)| *accepted)
    }

    /// For how long none was accepted of those that wait.
    pub(super) fn stalled_for(&self, now: Time) -> Duration {
        self.stalled_since
            .map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether the server has kept this connection since it accepted it, long enough not to have refused it.
    pub(super) fn is_held(&self, connection: u32, now: Time) -> bool {
        let held = self
            .history
            .iter()
            .rev()
            .find(|(at, _)| *at + REFUSED_WITHIN <= now);
        held.is_some_and(|(_, accepted)| connection < *accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::ZERO + Duration::from_millis(milliseconds)
    }

    #[test]
    fn accepted_connection_is_held_half_a_second_later() {
        let mut acceptance = Acceptance::new(at(0));
        acceptance.update(10, 5, at(100));
        acceptance.update(15, 0, at(300));
        assert_eq!(acceptance.accepted(), 15);
        assert!(!acceptance.is_held(9, at(599)));
        assert!(acceptance.is_held(9, at(600)) && !acceptance.is_held(10, at(600)));
        assert!(acceptance.is_held(14, at(800)) && !acceptance.is_held(15, at(9_000)));
    }

    #[test]
    fn history_is_short_and_its_last_entry_is_exact() {
        let mut acceptance = Acceptance::new(at(0));
        for millis in 1..5_000 {
            acceptance.update(u32::try_from(millis).unwrap(), 1, at(millis));
            assert!(acceptance.history.len() <= 13, "{acceptance:?}");
            assert_eq!(u64::from(acceptance.accepted()), millis);
            // Late by at most a step.
            assert!(
                millis < 560
                    || acceptance.is_held(u32::try_from(millis - 560).unwrap(), at(millis))
            );
            assert!(
                millis < 500
                    || !acceptance.is_held(u32::try_from(millis - 500).unwrap(), at(millis))
            );
        }
    }

    #[test]
    fn server_that_accepts_none_of_those_waiting_is_stalled() {
        let mut acceptance = Acceptance::new(at(0));
        acceptance.update(0, 0, at(1_000));
        assert_eq!(acceptance.stalled_for(at(2_000)), Duration::ZERO);
        acceptance.update(0, 3, at(3_000));
        acceptance.update(0, 8, at(4_000));
        assert_eq!(acceptance.stalled_for(at(5_000)), Duration::from_secs(2));
        acceptance.update(1, 7, at(5_000));
        assert_eq!(acceptance.stalled_for(at(6_000)), Duration::from_secs(1));
        acceptance.update(8, 0, at(6_000));
        assert_eq!(acceptance.stalled_for(at(9_000)), Duration::ZERO);
    }
}
