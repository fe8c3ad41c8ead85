//! Messages on active connections: on schedule or as replies come, and with churn a connection for each.

use super::cause::Cause;
use super::pace::Pace;
use super::session::{Flight, Lane};
use super::surroundings::{Stage, Surroundings};
use super::tester::{Loop, Tester};
use crate::connection::CloseReason;
use crate::net::{Ending, Key, Net, Time};
use std::time::Duration;

/// For how long a place of churn rests whose connection failed.
const REST: Duration = Duration::from_millis(100);

/// Messages sent in one go when the loop is late, before it is the turn of those that are ready.
const SENDS_PER_STEP: usize = 256;

impl<S: Surroundings> Tester<S> {
    pub(super) fn lane(&mut self, number: u32) -> Option<&mut Lane> {
        self.driver.common.protocol.lanes.get_mut(number as usize)
    }

    fn is_echoing(&self) -> bool {
        matches!(self.stage, Stage::Warmup | Stage::Measuring)
    }

    /// Sends what has fallen due by schedule. Called after whatever takes time, so that one reply does not hold up
    /// the messages of others.
    #[inline]
    pub(super) fn send_due<N: Net>(&mut self, reactor: &mut Loop<N>) {
        if self.schedule.pace.is_some() && self.is_echoing() {
            self.send_due_by_schedule(reactor);
        }
    }

