//! The rate of connects to a server whose accept queue is not visible: it is on another machine.
//!
//! A full accept queue shows only in SYNs without an answer, so the rate is controlled as TCP controls congestion (RFC
//! 5681): it doubles until a connect is late, then it is halved, and grows linearly from there.

use crate::time::Time;
use std::time::Duration;

/// Connects per second: at first, at least and at most.
const START: u32 = 1_000;
const MIN: u32 = 100;
const MAX: u32 = 200_000;

/// After a decrease the rate grows by this part of itself at a time: back to the earlier rate after twenty times.
const GROWTH_PART: u32 = 20;

/// A connect is late after this, or after this many times the fastest one. As often the rate grows: not before the effect
/// of the last growth is known.
const LATE: Duration = Duration::from_millis(50);
const LATE_FACTOR: u32 = 4;

/// Connects begun at once.
const BURST: u32 = 32;

/// Connects without an answer, beside those that the fastest connect time explains: at most so many SYNs are dropped
/// before the rate is halved.
const UNANSWERED: u32 = 16;

/// Controls the rate of connects by the times of those that are connecting.
#[derive(Debug)]
pub(super) struct ConnectRate {
    per_second: u32,
    /// By how much the rate grows; `None`: it doubles, since no connect was late so far.
    growth: Option<u32>,
    changed_at: Time,
    /// Late connects that began earlier are known.
    decreased_at: Option<Time>,
    /// When the next connect is due.
    next_at: Time,
    /// The least connect time.
    fastest: Option<Duration>,
}

impl ConnectRate {
    pub(super) fn new(now: Time) -> ConnectRate {
        ConnectRate {
            per_second: START,
            growth: None,
            changed_at: now,
            decreased_at: None,
            next_at: now,
            fastest: None,
        }
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }

    /// How long a connect may take until it is late.
    pub(super) fn late_after(&self) -> Duration {
        let fastest = self.fastest.unwrap_or_default();
        LATE.max(fastest.saturating_mul(LATE_FACTOR))
    }

    pub(super) fn on_started(&mut self) {
        self.next_at = self.next_at + self.interval();
    }

    pub(super) fn on_established(&mut self, took: Duration) {
        self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
    }

    /// How many connects may begin now, when those that are connecting began at these times; if none, also when to call
    /// again.
    pub(super) fn plan(
        &mut self,
        connecting: impl Iterator<Item = Time>,
        now: Time,
    ) -> (u32, Time) {
        let late_after = self.late_after();
        let (mut on_time, mut oldest, mut newest_late) = (0_u32, None, None);
        for began in connecting {
            if now.since(began) >= late_after {
                newest_late = newest_late.max(Some(began));
            } else {
                on_time += 1;
                oldest = Some(oldest.map_or(began, |oldest: Time| oldest.min(began)));
            }
        }
        let room = self.most_unanswered().saturating_sub(on_time);
        if newest_late > self.decreased_at {
            self.decrease(now);
        } else if room > 0 && self.changed_at + late_after <= now {
            self.grow(now);
        }
        let interval = self.interval();
        self.next_at = self.next_at.max(now.before(interval * BURST));
        if self.next_at > now {
            return (0, self.next_at);
        }
        let due = now.since(self.next_at).as_nanos() / interval.as_nanos() + 1;
        let permits = room.min(u32::try_from(due).unwrap_or(BURST));
        let wake_at = match oldest {
            Some(began) if permits == 0 => began + late_after,
            _ => now,
        };
        (permits, wake_at)
    }

    fn most_unanswered(&self) -> u32 {
        let round_trips = 2 * self.fastest.unwrap_or_default().as_nanos();
        let in_flight = round_trips / self.interval().as_nanos();
        UNANSWERED.saturating_add(u32::try_from(in_flight).unwrap_or(u32::MAX))
    }

    fn decrease(&mut self, now: Time) {
        self.growth = Some((self.per_second / 2 / GROWTH_PART).max(1));
        self.per_second = (self.per_second / 2).max(MIN);
        self.decreased_at = Some(now);
        self.changed_at = now;
    }

