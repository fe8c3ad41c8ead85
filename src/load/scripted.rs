//! A load that follows a script: hello after connecting, keepalives on idle connections, and connections that the server
//! closes after a reply, as HTTP servers do.

use super::conversation::{Conversations, Notice};
use super::script::{Ids, Part};
use super::session::{EchoClient, Hold, Reply};
use super::tester::{Loop, Tester};
use super::{ConnectError, LossCause, Observer, Stage, Warning};
use crate::connection::{CloseReason, Owner};
use crate::net::{Ending, Key, Net, Time};
use crate::numbers::as_f64;
use crate::tls::MaybeTls;
use std::collections::VecDeque;
use std::time::Duration;

/// Keepalives sent per iteration, so that events are handled in between.
const SENDS_PER_STEP: usize = 256;

/// When hellos expire and keepalives are due.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    /// Connections whose hello has begun, and when it expires.
    /// None: the connection is in user space.
    greetings: VecDeque<(Time, u32, Option<Key>)>,
    keepalives: Option<Keepalives>,
    rendered: Vec<u8>,
}

/// Keepalives are paced over the slots of the event loop: each slot is visited once per interval, without a timer
/// per connection.
#[derive(Clone, Copy, Debug)]
struct Keepalives {
    interval: Duration,
    round_began: Time,
    cursor: usize,
    /// Slots in this round.
    slots: usize,
}

impl Keepalives {
    fn next_due(&self) -> Time {
        let share = as_f64(self.cursor as u64) / as_f64(self.slots as u64);
        self.round_began + self.interval.mul_f64(share)
    }

    /// The slot to visit, if one is due. A load that is late by more than a quarter of the interval visits all later slots
    /// later, so that each connection has three quarters of it for its reply.
    fn next(&mut self, slots_end: usize, now: Time) -> Option<usize> {
        let due = self.next_due();
        if due > now {
            return None;
        }
        let excess = now.since(due).saturating_sub(self.interval / 4);
        self.round_began = self.round_began + excess;
        let index = self.cursor;
        self.cursor += 1;
        if self.cursor >= self.slots {
            self.round_began = self.round_began + self.interval;
            self.cursor = 0;
            self.slots = self.slots.max(slots_end);
        }
        Some(index)
    }
}

impl Scripted {
    /// Before the first connection; keepalives are sent each `interval`, if one is given.
    pub(super) fn new(interval: Option<Duration>, connections: u32, now: Time) -> Scripted {
        let keepalives = interval.map(|interval| Keepalives {
            interval,
            round_began: now,
            cursor: 0,
            slots: connections.max(1) as usize,
        });
        Scripted {
            keepalives,
            ..Scripted::default()
        }
    }
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    pub(super) fn conversations(&mut self) -> Option<&mut Conversations> {
        self.client().conversations.as_deref_mut()
    }

    /// Whether no reply is outstanding of those that are awaited after the measured part. The server may close a connection
    /// after its reply to a keepalive, and then the probe is for the one that is opened next.
    pub(super) fn is_drained(&self) -> bool {
        let conversations = self.driver.common.protocol.plain().conversations.as_deref();
        let is_any_outstanding = conversations.is_some_and(Conversations::is_any_outstanding);
        self.tally.left_to_drain == 0 && !is_any_outstanding
    }

    /// Whether the hello of any connection is not complete.
    pub(super) fn is_any_greeting(&self) -> bool {
        let conversations = self.driver.common.protocol.plain().conversations.as_deref();
        conversations.is_some_and(Conversations::is_any_greeting)
    }

