//! When an event can have occurred, as opposed to when the loop handles it.
//!
//! A busy loop, or a process that was stopped, handles an event long after the kernel had it. The lateness of the load
//! tester must not count as that of the server.

use crate::time::Time;
use std::time::Duration;

/// A wait that has returned this many events may have left some in the kernel (`MioNet` takes 1,024 at once).
const MANY_EVENTS: u32 = 512;

/// If an empty wait ends this much later than its timeout, the process was stopped meanwhile.
const PUNCTUAL: Duration = Duration::from_millis(100);

/// The current wait for events, and what earlier ones have shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// Earlier waits have returned every event that occurred before this.
    complete_until: Time,
    /// When the current wait began: once its events are handled, so is every event that occurred before.
    pub(super) began: Time,
    /// When the wait times out.
    due: Option<Time>,
    events: u32,
    /// The length of all waits, asleep or polling.
    pub(super) waited: Duration,
}

impl Waits {
    /// Before the first wait.
    pub(super) fn new(now: Time) -> Waits {
        Waits {
            complete_until: now,
            began: now,
            due: None,
            events: 0,
            waited: Duration::ZERO,
        }
    }

    /// A wait begins `now` and times out at `due`. The previous one ended at `ended`.
    pub(super) fn begin(&mut self, ended: Time, now: Time, due: Option<Time>) {
        self.waited += ended.since(self.began);
        let by_timeout = self
            .due
            .is_some_and(|due| due <= ended && ended.since(due) < PUNCTUAL);
        self.complete_until = match self.events {
            // After an interruption, such as SIGSTOP, events may be pending that were not returned.
            0 if !by_timeout => self.began,
            MANY_EVENTS.. => self.complete_until,
            _ => ended,
        };
        (self.began, self.due, self.events) = (now, due, 0);
    }

    /// The wait has returned an event.
    #[inline]
    pub(super) fn count_event(&mut self) {
        self.events += 1;
    }

    /// A time before which an event of the current wait, which ended at `ended`, cannot have occurred.
    ///
    /// The selector sleeps only while no event is pending. If it slept for longer than the loop had not called it, the event
    /// occurred when the wait ended; otherwise it may have been pending since earlier events were returned. So it may if the
    /// process was stopped during the wait: then that ended much later than its timeout.
    pub(super) fn event_not_before(&self, ended: Time) -> Time {
        let was_stopped = self.due.is_some_and(|due| ended.since(due) >= PUNCTUAL);
        if !was_stopped && ended.since(self.began) > self.began.since(self.complete_until) {
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

    /// Waits, each with its beginning, its number of events and its end, in milliseconds; the last is the current one.
    fn waits(steps: &[(u64, u32, u64)]) -> (Waits, Time) {
        let mut waits = Waits::new(at(0));
        let mut ended = at(0);
        for (began, events, end) in steps {
            waits.begin(ended, at(*began), Some(at(10_000)));
            (0..*events).for_each(|_| waits.count_event());
            ended = at(*end);
        }
        (waits, ended)
    }

    fn not_before(steps: &[(u64, u32, u64)]) -> Time {
        let (waits, ended) = waits(steps);
        waits.event_not_before(ended)
    }

    #[test]
    fn event_that_ends_a_sleep_occurred_then() {
        assert_eq!(not_before(&[(1, 1, 1_010)]), at(1_010));
        // So did an event directly after it.
        assert_eq!(not_before(&[(1, 1, 1_010), (1_011, 1, 1_011)]), at(1_010));
    }

    #[test]
    fn event_in_a_busy_iteration_may_be_as_old_as_it() {
        assert_eq!(not_before(&[(1, 1, 10), (3_000, 1, 3_000)]), at(10));
        assert_eq!(not_before(&[(1, 1, 10), (3_000, 1, 3_001)]), at(10));
    }

    #[test]
    fn event_after_a_stop_may_be_as_old_as_the_stop() {
        // Interrupted (EINTR), a wait returns nothing; the next one returns the events that occurred meanwhile.
        let stopped = [(1, 1, 10), (11, 0, 5_000), (5_000, 1, 5_000)];
        assert_eq!(not_before(&stopped), at(11));
    }

    #[test]
    fn wait_that_timed_out_shows_that_no_event_was_pending() {
        let mut waits = Waits::new(at(0));
        waits.begin(at(0), at(1), Some(at(950)));
        waits.begin(at(951), at(951), Some(at(2_000)));
        waits.count_event();
        assert_eq!(waits.event_not_before(at(1_010)), at(1_010));
        // The process was stopped if the wait ended long after its timeout.
        let mut waits = Waits::new(at(0));
        waits.begin(at(0), at(1), Some(at(950)));
        waits.begin(at(5_951), at(5_951), Some(at(9_000)));
        assert_eq!(waits.event_not_before(at(5_951)), at(1));
    }

    #[test]
    fn event_of_a_wait_that_ended_late_may_be_as_old_as_the_wait() {
        let mut waits = Waits::new(at(0));
        waits.begin(at(0), at(1), Some(at(20)));
        waits.count_event();
        assert_eq!(waits.event_not_before(at(119)), at(119));
        assert_eq!(waits.event_not_before(at(120)), at(0));
    }

    #[test]
    fn wait_with_very_many_events_may_have_left_some() {
        let full = [
            (1, 1, 10),
            (11, 1_024, 11),
            (500, 1_024, 500),
            (990, 3, 990),
        ];
        assert_eq!(not_before(&full), at(10));
    }
}
