//! What the loop tells a load: who is ready, who has come to stand, what was heard, who is gone.

use super::cause::Cause;
use super::session::{EchoSession, Flight, Verdict};
use super::surroundings::{Stage, Surroundings};
use super::tester::{Loop, Tester};
use crate::connection::{Classes, CloseReason, Connection};
use crate::net::{Key, Net, Readiness, Source, Time};
use crate::reactor::Handler;

/// Connections begun in one turn, before it is the turn of those that are ready.
const CONNECTS_PER_TURN: usize = 32;

impl<N: Net, S: Surroundings> Handler<N, Connection<EchoSession>> for Tester<S> {
    #[inline]
    fn ready(&mut self, reactor: &mut Loop<N>, key: Key, readiness: Readiness) {
        self.waits.event();
        let ended = self.driver.drive(reactor, key, readiness);
        let echoes = &mut self.driver.common.protocol;
        if let Some(number) = echoes.opened.take() {
            self.stands(reactor, key, number);
        }
        if !self.driver.common.protocol.verdicts.is_empty() {
            self.heed_verdicts(reactor, key, ended.is_none());
        }
        if let Some(reason) = ended {
            self.ended(reactor, key, reason);
        }
        self.send_due(reactor);
    }

    fn expired(&mut self, reactor: &mut Loop<N>, key: Key) {
        // What has arrived comes first: events may still be queued in the kernel.
        if let Some(slot) = reactor.find(key) {
            let readiness = Classes::readiness_at_deadline(slot.class());
            self.ready(reactor, key, readiness);
        }
        if reactor.is_expired(key)
            && let Some(slot) = reactor.find(key)
        {
            let reason = slot.tenant.expire();
            self.ended(reactor, key, reason);
        }
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
        self.wakes_at()
    }
}

