//! Messages on active connections: on schedule or as replies arrive, and with churn a connection for each.

use super::session::{EchoClient, Hold, InFlight, Lane};
use super::tester::{Loop, Tester};
use super::{ConnectError, Observer, Pace, Stage};
use crate::connection::CloseReason;
use crate::net::{Ending, Key, Net, Time};
use crate::tls::MaybeTls;
use std::time::Duration;

/// How long a lane of churn waits after a failed connect, so that it does not hammer a server that is down.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Overdue messages sent at once, so that events are handled in between.
const SENDS_PER_STEP: usize = 256;

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    #[inline]
    pub(super) fn client(&mut self) -> &mut EchoClient {
        self.driver.common.protocol.plain_mut()
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
    pub(super) fn send_due<N: Net>(&mut self, reactor: &mut Loop<N, C>) {
        if let Some(pace) = &self.schedule.pace {
            // While every pipeline is full, a message is sent when a reply arrives.
            if !self.pipelines.is_full() && self.is_sending() {
                self.send_due_by(reactor, *pace);
            }
        }
    }

    /// Visits the lanes whose messages have fallen due. A visited lane sends all its due messages that its pipeline
    /// allows, so after a long time each lane is visited once, not once per message.
    fn send_due_by<N: Net>(&mut self, reactor: &mut Loop<N, C>, pace: Pace) {
        let mut now = reactor.net.now();
        if pace.due(self.schedule.next + pace.lanes()) <= now {
            let last_round = pace.count_before(now).saturating_sub(pace.lanes());
            self.visit_from(pace, self.schedule.next.max(last_round));
        }
        for _ in 0..SENDS_PER_STEP {
            let due = self.schedule.next_due;
            if due > now || due >= self.tally.span.end {
                return;
            }
            let number = pace.lane(self.schedule.next);
            self.visit_from(pace, self.schedule.next + 1);
            if self.fill_pipeline(reactor, number, now) {
                now = reactor.net.now();
            }
        }
    }

    /// The next message of the schedule to look at.
    fn visit_from(&mut self, pace: Pace, index: u64) {
        self.schedule.next = index;
        self.schedule.next_due = pace.due(index);
    }

    /// Sends on a lane what its pipeline allows; returns whether it sent anything. `now` has just been read from the
    /// clock, which is not read again.
    #[inline]
    pub(super) fn fill_pipeline<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        number: u32,
        now: Time,
    ) -> bool {
        let mut has_sent = false;
        while self.can_send(number) && self.send_next(reactor, number, now).is_some() {
            has_sent = true;
        }
        has_sent
    }

    /// Whether the pipeline of a lane is not full.
    #[inline]
    fn can_send(&self, number: u32) -> bool {
        let lane = self
            .driver
            .common
            .protocol
            .plain()
            .lanes
            .get(number as usize);
        lane.is_some_and(|lane| lane.in_flight.len() < self.config.pipeline && !lane.is_blocked())
    }

    /// When the next message of a lane is due: on schedule that of the oldest one that was not sent, in a closed loop
    /// now. None if there is none now.
    #[inline]
    fn next_due(&self, lane: &Lane, number: u32, now: Time) -> Option<Time> {
        let is_sending = self.is_sending();
        let due = match &self.schedule.pace {
            None if is_sending => now,
            Some(pace) if is_sending || self.stage == Stage::Draining => {
                pace.due_at(number, lane.taken)
            }
            _ => return None,
        };
        (due <= now && due < self.tally.span.end).then_some(due)
    }

    /// Sends the next message of a lane whose pipeline is not full. None if none can be sent now.
    #[inline]
    fn send_next<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        number: u32,
        now: Time,
    ) -> Option<()> {
        let lane = self
            .driver
            .common
            .protocol
            .plain()
            .lanes
            .get(number as usize)?;
        let resent = lane.resend.front().map(|message| message.due);
        let due = resent.or_else(|| self.next_due(lane, number, now))?;
        let key = lane
            .key
            .or_else(|| self.reconnect_to_send(reactor, number))?;
        let lane = self
            .driver
            .common
            .protocol
            .plain_mut()
            .lanes
            .get_mut(number as usize)?;
        let could_send = due.max(lane.free_since);
        if resent.is_some() {
            lane.resend.pop_front();
        } else {
            lane.taken += u64::from(self.schedule.pace.is_some());
            self.tally.count_sent(due, could_send, now);
        }
        let sequence = lane.send(InFlight { due, sent: now });
        self.pipelines.in_flight += 1;
        let is_open = self.send_message(reactor, key, number, sequence);
        is_open.then_some(())
    }

    /// Opens the next connection of a lane; none if no message may be sent on it before its hello.
    #[cold]
    fn reconnect_to_send<N: Net>(&mut self, reactor: &mut Loop<N, C>, number: u32) -> Option<Key> {
        let key = self.reconnect(reactor, number)?;
        let is_blocked = self.lane(number)?.is_blocked();
        (!is_blocked).then_some(key)
    }

    /// Opens the next connection of a lane, with churn or because the server has closed the last one as announced. None
    /// without either, or if that fails.
    #[cold]
    pub(super) fn reconnect<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        number: u32,
    ) -> Option<Key> {
        let churns = self.config.churn.is_some();
        let script = self.config.script.as_ref();
        let has_hello = script.is_some_and(|script| script.hello_steps() > 0);
        let now = reactor.net.now();
        let lane = self.lane(number)?;
        if lane.retry_at > now || !(churns || lane.must_reconnect) {
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
                lane.is_reconnection = true;
                if has_hello {
                    lane.hold = Hold::Greeting;
                }
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
        if let Some(lane) = self.lane(number) {
            lane.must_reconnect = false;
        }
        if self.take_connecting(number).is_some() {
            self.tally.reconnected += u64::from(self.tally.span.contains(&now));
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
        reactor: &mut Loop<N, C>,
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
        self.close_as(reactor, key, ending);
        self.fill_pipeline(reactor, number, now);
    }

    /// Closes a connection with FIN or RST; over TLS, `close_notify` precedes FIN.
    pub(super) fn close_as<N: Net>(&mut self, reactor: &mut Loop<N, C>, key: Key, ending: Ending) {
        let reason = CloseReason::SessionDone;
        if self.driver.common.protocol.has_handshake() && ending == Ending::Fin {
            self.driver.close(reactor, key, reason);
        } else {
            self.driver.close_with(reactor, key, reason, ending);
        }
    }

    /// The connection of a lane is lost, and with it the messages in flight. Those that are due and not sent remain due.
    pub(super) fn on_lane_lost(&mut self, number: u32, now: Time) {
        let (churns, was_established) = (self.config.churn.is_some(), self.has_pipelines());
        let Some(lane) = self
            .driver
            .common
            .protocol
            .plain_mut()
            .lanes
            .get_mut(number as usize)
        else {
            return;
        };
        self.pipelines.in_flight -= lane.in_flight.len() as u64;
        let churns = churns || lane.must_reconnect;
        lane.in_flight.append(&mut lane.resend);
        self.tally.count_lost(lane.in_flight.iter(), now);
        let in_flight = lane.in_flight.len() as u64;
        let has_connection = lane.key.is_some();
        lane.reset_connection();
        if churns {
            self.tally.count_drained(in_flight);
            self.back_off(number, now);
        } else if has_connection && was_established {
            let queued = self.queued(number);
            self.tally.count_drained(in_flight + queued);
            self.pipelines.capacity -= self.config.pipeline as u64;
        }
    }

    fn back_off(&mut self, number: u32, now: Time) {
        let retry_at = now + RETRY_DELAY;
        if let Some(lane) = self.lane(number) {
            lane.retry_at = retry_at;
            lane.free_since = retry_at;
        }
        if self.is_sending() {
            self.backing_off.push_back((retry_at, number));
        }
    }

    /// Resumes the lanes whose retry delay has passed.
    pub(super) fn retry_lanes<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        let is_due = |(retry_at, _): &(Time, u32)| *retry_at <= now;
        while let Some((_, number)) = self.backing_off.front().copied().filter(is_due) {
            self.backing_off.pop_front();
            self.fill_pipeline(reactor, number, now);
        }
    }
}
