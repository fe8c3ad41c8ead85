//! Events of the loop: connections that are established, replies, connections that close.

use super::handshake::FailedHandshake;
use super::script::{Ids, Part};
use super::session::{EchoClient, Reply};
use super::tester::{Loop, Tester};
use super::{ConnectError, LossCause, Observer, Stage};
use crate::connection::{CloseReason, Closed, Driver, Owner};
use crate::net::{Key, Net, Source, Time};
use crate::tls::MaybeTls;

/// How a connection has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Why, if it was not established.
    pub(super) error: ConnectError,
    /// Why, if it was.
    pub(super) cause: LossCause,
    pub(super) handshake: FailedHandshake,
    /// A time before which it cannot have ended.
    pub(super) not_before: Time,
}

/// Connections opened per iteration, so that events are handled in between.
const CONNECTS_PER_ITERATION: usize = 32;

impl<N: Net, C: MaybeTls<EchoClient>, S: Observer> Owner<N, C> for Tester<C, S> {
    #[inline]
    fn driver(&mut self) -> &mut Driver<C> {
        &mut self.driver
    }

    #[inline]
    fn driven(
        &mut self,
        reactor: &mut Loop<N, C>,
        key: Key,
        ended: Option<CloseReason>,
    ) -> Option<CloseReason> {
        self.waits.count_event();
        if self.driver.common.protocol.has_handshake() {
            self.watch_handshake(reactor, key);
        }
        if let Some(number) = self.client().established.take() {
            self.on_established(reactor, number);
            self.on_conversation_began(reactor, key, number);
        }
        if !self.client().replies.is_empty() {
            self.process_replies(reactor, key, ended.is_none());
        }
        if self.client().has_notices() {
            self.process_notices(reactor, key, ended.is_none());
        }
        if ended.is_none() {
            self.send_due(reactor);
        }
        ended
    }

    #[cold]
    fn closing(&mut self, reactor: &mut Loop<N, C>, key: Key, reason: CloseReason) {
        self.count_syn_retransmits_of_failed(reactor, key, reason);
        if self.config.script.is_some() && reason == CloseReason::PeerReset {
            self.process_rest(reactor, key);
        }
    }

    #[cold]
    fn closed(&mut self, reactor: &mut Loop<N, C>, _: Key, closed: Closed) {
        let number = closed.tag;
        let handshake = self.close_handshake(number, closed.reason);
        if self.config.script.is_some() && self.reopens(reactor, number) {
            return;
        }
        let error = ConnectError::of_close(closed.reason, closed.error.as_ref());
        let ended = Ended {
            error: handshake.error.unwrap_or(error),
            cause: LossCause::of(closed.reason),
            handshake,
            not_before: self.waits.event_not_before(reactor.now()),
        };
        let now = reactor.net.now();
        self.count_ended(number, ended, now);
    }

    fn source_ready(&mut self, reactor: &mut Loop<N, C>, source: Source) {
        if source == Source::SIGNALS {
            while reactor.net.take_signal().is_some() {
                self.interrupt(reactor);
            }
        }
        if source == Source::STDOUT {
            self.interval_writer.queue.on_writable();
        }
        if source == Source::PACKETS {
            self.on_packets_readable();
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// Opens as many connections as the window, the ramp and this iteration allow.
    pub(super) fn open_more<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        for _ in 0..CONNECTS_PER_ITERATION {
            if self.has_most_handshakes() {
                return;
            }
            let Some(number) = self.connector.next(now) else {
                return;
            };
            let began = reactor.net.now();
            if self.is_in_userspace(number) {
                self.connect_userspace(number, began);
                self.connector.on_started(began);
                continue;
            }
            match self.connect(reactor, number, u64::from(number)) {
                Ok(key) => {
                    self.connects_without_port = 0;
                    self.connector.on_started(began);
                    if let Some(lane) = self.lane(number) {
                        lane.key = Some(key);
                    }
                }
                Err(error) => self.on_connect_error(error),
            }
        }
    }

    /// Connects from the source address of this index.
    pub(super) fn connect<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        number: u32,
        source: u64,
    ) -> Result<Key, ConnectError> {
        let local = self.config.sources.address(source);
        self.driver
            .connect(reactor, self.config.target, local, number)
            .map_err(|error| ConnectError::of_error(&error))
    }

    pub(super) fn count_failed(&mut self, error: ConnectError, count: u64) {
        *self.tally.connections.failed.counter(error) += count;
    }

    fn on_connect_error(&mut self, error: ConnectError) {
        self.connector.skip();
        self.count_failed(error, 1);
        self.connects_without_port = match error {
            ConnectError::NoPorts => self.connects_without_port + 1,
            _ => 0,
        };
        // Further connects would fail alike: no file descriptor is released, and no source address has a port left.
        if error == ConnectError::NoFiles
            || self.connects_without_port >= self.config.sources.count()
        {
            let left = self.connector.cancel_rest();
            self.count_failed(error, left.into());
        }
    }

    fn on_established<N: Net>(&mut self, reactor: &mut Loop<N, C>, number: u32) {
        let now = reactor.net.now();
        let is_first = if self.driver.common.protocol.has_handshake() {
            self.end_handshake(reactor, number, now)
        } else {
            self.on_connected(reactor, number, now)
        };
        if !is_first {
            self.on_reconnected(number, now);
            return;
        }
        self.tally.connections.opened += 1;
        self.tally.opened_idle += u64::from(number >= self.config.active);
        self.tally.last_established = now;
    }