    /// Writes a message of a script. Returns false if the connection has ended. Not inlined, so that the path of an echo is
    /// short.
    #[inline(never)]
    pub(super) fn send_part<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        key: Key,
        part: Part,
        ids: Ids,
    ) -> bool {
        let Some(script) = &self.config.script else {
            return true;
        };
        let rendered = &mut self.scripted.rendered;
        script.render(part, ids, rendered);
        let ended = self
            .driver
            .write(reactor, key, |outbox| outbox.write(rendered));
        if let Some(reason) = ended {
            self.close(reactor, key, reason);
        }
        ended.is_none()
    }

    /// A connection with a script is established; its hello, if any, has begun.
    pub(super) fn on_conversation_began<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        key: Key,
        number: u32,
    ) {
        if self.config.script.is_some() {
            self.expire_hello_of(number, Some(key), reactor.net.now());
        }
    }

    /// Has the hello of a connection expire, if it is not complete.
    pub(super) fn expire_hello_of(&mut self, number: u32, key: Option<Key>, now: Time) {
        let expires = now + self.config.connect_timeout;
        let conversations = self.conversations();
        if conversations.is_some_and(|all| all.expire_greeting(number, expires)) {
            self.scripted.greetings.push_back((expires, number, key));
        }
    }

    /// Processes what conversations have shown beside replies to messages.
    #[cold]
    pub(super) fn process_notices<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        key: Key,
        can_send: bool,
    ) {
        let now = reactor.net.now();
        let Some(conversations) = self.conversations() else {
            return;
        };
        let mut notices = std::mem::take(&mut conversations.notices);
        for (number, notice) in notices.drain(..) {
            match notice {
                Notice::Greeted => self.on_greeted(reactor, number, can_send, now),
                Notice::Keepalive(reply) => self.count_keepalive(reply, now),
                // Otherwise the connection is closed by now, or when the server's FIN is processed.
                Notice::Closes if can_send && self.is_closing(number) => {
                    self.close_as(reactor, key, Ending::Fin);
                    self.on_closed_as_announced(reactor, number, now);
                }
                Notice::Closes => {}
            }
        }
        if let Some(conversations) = self.conversations() {
            conversations.notices = notices;
        }
    }

    /// Counts the reply to a keepalive.
    pub(super) fn count_keepalive(&mut self, reply: Reply, now: Time) {
        match reply {
            Ok(()) => self.tally.keepalive.received += 1,
            Err(mismatch) => {
                self.tally.keepalive.mismatched += 1;
                self.tally.count_wrong(mismatch, None, now);
            }
        }
    }

    fn on_greeted<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        number: u32,
        can_send: bool,
        now: Time,
    ) {
        if let Some(lane) = self.lane(number) {
            lane.hold = Hold::Nothing;
            if can_send {
                self.fill_pipeline(reactor, number, now);
            }
        }
    }

    /// Whether the server has announced that it closes this connection.
    pub(super) fn is_closing(&mut self, number: u32) -> bool {
        match self.lane(number) {
            Some(lane) => lane.hold == Hold::Closing,
            None => self
                .conversations()
                .is_some_and(|all| all.is_closing(number)),
        }
    }

    /// A connection was closed: returns whether the server had announced that, and connects again if so.
    pub(super) fn reopens<N: Net>(&mut self, reactor: &mut Loop<N, C>, number: u32) -> bool {
        let is_closing = self.conversations().is_some() && self.is_closing(number);
        if is_closing {
            let now = reactor.net.now();
            self.on_closed_as_announced(reactor, number, now);
        }
        is_closing
    }

    /// A connection is closed, as the server had announced: connects again. Messages in flight are sent again; they keep
    /// the time at which they were due.
    fn on_closed_as_announced<N: Net>(&mut self, reactor: &mut Loop<N, C>, number: u32, now: Time) {
        self.tally.connections.reconnected += 1;
        if let Some(lane) = self
            .driver
            .common
            .protocol
            .plain_mut()
            .lanes
            .get_mut(number as usize)
        {
            self.pipelines.in_flight -= lane.in_flight.len() as u64;
            lane.keep_for_resending();
            lane.reset_connection();
            lane.must_reconnect = true;
            // First what is due; if nothing is, the connection is opened all the same.
            self.fill_pipeline(reactor, number, now);
            if self.lane(number).is_some_and(|lane| lane.key.is_none()) {
                self.reconnect(reactor, number);
            }
            return;
        }
        if let Some(conversations) = self.conversations() {
            conversations.end_closing(number);
        }
        if matches!(self.stage, Stage::Probing | Stage::Done) {
            return;
        }
        let source = u64::from(self.config.connections()) + self.reconnects;
        self.reconnects += 1;
        if let Err(error) = self.connect(reactor, number, source) {
            self.count_failed(error, 1);
            self.tally.connections.count_lost(LossCause::Other);
            self.tally.lost_idle += 1;
        }
    }

    /// A connection was closed before its hello was complete: counts it as failed. Returns whether it was.
    pub(super) fn count_failed_hello(&mut self, number: u32) -> bool {
        let conversations = self.conversations();
        if !conversations.is_some_and(|conversations| conversations.end_greeting(number)) {
            return false;
        }
        self.connector.on_closed(number);
        self.count_failed(ConnectError::Hello, 1);
        let is_reconnection = self.lane(number).is_some_and(|lane| lane.is_reconnection);
        if !is_reconnection {
            self.tally.connections.opened -= 1;
            self.tally.opened_idle -= u64::from(number >= self.config.active);
        }
        true
    }

    /// With a script, closes connections whose hello has expired, and sends the keepalives that are due.
    pub(super) fn step_conversations<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        while let Some((expires, number, key)) = self.scripted.greetings.front().copied() {
            let is_open = key.is_none_or(|key| reactor.find(key).is_some());
            let conversations = self.conversations().filter(|_| is_open);
            let is_greeting = conversations.is_some_and(|all| all.greets_until(number, expires));
            if is_greeting && expires > now {
                break;
            }
            self.scripted.greetings.pop_front();
            match key {
                Some(key) if is_greeting => self.close(reactor, key, CloseReason::SessionDone),
                None if is_greeting => self.give_up_userspace(number, now),
                _ => {}
            }
        }
        for _ in 0..SENDS_PER_STEP {
            // Connections in user space have no slots: they are visited by number.
            let is_in_userspace = self.userspace.is_some();
            let slots_end = if is_in_userspace {
                0
            } else {
                reactor.slots_end()
            };
            let Some(index) = self.next_keepalive(slots_end, now) else {
                return;
            };
            match u32::try_from(index) {
                Ok(number) if is_in_userspace => self.keep_userspace_alive(number, now),
                _ => self.send_keepalive(reactor, index),
            }
        }
    }

    /// The slot whose keepalive is due, if any.
    fn next_keepalive(&mut self, slots_end: usize, now: Time) -> Option<usize> {
        if matches!(self.stage, Stage::Draining | Stage::Probing | Stage::Done) {
            return None;
        }
        self.scripted.keepalives.as_mut()?.next(slots_end, now)
    }

    /// Sends a keepalive on the connection in a slot, if it is idle and established.
    fn send_keepalive<N: Net>(&mut self, reactor: &mut Loop<N, C>, index: usize) {
        let Some(key) = reactor.key_at(index) else {
            return;
        };
        let Some(number) = reactor.find(key).map(|slot| slot.tenant.tag()) else {
            return;
        };
        if number < self.config.active
            || self.connector.connecting.contains_key(&number)
            || self.is_handshaking(number)
        {
            return;
        }
        let Some(sequence) = self.begin_keepalive(number) else {
            return;
        };
        let ids = Ids {
            connection: self.config.first_number + number,
            sequence,
        };
        self.send_part(reactor, key, Part::Keepalive, ids);
    }

    /// Counts a keepalive that is to be sent on an idle connection, and returns its number. None if the connection has
    /// not completed its hello, or has not received an earlier reply.
    pub(super) fn begin_keepalive(&mut self, number: u32) -> Option<u64> {
        let conversations = self.conversations()?;
        if conversations.is_greeting(number) {
            return None;
        }
        if conversations.is_outstanding(number) {
            self.tally.keepalive.unanswered += 1;
            return None;
        }
        let sequence = conversations.begin_idle(number, Part::Keepalive);
        self.tally.keepalive.sent += 1;
        Some(sequence)
    }

    /// When [`step_conversations`](Tester::step_conversations) is to be called even without an event.
    pub(super) fn conversations_wake_at(&self) -> Option<Time> {
        let greeting = self
            .scripted
            .greetings
            .front()
            .map(|(expires, ..)| *expires);
        let is_over = matches!(self.stage, Stage::Draining | Stage::Probing | Stage::Done);
        let keepalives = self.scripted.keepalives.filter(|_| !is_over);
        let keepalive = keepalives.map(|keepalives| keepalives.next_due());
        greeting.into_iter().chain(keepalive).min()
    }

    /// Remarks about replies that never ended, and about the first wrong one.
    pub(super) fn remark_on_replies(&mut self) {
        let lanes = self.client().lanes.iter();
        let unfinished = lanes.filter(|lane| lane.partial > 0).count() as u64;
        if unfinished > 0 {
            let remark = Warning::RepliesUnfinished(unfinished);
            self.tally.remarks.push(remark);
        }
        let example = self
            .conversations()
            .and_then(|all| all.buffers.example.take());
        if let Some((found, expected)) = example {
            let remark = Warning::FirstWrongReply(found, expected);
            self.tally.remarks.push(remark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_load_leaves_each_connection_three_quarters_of_the_interval() {
        const SLOTS: u32 = 100;
        let interval = Duration::from_millis(200);
        let start = Time::default();
        let mut keepalives = Scripted::new(Some(interval), SLOTS, start)
            .keepalives
            .unwrap();
        let mut visits: Vec<Vec<Time>> = vec![Vec::new(); SLOTS as usize];
        let mut now = start;
        // It is on time for a while, then stops for more than ten rounds, then needs 3 ms for each step.
        let steps = [(1, 500), (2_345, 1), (3, 1_000)];
        for (milliseconds, count) in steps {
            for _ in 0..count {
                now = now + Duration::from_millis(milliseconds);
                while let Some(index) = keepalives.next(SLOTS as usize, now) {
                    visits[index].push(now);
                }
            }
        }
        for times in visits {
            assert!(times.len() > 10, "{times:?}");
            for pair in times.windows(2) {
                assert!(pair[1].since(pair[0]) >= interval * 3 / 4, "{times:?}");
            }
        }
    }
}
