//! Events of the loop: connections that are established, replies, connections that close.

use super::session::{EchoClient, InFlight, Reply};
use super::tester::{Loop, Tester};
use super::{ConnectError, Observer, Stage};
use crate::connection::{CloseReason, Closed, Driver, Owner};
use crate::net::{Key, Net, Source, Time};

/// Connections opened per iteration, so that events are handled in between.
const CONNECTS_PER_ITERATION: usize = 32;

impl<N: Net, S: Observer> Owner<N, EchoClient> for Tester<S> {
    #[inline]
    fn driver(&mut self) -> &mut Driver<EchoClient> {
        &mut self.driver
    }

    #[inline]
    fn driven(
        &mut self,
        reactor: &mut Loop<N>,
        key: Key,
        ended: Option<CloseReason>,
    ) -> Option<CloseReason> {
        self.waits.count_event();
        if let Some(number) = self.client().established.take() {
            self.on_established(reactor, key, number);
        }
        if !self.client().replies.is_empty() {
            self.process_replies(reactor, key, ended.is_none());
        }
        if ended.is_none() {
            self.send_due(reactor);
        }
        ended
    }

    #[cold]
    fn closing(&mut self, reactor: &mut Loop<N>, key: Key, reason: CloseReason) {
        self.count_syn_retransmits_of_failed(reactor, key, reason);
    }

    #[cold]
    fn closed(&mut self, reactor: &mut Loop<N>, _: Key, closed: Closed) {
        let number = closed.tag;
        let error = ConnectError::of_close(closed.reason, closed.error.as_ref());
        let is_idle = u64::from(number >= self.config.active);
        let is_proven = self.connector.is_proven(number);
        if self.connector.on_closed(number) {
            self.count_failed(error, 1);
        } else if self.stage == Stage::Connecting && !is_proven {
            // The server accepted it only to refuse it.
            self.tally.connections.opened -= 1;
            self.tally.opened_idle -= is_idle;
            self.count_failed(ConnectError::Reset, 1);
        } else if !self.count_failed_reconnect(number, error) {
            self.tally.connections.lost += 1;
            self.tally.lost_idle += is_idle;
        }
        self.fail_probe(number);
        self.on_lane_lost(number, reactor.net.now());
    }

    fn source_ready(&mut self, reactor: &mut Loop<N>, source: Source) {
        if source == Source::SIGNALS {
            while reactor.net.take_signal().is_some() {
                self.interrupt(reactor);
            }
        }
        if source == Source::STDOUT {
            self.interval_writer.queue.on_writable();
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }
}

impl<S: Observer> Tester<S> {
    /// Opens as many connections as the window, the ramp and this iteration allow.
    pub(super) fn open_more<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        for _ in 0..CONNECTS_PER_ITERATION {
            let Some(number) = self.connector.next(now) else {
                return;
            };
            let began = reactor.net.now();
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
        reactor: &mut Loop<N>,
        number: u32,
        source: u64,
    ) -> Result<Key, ConnectError> {
        let local = self.config.sources.address(source);
        self.client().next_number = number;
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

    fn on_established<N: Net>(&mut self, reactor: &mut Loop<N>, key: Key, number: u32) {
        let now = reactor.net.now();
        if let Some(began) = self.connecting_since(number) {
            self.count_syn_retransmits(reactor, began);
        }
        let Some((took, is_proof)) = self.connector.on_established(number, now) else {
            self.on_reconnected(number, now);
            return;
        };
        self.tally.connect_times.record(took);
        self.tally.connections.opened += 1;
        self.tally.opened_idle += u64::from(number >= self.config.active);
        self.tally.last_established = now;
        if is_proof {
            let message = InFlight {
                due: now,
                sent: now,
            };
            let sequence = match self.lane(number) {
                Some(lane) => lane.send(message),
                None => self.client().begin_probe(number),
            };
            self.send_message(reactor, key, number, sequence);
        }
    }

    /// Writes a message. Returns false if the connection has ended.
    #[inline]
    pub(super) fn send_message<N: Net>(
        &mut self,
        reactor: &mut Loop<N>,
        key: Key,
        number: u32,
        sequence: u64,
    ) -> bool {
        let message = self.pattern.message(number, sequence);
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
    fn process_replies<N: Net>(&mut self, reactor: &mut Loop<N>, key: Key, can_send: bool) {
        // The clock is read per connection, not per iteration: one iteration may process many replies one after another.
        let now = reactor.net.now();
        let number = self.client().replying_connection;
        let mut replies = std::mem::take(&mut self.client().replies);
        for reply in replies.drain(..) {
            self.process_reply(number, reply, now);
        }
        self.client().replies = replies;
        if self.stage == Stage::Connecting {
            self.connector.settle_proof(number);
        }
        if number >= self.config.active || !can_send {
            return;
        }
        match self.config.churn {
            Some(ending) => self.close_and_reconnect(reactor, key, number, ending, now),
            None => self.fill_pipeline(reactor, number, now),
        }
    }

    #[inline]
    fn process_reply(&mut self, number: u32, reply: Reply, now: Time) {
        let Some(lane) = self.lane(number) else {
            self.on_idle_reply(number, reply, now);
            return;
        };
        match (lane.in_flight.pop_front(), reply) {
            (Some(message), Ok(())) => self.tally.count_correct(message, now),
            (message, Err(mismatch)) => self.tally.count_wrong(mismatch, message, now),
            (None, Ok(())) => debug_assert!(false, "only a reply to a message is correct"),
        }
    }

    #[cold]
    fn on_idle_reply(&mut self, number: u32, reply: Reply, now: Time) {
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