    fn send_due_by_schedule<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let Some(pace) = self.schedule.pace else {
            return;
        };
        for _ in 0..SENDS_PER_STEP {
            let due = self.schedule.next_due;
            let now = reactor.net.now();
            if due > now || due >= self.tally.span.to {
                return;
            }
            let number = pace.place(self.schedule.next);
            self.schedule.next += 1;
            self.schedule.next_due = pace.due(self.schedule.next);
            if self.tally.span.contains(due) {
                self.tally.lag.record(now.since(due));
            }
            self.fall_due(reactor, number, due, now);
        }
    }

    fn fall_due<N: Net>(&mut self, reactor: &mut Loop<N>, place: u32, due: Time, now: Time) {
        let churns = self.config.churn.is_some();
        let Some(lane) = self.lane(place) else { return };
        lane.scheduled += 1;
        if lane.key.is_none() && !churns {
            self.tally.message_for_nobody(due);
            return;
        }
        lane.queued += 1;
        self.tally.message(due);
        self.pump(reactor, place, now);
    }

    /// Sends on an active connection what may be sent `now`: the clock has just been read, and is not read again.
    #[inline]
    pub(super) fn pump<N: Net>(&mut self, reactor: &mut Loop<N>, number: u32, now: Time) {
        match self.schedule.pace {
            Some(pace) => while self.send_queued(reactor, number, pace, now) {},
            None => while self.is_echoing() && self.send_next(reactor, number, now) {},
        }
    }

    /// Sends the oldest message that has fallen due and was not sent; false if there is none, or it cannot go now.
    fn send_queued<N: Net>(
        &mut self,
        reactor: &mut Loop<N>,
        number: u32,
        pace: Pace,
        sent: Time,
    ) -> bool {
        let pipeline = self.config.pipeline;
        let Some(lane) = self.lane(number) else {
            return false;
        };
        if lane.queued == 0 || lane.in_flight.len() >= pipeline {
            return false;
        }
        let Some(key) = lane.key.or_else(|| self.begin_churn(reactor, number)) else {
            return false;
        };
        let Some(lane) = self.lane(number) else {
            return false;
        };
        let due = pace.due_at(number, lane.scheduled - lane.queued);
        lane.queued -= 1;
        let sequence = lane.send(Flight { due, sent });
        self.say(reactor, key, number, sequence)
    }

    /// Sends the next message of a closed loop; false if it cannot go now.
    #[inline]
    fn send_next<N: Net>(&mut self, reactor: &mut Loop<N>, number: u32, now: Time) -> bool {
        let pipeline = self.config.pipeline;
        let Some(lane) = self.lane(number) else {
            return false;
        };
        if lane.in_flight.len() >= pipeline {
            return false;
        }
        let Some(key) = lane.key.or_else(|| self.begin_churn(reactor, number)) else {
            return false;
        };
        self.tally.message(now);
        let Some(lane) = self.lane(number) else {
            return false;
        };
        let sequence = lane.send(Flight {
            due: now,
            sent: now,
        });
        self.say(reactor, key, number, sequence)
    }

    /// Begins the next connection of a place of churn; none without churn, and none if that fails.
    #[cold]
    fn begin_churn<N: Net>(&mut self, reactor: &mut Loop<N>, number: u32) -> Option<Key> {
        self.config.churn?;
        let now = reactor.net.now();
        if self.lane(number)?.rests_until > now {
            return None;
        }
        // Beyond the sources of those that stay.
        let source = u64::from(self.config.connections()) + self.connects;
        self.connects += 1;
        match self.connect(reactor, number, source) {
            Ok(key) => {
                let lane = self.lane(number)?;
                lane.key = Some(key);
                lane.begun = Some(now);
                Some(key)
            }
            Err(cause) => {
                cause.count(&mut self.tally.failed, 1);
                self.rest(number, now);
                None
            }
        }
    }

    /// A connection of churn stands.
    pub(super) fn churned(&mut self, number: u32, now: Time) {
        let Some(begun) = self.lane(number).and_then(|lane| lane.begun.take()) else {
            return;
        };
        if self.tally.span.contains(now) {
            self.tally.churned += 1;
        }
        self.tally.connect.record(now.since(begun));
    }

    /// Whether a connection that has ended was one of churn that did not come to stand; counts it then.
    pub(super) fn churn_failed(&mut self, number: u32, cause: Cause) -> bool {
        let begun = self.lane(number).and_then(|lane| lane.begun.take());
        if begun.is_some() {
            cause.count(&mut self.tally.failed, 1);
        }
        begun.is_some()
    }

    /// A connection of churn has had its echo: it is closed, and the next one begun.
    pub(super) fn end_churn<N: Net>(
        &mut self,
        reactor: &mut Loop<N>,
        key: Key,
        number: u32,
        ending: Ending,
        now: Time,
    ) {
        let is_before = matches!(self.stage, Stage::Opening | Stage::Waiting);
        let Some(lane) = self.lane(number) else {
            return;
        };
        if is_before || !lane.in_flight.is_empty() {
            return;
        }
        lane.forget_connection();
        let reason = CloseReason::SessionDone;
        self.driver.close_with(reactor, key, reason, ending);
        self.pump(reactor, number, now);
    }

    /// The connection of an active place is gone, and with it what was on its way.
    pub(super) fn lane_lost(&mut self, number: u32, now: Time) {
        let churns = self.config.churn.is_some();
        let pace = self.schedule.pace;
        let Some(lane) = self.driver.common.protocol.lanes.get_mut(number as usize) else {
            return;
        };
        self.tally
            .gone(lane.in_flight.iter().map(|flight| flight.due));
        lane.forget_connection();
        if churns {
            self.rest(number, now);
        } else if let Some(pace) = pace {
            let queued = lane.scheduled - lane.queued..lane.scheduled;
            lane.queued = 0;
            self.tally
                .gone(queued.map(|message| pace.due_at(number, message)));
        }
    }

    /// A place of churn tries again after a while, so that a server that is away is not hammered.
    fn rest(&mut self, number: u32, now: Time) {
        let until = now + REST;
        if let Some(lane) = self.lane(number) {
            lane.rests_until = until;
        }
        if self.is_echoing() {
            self.resting.push_back((until, number));
        }
    }

    pub(super) fn wake_the_rested<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        while let Some((until, number)) = self.resting.front().copied() {
            if until > now {
                return;
            }
            self.resting.pop_front();
            self.pump(reactor, number, now);
        }
    }
}