    /// TCP has established a connection; returns whether it is not a reconnection.
    pub(super) fn on_connected<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        number: u32,
        now: Time,
    ) -> bool {
        if let Some(began) = self.connecting_since(number) {
            self.count_syn_retransmits(reactor, began);
            self.tally.connect_times.record(now.since(began));
        }
        self.connector.on_established(number, now).is_some()
    }

    /// Counts a connection that has ended.
    pub(super) fn count_ended(&mut self, number: u32, ended: Ended, now: Time) {
        let is_idle = u64::from(number >= self.config.active);
        if self.count_failed_hello(number) {
            // Its kind says why it failed.
        } else if self.connector.on_closed(number) || ended.handshake.was_first {
            self.count_failed(ended.error, 1);
        } else if self.is_refused(number, ended.not_before) {
            // The server accepted it only to refuse it.
            self.tally.connections.opened -= 1;
            self.tally.opened_idle -= is_idle;
            let refused = ended.handshake.error.unwrap_or(ConnectError::Reset);
            self.count_failed(refused, 1);
        } else if !self.count_failed_reconnect(number, ended.error) {
            self.tally.connections.count_lost(ended.cause);
            self.tally.lost_idle += is_idle;
        }
        let was_probed = self.fail_probe(number);
        self.tally.probe.lost += u64::from(was_probed);
        self.on_lane_lost(number, now);
    }

    /// Whether a connection that was closed `at` this time was refused by the server right after it was accepted.
    fn is_refused(&mut self, number: u32, at: Time) -> bool {
        let is_probing = matches!(self.stage, Stage::Draining | Stage::Probing | Stage::Done);
        let has_replied = self.lane(number).is_some_and(|lane| lane.has_replied());
        !is_probing && !has_replied && !self.connector.is_held(number, at)
    }

    /// Writes a message. Returns false if the connection has ended.
    #[inline]
    pub(super) fn send_message<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        key: Key,
        number: u32,
        sequence: u64,
    ) -> bool {
        let connection = self.config.first_number + number;
        if self.config.script.is_some() {
            let ids = Ids {
                connection,
                sequence,
            };
            return self.send_part(reactor, key, Part::Message, ids);
        }
        let message = self.pattern.message(connection, sequence);
        let ended = self.driver.write(reactor, key, |outbox| {
            outbox.write(message.head());
            outbox.write(message.body());
        });
        if let Some(reason) = ended {
            self.close(reactor, key, reason);
        }
        ended.is_none()
    }

    /// Processes the replies received on one connection; if it `can_send`, sends the next messages.
    #[inline]
    fn process_replies<N: Net>(&mut self, reactor: &mut Loop<N, C>, key: Key, can_send: bool) {
        // The clock is read per connection, not per iteration: one iteration may process many replies one after another.
        let now = reactor.net.now();
        let number = self.take_replies(now);
        if number >= self.config.active || !can_send {
            return;
        }
        match self.config.churn {
            Some(ending) => self.close_and_reconnect(reactor, key, number, ending, now),
            None => {
                self.fill_pipeline(reactor, number, now);
            }
        }
    }

    /// Processes the replies that had arrived before a reset: the last one may have announced that the server closes the
    /// connection, which resets it if it is written to.
    fn process_rest<N: Net>(&mut self, reactor: &mut Loop<N, C>, key: Key) {
        self.driver.receive_rest(reactor, key);
        if !self.client().replies.is_empty() {
            self.process_replies(reactor, key, false);
        }
        if self.client().has_notices() {
            self.process_notices(reactor, key, false);
        }
    }

    /// Processes the replies received on one connection, and returns its number.
    #[inline]
    pub(super) fn take_replies(&mut self, now: Time) -> u32 {
        let number = self.client().replying_connection;
        let mut processed = 0;
        while let Some(reply) = self.client().replies.get(processed).copied() {
            self.process_reply(number, reply, now);
            processed += 1;
        }
        self.client().replies.clear();
        number
    }

    #[inline]
    fn process_reply(&mut self, number: u32, reply: Reply, now: Time) {
        let Some(lane) = self.lane(number) else {
            self.on_idle_reply(number, reply, now);
            return;
        };
        let message = lane.in_flight.pop_front();
        if message.is_some() {
            lane.free_since = now;
            lane.is_draining = true;
            self.pipelines.in_flight -= 1;
        }
        match (message, reply) {
            (Some(message), Ok(())) => self.tally.count_correct(message, now),
            (message, Err(mismatch)) => self.tally.count_wrong(mismatch, message, now),
            (None, Ok(())) => debug_assert!(false, "only a reply to a message is correct"),
        }
    }

    #[cold]
    fn on_idle_reply(&mut self, number: u32, reply: Reply, now: Time) {
        if self.config.script.is_some() && self.probing.is_outstanding(number) {
            self.on_probe_reply(number, reply, true, now);
            return;
        }
        if !self.client().is_probed(number) {
            if let Err(mismatch) = reply {
                self.tally.count_wrong(mismatch, None, now);
            }
            return;
        }
        let is_answered = self.client().end_answered_probe(number);
        if self.probing.is_outstanding(number) {
            self.on_probe_reply(number, reply, is_answered, now);
        } else if reply.is_err() {
            self.tally.unmeasured_mismatches += 1;
        }
    }
}
