//! What is known of when an event occurred, as opposed to when the loop handles it.
//!
//! A loop that was busy, or a process that was stopped, handles an event long after the kernel had it. So the lateness
//! of the loop must not be taken for that of the server.

use crate::time::Time;
use std::time::Duration;

/// A wait that has brought this many events may have left some in the kernel (`MioNet` takes 1,024 at once).
const MANY_EVENTS: u32 = 512;

/// An empty wait that ends so much later than it was to end was not ended by its timeout: the process was stopped.
const PUNCTUAL: Duration = Duration::from_millis(100);

/// The loop's waits for events, the current one and what those before it have shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// Every event that occurred before this has been brought by an earlier wait.
    complete_until: Time,
    began: Time,
    /// When the wait was to end if no event came.
    due: Option<Time>,
    events: u32,
}

impl Waits {
    /// Before the first one.
    pub(super) fn new(now: Time) -> Waits {
        Waits {
            complete_until: now,
            began: now,
            due: None,
            events: 0,
        }
    }

    /// A wait begins `now` that lasts until `due` if no event comes. The one before it ended at `ended`.
    pub(super) fn begin(&mut self, ended: Time, now: Time, due: Option<Time>) {
        let by_timeout = self
            .due
            .is_some_and(|due| due <= ended && ended.since(due) < PUNCTUAL);
        self.complete_until = match self.events {
            // After an interruption, by SIGSTOP for one, events may be there that were not brought.
            0 if !by_timeout => self.began,
            MANY_EVENTS.. => self.complete_until,
            _ => ended,
        };
        (self.began, self.due, self.events) = (now, due, 0);
    }

    /// The wait has brought an event.
    #[inline]
    pub(super) fn event(&mut self) {
        self.events += 1;
    }

    /// When the current wait began: every event that occurred before has been handled once its events are.
    pub(super) fn began(&self) -> Time {
        self.began
    }

    /// A time before which an event of the current wait, which ended at `ended`, cannot have occurred.
    ///
    /// The selector sleeps only while there is no event. If it did so for longer than the loop had been away from it,
    /// the event occurred when the wait ended; if not, it may have been there ever since earlier events were brought.
    pub(super) fn event_not_before(&self, ended: Time) -> Time {
        if ended.since(self.began) > self.began.since(self.complete_until) {
            ended
        } else {
            self.complete_until
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::ZERO + Duration::from_millis(milliseconds)
    }

    /// Waits of which each began, brought so many events, and ended, in milliseconds; the last is the current one.
    fn waits(steps: &[(u64, u32, u64)]) -> (Waits, Time) {
        let mut waits = Waits::new(at(0));
        let mut ended = at(0);
        for (began, events, end) in steps {
            waits.begin(ended, at(*began), Some(at(10_000)));
            (0..*events).for_each(|_| waits.event());
            ended = at(*end);
        }
        (waits, ended)
    }

    fn not_before(steps: &[(u64, u32, u64)]) -> Time {
        let (waits, ended) = waits(steps);
        waits.event_not_before(ended)
    }

    #[test]
    fn an_event_that_ends_a_sleep_occurred_then() {
        assert_eq!(not_before(&[(1, 1, 1_010)]), at(1_010));
        // So did one that comes right behind it.
        assert_eq!(not_before(&[(1, 1, 1_010), (1_011, 1, 1_011)]), at(1_010));
    }

    #[test]
    fn an_event_during_a_busy_iteration_may_be_as_old_as_that() {
        assert_eq!(not_before(&[(1, 1, 10), (3_000, 1, 3_000)]), at(10));
        assert_eq!(not_before(&[(1, 1, 10), (3_000, 1, 3_001)]), at(10));
    }

    #[test]
    fn an_event_after_a_stop_in_the_wait_may_be_as_old_as_that() {
        // Interrupted (EINTR), it brings nothing; the next wait brings what came meanwhile.
        let stopped = [(1, 1, 10), (11, 0, 5_000), (5_000, 1, 5_000)];
        assert_eq!(not_before(&stopped), at(11));
    }

    #[test]
    fn a_wait_that_timed_out_shows_that_there_was_nothing() {
        let mut waits = Waits::new(at(0));
        waits.begin(at(0), at(1), Some(at(950)));
        waits.begin(at(951), at(951), Some(at(2_000)));
        waits.event();
        assert_eq!(waits.event_not_before(at(1_010)), at(1_010));
        // One that ended long after its timeout was stopped meanwhile.
        let mut waits = Waits::new(at(0));
        waits.begin(at(0), at(1), Some(at(950)));
        waits.begin(at(5_951), at(5_951), Some(at(9_000)));
        assert_eq!(waits.event_not_before(at(5_951)), at(1));
    }

    #[test]
    fn a_wait_that_brings_very_many_events_may_leave_some() {
        let full = [
            (1, 1, 10),
            (11, 1_024, 11),
            (500, 1_024, 500),
            (990, 3, 990),
        ];
        assert_eq!(not_before(&full), at(10));
    }
}
