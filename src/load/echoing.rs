//! Messages on active connections: on schedule or as replies arrive, and with churn a connection for each.

use super::session::{EchoClient, InFlight, Lane};
use super::tester::{Loop, Tester};
use super::{ConnectError, Observer, Pace, Stage};
use crate::connection::CloseReason;
use crate::net::{Ending, Key, Net, Time};
use std::time::Duration;

/// How long a lane of churn waits after a failed connect, so that it does not hammer a server that is down.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Overdue messages sent at once, so that events are handled in between.
const SENDS_PER_STEP: usize = 256;

impl<S: Observer> Tester<S> {
    #[inline]
    pub(super) fn client(&mut self) -> &mut EchoClient {
        &mut self.driver.common.protocol
    }

    #[inline]
    pub(super) fn lane(&mut self, number: u32) -> Option<&mut Lane> {
        self.client().lanes.get_mut(number as usize)
    }

    fn is_sending(&self) -> bool {
        matches!(self.stage, Stage::Warmup | Stage::Measuring)
    }

    /// Sends messages that have fallen due by schedule. Called after every step that takes time, so that no message is
    /// late because of another.
    #[inline]
    pub(super) fn send_due<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let pace = self.schedule.pace.filter(|_| self.is_sending());
        if let Some(pace) = pace {
            self.send_due_by(reactor, pace);
        }
    }

    fn send_due_by<N: Net>(&mut self, reactor: &mut Loop<N>, pace: Pace) {
        for _ in 0..SENDS_PER_STEP {
            let due = self.schedule.next_due;
            let now = reactor.net.now();
            if due > now || due >= self.tally.span.end {
                return;
            }
            let number = pace.lane(self.schedule.next);
            self.schedule.next += 1;
            self.schedule.next_due = pace.due(self.schedule.next);
            if self.tally.span.contains(&due) {
                self.tally.lag.record(now.since(due));
            }
            self.on_message_due(reactor, number, due, now);
        }
    }

    fn on_message_due<N: Net>(&mut self, reactor: &mut Loop<N>, number: u32, due: Time, now: Time) {
        let churns = self.config.churn.is_some();
        let Some(lane) = self.lane(number) else {
            return;
        };
        lane.scheduled += 1;
        if lane.key.is_none() && !churns {
            self.tally.count_undeliverable(due);
            return;
        }
        lane.queued += 1;
        self.tally.count_sent(due);
        self.fill_pipeline(reactor, number, now);
    }

    /// Sends on a lane what its pipeline allows. `now` has just been read from the clock, which is not read again.
    #[inline]
    pub(super) fn fill_pipeline<N: Net>(&mut self, reactor: &mut Loop<N>, number: u32, now: Time) {
        while self.send_next(reactor, number, now).is_some() {}
    }

    /// Sends the next message of a lane: on schedule the oldest that is due, in a closed loop a new one. None if none can
    /// be sent now.
    #[inline]
    fn send_next<N: Net>(&mut self, reactor: &mut Loop<N>, number: u32, now: Time) -> Option<()> {
        let (pace, pipeline) = (self.schedule.pace, self.config.pipeline);
        let is_sending = self.is_sending();
        let lane = self.lane(number)?;
        let has_message = match pace {
            Some(_) => lane.queued > 0,
            None => is_sending,
        };
        if !has_message || lane.in_flight.len() >= pipeline {
            return None;
        }
        let key = lane.key.or_else(|| self.reconnect(reactor, number))?;
        let lane = self.lane(number)?;
        let due = match pace {
            Some(pace) => {
                let due = pace.due_at(number, lane.scheduled - lane.queued);
                lane.queued -= 1;
                due
            }
            None => now,
        };
        let sequence = lane.send(InFlight { due, sent: now });
        if pace.is_none() {
            self.tally.count_sent(now);
        }
        let is_open = self.send_message(reactor, key, number, sequence);
        is_open.then_some(())
    }

    /// Opens the next connection of a lane of churn; None without churn, or if that fails.
    #[cold]
    fn reconnect<N: Net>(&mut self, reactor: &mut Loop<N>, number: u32) -> Option<Key> {
        self.config.churn?;
        let now = reactor.net.now();
        if self.lane(number)?.retry_at > now {
            return None;
        }
        // The sources of permanent connections come first.
        let source = u64::from(self.config.connections()) + self.reconnects;
        self.reconnects += 1;
        match self.connect(reactor, number, source) {
            Ok(key) => {
                let lane = self.lane(number)?;
                lane.key = Some(key);
                lane.connecting_since = Some(now);
                Some(key)
            }
            Err(error) => {
                self.count_failed(error, 1);
                self.back_off(number, now);
                None
            }
        }
    }

    /// A connection of churn is established.
    pub(super) fn on_reconnected(&mut self, number: u32, now: Time) {
        if let Some(began) = self.take_connecting(number) {
            self.tally.reconnected += u64::from(self.tally.span.contains(&now));
            self.tally.connect_times.record(now.since(began));
        }
    }

    /// When the connection of a lane of churn began to connect, if it was connecting until now.
    fn take_connecting(&mut self, number: u32) -> Option<Time> {
        self.lane(number)?.connecting_since.take()
    }

    /// Counts a closed connection as failed if churn was connecting it; returns whether it was.
    pub(super) fn count_failed_reconnect(&mut self, number: u32, error: ConnectError) -> bool {
        let was_connecting = self.take_connecting(number).is_some();
        self.count_failed(error, was_connecting.into());
        was_connecting
    }

    /// A connection of churn has received its echo: closes it and opens the next one.
    pub(super) fn close_and_reconnect<N: Net>(
        &mut self,
        reactor: &mut Loop<N>,
        key: Key,
        number: u32,
        ending: Ending,
        now: Time,
    ) {
        let is_early = matches!(self.stage, Stage::Connecting | Stage::Waiting);
        let Some(lane) = self.lane(number) else {
            return;
        };
        if is_early || !lane.in_flight.is_empty() {
            return;
        }
        lane.reset_connection();
        let reason = CloseReason::SessionDone;
        self.driver.close_with(reactor, key, reason, ending);
        self.fill_pipeline(reactor, number, now);
    }

    /// The connection of a lane is lost, and with it the messages in flight.
    pub(super) fn on_lane_lost(&mut self, number: u32, now: Time) {
        let (churns, pace) = (self.config.churn.is_some(), self.schedule.pace);
        let Some(lane) = self.driver.common.protocol.lanes.get_mut(number as usize) else {
            return;
        };
        let in_flight = lane.in_flight.iter().map(|message| message.due);
        self.tally.count_unanswered(in_flight);
        lane.reset_connection();
        if churns {
            self.back_off(number, now);
        } else if let Some(pace) = pace {
            let queued = lane.scheduled - lane.queued..lane.scheduled;
            lane.queued = 0;
            let due = queued.map(|message| pace.due_at(number, message));
            self.tally.count_unanswered(due);
        }
    }

    fn back_off(&mut self, number: u32, now: Time) {
        let retry_at = now + RETRY_DELAY;
        if let Some(lane) = self.lane(number) {
            lane.retry_at = retry_at;
        }
        if self.is_sending() {
            self.backing_off.push_back((retry_at, number));
        }
    }

    /// Resumes the lanes whose retry delay has passed.
    pub(super) fn retry_lanes<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        let is_due = |(retry_at, _): &(Time, u32)| *retry_at <= now;
        while let Some((_, number)) = self.backing_off.front().copied().filter(is_due) {
            self.backing_off.pop_front();
            self.fill_pipeline(reactor, number, now);
        }
    }
}