    fn grow(&mut self, now: Time) {
        let growth = self.growth.unwrap_or(self.per_second);
        self.per_second = self.per_second.saturating_add(growth).min(MAX);
        self.changed_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const SYN_TIMEOUT: Duration = Duration::from_secs(1);

    /// A server on another machine: its kernel queues connections, drops SYNs while the queue is full, and the server
    /// accepts one in each `accept_time`.
    struct Remote {
        capacity: u32,
        accept_time: Duration,
        round_trip: Duration,
        queued: u32,
        accepts_at: Time,
    }

    impl Remote {
        fn accept_until(&mut self, now: Time) {
            while self.queued > 0 && self.accepts_at <= now {
                self.queued -= 1;
                self.accepts_at = self.accepts_at + self.accept_time;
            }
            if self.queued == 0 {
                self.accepts_at = self.accepts_at.max(now);
            }
        }
    }

    /// Opens `total` connections; returns the time and the number of dropped SYNs.
    fn open(mut server: Remote, total: u32) -> (Duration, u32) {
        let (mut now, mut rate) = (Time::ZERO, ConnectRate::new(Time::ZERO));
        let (mut started, mut established, mut dropped) = (0, 0, 0);
        // The time of each SYN to come with that of its connect; the time of each answer likewise.
        let (mut syns, mut answers) = (VecDeque::new(), VecDeque::new());
        while established < total {
            server.accept_until(now);
            for _ in 0..syns.len() {
                let (at, began) = syns.pop_front().unwrap();
                if at > now {
                    syns.push_back((at, began));
                } else if server.queued < server.capacity {
                    server.queued += 1;
                    answers.push_back((now + server.round_trip, began));
                } else {
                    dropped += 1;
                    syns.push_back((at + SYN_TIMEOUT, began));
                }
            }
            while answers.front().is_some_and(|(at, _)| *at <= now) {
                let (_, began) = answers.pop_front().unwrap();
                established += 1;
                rate.on_established(now.since(began));
            }
            let waiting = syns.iter().chain(&answers).map(|(_, began)| *began);
            let (permits, _) = rate.plan(waiting, now);
            for _ in 0..permits.min(total - started) {
                rate.on_started();
                started += 1;
                syns.push_back((now, now));
            }
            now = now + Duration::from_micros(500);
        }
        (now.since(Time::ZERO), dropped)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// All connections are opened, in at most five times what the server needs beside a few seconds, and the kernel
        /// drops few of their SYNs.
        #[test]
        fn rate_follows_that_of_the_server(capacity in 5_u32..500, accept_us in 10_u64..2000, round_trip_us in 0_u64..100_000) {
            let accept_time = Duration::from_micros(accept_us);
            let server = Remote {
                capacity,
                accept_time,
                round_trip: Duration::from_micros(round_trip_us),
                queued: 0,
                accepts_at: Time::ZERO,
            };
            let total = 1000;
            let (took, dropped) = open(server, total);
            let most = accept_time * total * 5 + Duration::from_secs(15);
            prop_assert!(took < most, "{took:?}, most {most:?}");
            prop_assert!(dropped < total, "{dropped}");
        }
    }

    #[test]
    fn rate_doubles_until_a_connect_is_late_then_halves_once() {
        let mut rate = ConnectRate::new(Time::ZERO);
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        rate.on_established(Duration::from_micros(100));
        rate.plan([].into_iter(), at(50));
        rate.plan([].into_iter(), at(100));
        assert_eq!(rate.per_second, 4 * START);
        let late = [at(50), at(51)];
        rate.plan(late.into_iter(), at(101));
        assert_eq!(rate.per_second, 2 * START);
        rate.plan(late.into_iter(), at(102));
        assert_eq!(rate.per_second, 2 * START, "these were known to be late");
        rate.plan(late.into_iter(), at(151));
        assert_eq!(rate.per_second, 2 * START + START / 10, "linear growth");
    }

    #[test]
    fn unanswered_connects_are_few_and_wake_when_they_are_late() {
        let mut rate = ConnectRate::new(Time::ZERO);
        let now = Time::ZERO + Duration::from_millis(16);
        let connecting = [now.before(Duration::from_millis(1)); UNANSWERED as usize];
        let (permits, wake_at) = rate.plan(connecting.into_iter(), now);
        assert_eq!(permits, 0);
        assert_eq!(wake_at, now.before(Duration::from_millis(1)) + LATE);
    }
}