impl<S: Surroundings> Tester<S> {
    /// Begins connections, as many as the window, the ramp and this turn allow.
    pub(super) fn open_more<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        for _ in 0..CONNECTS_PER_TURN {
            let Some(number) = self.opening.next(now) else {
                return;
            };
            let began = reactor.net.now();
            match self.connect(reactor, number, u64::from(number)) {
                Ok(key) => {
                    self.without_port = 0;
                    self.opening.begun(began);
                    if let Some(lane) = self.lane(number) {
                        lane.key = Some(key);
                    }
                }
                Err(cause) => self.could_not_begin(cause),
            }
        }
    }

    /// Begins the connection of this number, from the source of this index.
    pub(super) fn connect<N: Net>(
        &mut self,
        reactor: &mut Loop<N>,
        number: u32,
        source: u64,
    ) -> Result<Key, Cause> {
        let local = self.config.sources.address(source);
        self.driver.common.protocol.beginning = number;
        self.driver
            .connect(reactor, self.config.target, local, number)
            .map_err(|error| Cause::of_error(&error))
    }

    fn could_not_begin(&mut self, cause: Cause) {
        self.opening.skipped();
        cause.count(&mut self.tally.failed, 1);
        self.without_port = match cause {
            Cause::NoPorts => self.without_port + 1,
            _ => 0,
        };
        // To go on would be the same answer over and over: no descriptor comes back, and no address has a port.
        let is_futile = match cause {
            Cause::NoFiles => true,
            Cause::NoPorts => self.without_port >= self.config.sources.count(),
            _ => false,
        };
        if is_futile {
            let left = self.opening.stop();
            cause.count(&mut self.tally.failed, left.into());
        }
    }

    /// A connection has come to stand.
    fn stands<N: Net>(&mut self, reactor: &mut Loop<N>, key: Key, number: u32) {
        let now = reactor.net.now();
        if let Some(begun) = self.connecting_since(number) {
            self.count_syn_retransmits(reactor, begun);
        }
        let Some((took, is_proof)) = self.opening.stands(number, now) else {
            self.churned(number, now);
            return;
        };
        self.tally.connect.record(took);
        self.tally.opened += 1;
        self.tally.opened_idle += u64::from(number >= self.config.active);
        self.tally.last_stood = now;
        if is_proof {
            let flight = Flight {
                due: now,
                sent: now,
            };
            let sequence = match self.lane(number) {
                Some(lane) => lane.send(flight),
                None => self.driver.common.protocol.ask(number),
            };
            self.say(reactor, key, number, sequence);
        }
    }

    /// Writes a message. If that ends the connection, sees to that too, and gives back false.
    #[inline]
    pub(super) fn say<N: Net>(
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
            self.ended(reactor, key, reason);
        }
        ended.is_none()
    }

    /// Sees to the replies that have come on one connection, and, if `may_speak`, to what is said next.
    #[inline]
    fn heed_verdicts<N: Net>(&mut self, reactor: &mut Loop<N>, key: Key, may_speak: bool) {
        // For each reply and not for each turn: many replies in one turn come one after another.
        let now = reactor.net.now();
        let number = self.driver.common.protocol.speaker;
        let mut verdicts = std::mem::take(&mut self.driver.common.protocol.verdicts);
        for verdict in verdicts.drain(..) {
            self.heed_verdict(number, verdict, now);
        }
        self.driver.common.protocol.verdicts = verdicts;
        if self.stage == Stage::Opening {
            self.opening.settle(number);
        }
        if number >= self.config.active || !may_speak {
            return;
        }
        match self.config.churn {
            Some(ending) => self.end_churn(reactor, key, number, ending, now),
            None => self.pump(reactor, number, now),
        }
    }

    #[inline]
    fn heed_verdict(&mut self, number: u32, verdict: Verdict, now: Time) {
        let Some(lane) = self.driver.common.protocol.lanes.get_mut(number as usize) else {
            self.idle_answered(number, verdict, now);
            return;
        };
        match (lane.in_flight.pop_front(), verdict) {
            (Some(flight), Ok(())) => self.tally.right(flight, now),
            (flight, Err(mismatch)) => self.tally.wrong(mismatch, flight, now),
            (None, Ok(())) => debug_assert!(false, "a right reply is one to a message"),
        }
    }

    /// An idle connection has said something.
    #[cold]
    fn idle_answered(&mut self, number: u32, verdict: Verdict, now: Time) {
        if !self.driver.common.protocol.is_asked(number) {
            if let Err(mismatch) = verdict {
                self.tally.wrong(mismatch, None, now);
            }
            return;
        }
        let done = self.driver.common.protocol.is_done_asking(number);
        if self.probing.is_awaited(number) {
            self.probe_answered(number, verdict, done, now);
        } else if verdict.is_err() {
            self.tally.mismatched_elsewhere += 1;
        }
    }

    /// A connection has ended by itself: while it was begun, or while it was to be held.
    #[cold]
    pub(super) fn ended<N: Net>(&mut self, reactor: &mut Loop<N>, key: Key, reason: CloseReason) {
        self.count_syn_retransmits_of_failed(reactor, key, reason);
        let Some(closed) = self.driver.close(reactor, key, reason) else {
            return;
        };
        let number = closed.tag;
        let cause = Cause::of_end(reason, closed.error.as_ref());
        let is_idle = number >= self.config.active;
        let is_proven = self.opening.is_proven(number);
        if self.opening.failed(number) {
            cause.count(&mut self.tally.failed, 1);
        } else if self.stage == Stage::Opening && !is_proven {
            // It was taken off the queue to be refused.
            self.tally.opened -= 1;
            self.tally.opened_idle -= u64::from(is_idle);
            Cause::Reset.count(&mut self.tally.failed, 1);
        } else if !self.churn_failed(number, cause) {
            self.tally.lost += 1;
            self.tally.lost_idle += u64::from(is_idle);
        }
        self.probe_lost(number);
        self.driver.common.protocol.forget(number);
        self.lane_lost(number, reactor.net.now());
    }
}
