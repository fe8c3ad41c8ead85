//! The client side of an echo: compares the bytes received with those sent.
//!
//! A session is a number. The state of an active connection is in its [`Lane`]; an idle connection has state only while it
//! is probed ([`ProbeState`]). The session leaves replies in [`EchoClient`] for the load to process.

use super::{Mismatch, Pattern};
use crate::connection::Connection;
use crate::net::{Key, MioNet, Net};
use crate::protocol::{Context, Outbox, Protocol, Session};
use crate::reactor::Slot;
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A complete reply: correct, or what is wrong with it.
pub(super) type Reply = Result<(), Mismatch>;

/// The reply expected next on one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    /// The number of the message that it answers.
    sequence: u64,
    /// How many of its bytes have arrived.
    offset: usize,
    /// What is wrong with those bytes.
    damage: Option<Mismatch>,
}

impl Expected {
    /// Expects the reply to this message.
    pub(super) fn from(sequence: u64) -> Expected {
        Expected {
            sequence,
            ..Expected::default()
        }
    }

    /// How many of `sent` messages have no reply yet.
    fn missing(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.sequence)
    }

    /// Compares `input` with the replies to messages below `sent`, and adds each complete one to `replies`.
    #[inline]
    fn take(
        &mut self,
        connection: u32,
        sent: u64,
        input: &[u8],
        pattern: &Pattern,
        replies: &mut Vec<Reply>,
    ) {
        // Nearly every reply arrives in one piece and alone, and is correct.
        if self.offset == 0 && self.sequence < sent && input.len() == pattern.size() {
            let message = pattern.message(connection, self.sequence);
            if message.is(input) {
                self.sequence += 1;
                replies.push(Ok(()));
                return;
            }
        }
        self.take_pieces(connection, sent, input, pattern, replies);
    }

    fn take_pieces(
        &mut self,
        connection: u32,
        sent: u64,
        mut input: &[u8],
        pattern: &Pattern,
        replies: &mut Vec<Reply>,
    ) {
        while !input.is_empty() {
            if self.sequence >= sent {
                replies.push(Err(Mismatch::Unasked));
                return;
            }
            let size = pattern.size();
            let (piece, rest) = input.split_at(input.len().min(size - self.offset));
            input = rest;
            let message = pattern.message(connection, self.sequence);
            if !message.matches(self.offset, piece) {
                self.note_damage(connection, piece, pattern);
            }
            self.offset += piece.len();
            if self.offset == size {
                replies.push(self.damage.map_or(Ok(()), Err));
                *self = Expected::from(self.sequence + 1);
            }
        }
    }

    #[cold]
    fn note_damage(&mut self, connection: u32, piece: &[u8], pattern: &Pattern) {
        let found = if self.offset == 0 {
            pattern.diagnose(connection, self.sequence, piece)
        } else {
            Mismatch::Changed
        };
        self.damage.get_or_insert(found);
    }
}

/// A message in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) due: Time,
    pub(super) sent: Time,
}

/// An active connection; with churn, a sequence of them.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The current connection.
    pub(super) key: Option<Key>,
    /// With churn, when the current connection began to connect, until it is established.
    pub(super) connecting_since: Option<Time>,
    /// The next connect must not begin before this, since the last one failed.
    pub(super) retry_at: Time,
    /// Messages that are due and not yet sent.
    pub(super) queued: u64,
    /// Messages that have fallen due by schedule.
    pub(super) scheduled: u64,
    /// Messages sent: the number of the next one.
    sent: u64,
    /// Messages without a reply, in the order of sending.
    pub(super) in_flight: VecDeque<InFlight>,
    expected: Expected,
}

impl Lane {
    /// Adds a message to those in flight and returns its number.
    #[inline]
    pub(super) fn send(&mut self, message: InFlight) -> u64 {
        self.in_flight.push_back(message);
        let sequence = self.sent;
        self.sent += 1;
        sequence
    }

    /// The connection is closed: its messages in flight stay unanswered.
    pub(super) fn reset_connection(&mut self) {
        self.in_flight.clear();
        self.key = None;
        self.connecting_since = None;
        self.expected = Expected::from(self.sent);
    }
}

/// An idle connection that is being probed.
#[derive(Clone, Copy, Debug, Default)]
struct ProbeState {
    expected: Expected,
    sent: u64,
}

/// The size of a slot in the slab.
#[expect(dead_code, reason = "only its size matters")]
enum SlabEntry<T> {
    Vacant(usize),
    Occupied(T),
}

// The memory of an idle connection: it has nothing beside its slot.
const _: () = {
    type EchoSlot = Slot<<MioNet as Net>::Stream, Connection<EchoSession>>;
    assert!(size_of::<SlabEntry<EchoSlot>>() <= 64);
};

/// The protocol of a load: the state of its connections, and the replies received.
#[derive(Debug)]
pub(super) struct EchoClient {
    pattern: Rc<Pattern>,
    /// Active connections by number.
    pub(super) lanes: Vec<Lane>,
    /// Idle connections being probed, by number.
    probes: HashMap<u32, ProbeState>,
    /// The number of the next connection to open.
    pub(super) next_number: u32,
    /// The connection that was established by the current event, if any.
    pub(super) established: Option<u32>,
    /// The connection that has sent `replies`.
    pub(super) replying_connection: u32,
    /// Replies that are not yet processed.
    pub(super) replies: Vec<Reply>,
}

impl EchoClient {
    pub(super) fn new(pattern: Rc<Pattern>, active: u32, pipeline: usize) -> EchoClient {
        let lane = |_| Lane {
            in_flight: VecDeque::with_capacity(pipeline.min(1024)),
            ..Lane::default()
        };
        EchoClient {
            pattern,
            lanes: (0..active).map(lane).collect(),
            probes: HashMap::new(),
            next_number: 0,
            established: None,
            replying_connection: 0,
            replies: Vec::new(),
        }
    }

    /// Expects a probe's echo on an idle connection; returns the number of the message to send.
    pub(super) fn begin_probe(&mut self, connection: u32) -> u64 {
        let probe = self.probes.entry(connection).or_default();
        probe.sent += 1;
        probe.sent - 1
    }

    /// Whether an idle connection is being probed.
    pub(super) fn is_probed(&self, connection: u32) -> bool {
        self.probes.contains_key(&connection)
    }

    /// Ends the probe of an idle connection if it is answered; returns whether it is.
    pub(super) fn end_answered_probe(&mut self, connection: u32) -> bool {
        let probe = self.probes.get(&connection);
        let is_answered = probe.is_none_or(|probe| probe.expected.missing(probe.sent) == 0);
        if is_answered {
            // Nothing is in flight any more, so the next probe may reuse the number.
            self.end_probe(connection);
        }
        is_answered
    }

    /// Ends the probe of an idle connection, answered or not.
    pub(super) fn end_probe(&mut self, connection: u32) {
        self.probes.remove(&connection);
    }
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct EchoSession {
    number: u32,
}

impl Protocol for EchoClient {
    type Session = EchoSession;

    fn name(&self) -> &'static str {
        "load"
    }

    fn session(&mut self) -> EchoSession {
        EchoSession {
            number: self.next_number,
        }
    }
}

impl Session for EchoSession {
    type Shared = EchoClient;

    fn open(&mut self, context: Context<'_, EchoClient>, _: &mut Outbox<'_>) {
        context.shared.established = Some(self.number);
    }

    #[inline]
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, EchoClient>,
        _: &mut Outbox<'a>,
    ) -> usize {
        let shared = context.shared;
        shared.replying_connection = self.number;
        let (pattern, replies) = (&*shared.pattern, &mut shared.replies);
        if let Some(lane) = shared.lanes.get_mut(self.number as usize) {
            let expected = &mut lane.expected;
            expected.take(self.number, lane.sent, input, pattern, replies);
        } else if let Some(probe) = shared.probes.get_mut(&self.number) {
            let expected = &mut probe.expected;
            expected.take(self.number, probe.sent, input, pattern, replies);
        } else {
            replies.push(Err(Mismatch::Unasked));
        }
        input.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn messages(pattern: &Pattern, connection: u32, count: u64) -> Vec<u8> {
        let bytes = (0..count).flat_map(|sequence| {
            let message = pattern.message(connection, sequence);
            [message.head(), message.body()].concat()
        });
        bytes.collect()
    }

    fn receive(
        expected: &mut Expected,
        sent: u64,
        pieces: &[&[u8]],
        pattern: &Pattern,
    ) -> Vec<Reply> {
        let mut replies = Vec::new();
        for piece in pieces {
            expected.take(7, sent, piece, pattern, &mut replies);
        }
        replies
    }

    proptest! {
        #[test]
        fn replies_cut_anywhere_are_correct(size in 1_usize..100, count in 1_u64..20, cuts in proptest::collection::vec(any::<Index>(), 0..10)) {
            let pattern = Pattern::new(size);
            let stream = messages(&pattern, 7, count);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let replies = receive(&mut Expected::default(), count, &pieces, &pattern);
            prop_assert_eq!(replies.len() as u64, count);
            prop_assert!(replies.iter().all(Result::is_ok));
        }

        #[test]
        fn one_changed_byte_is_one_wrong_reply(size in 1_usize..100, count in 1_u64..20, at: Index, cut: Index) {
            let pattern = Pattern::new(size);
            let mut stream = messages(&pattern, 7, count);
            let at = at.index(stream.len());
            stream[at] ^= 0x55;
            let (left, right) = stream.split_at(cut.index(stream.len()));
            let replies = receive(&mut Expected::default(), count, &[left, right], &pattern);
            prop_assert_eq!(replies.len() as u64, count);
            for (index, verdict) in replies.iter().enumerate() {
                prop_assert_eq!(verdict.is_err(), index == at / size);
            }
        }
    }

    #[test]
    fn repeated_and_foreign_replies_are_distinguished() {
        let pattern = Pattern::new(64);
        let mine = messages(&pattern, 7, 3);
        let (first, rest) = mine.split_at(64);
        let others = messages(&pattern, 8, 1);
        let received = |pieces: &[&[u8]]| receive(&mut Expected::default(), 2, pieces, &pattern);
        assert_eq!(
            received(&[first, first]),
            [Ok(()), Err(Mismatch::OutOfOrder)]
        );
        assert_eq!(received(&[&rest[..64]]), [Err(Mismatch::OutOfOrder)]);
        assert_eq!(received(&[&others]), [Err(Mismatch::OtherConnection)]);
        let surplus = received(&[first, &rest[..64], b"!"]);
        assert_eq!(surplus, [Ok(()), Ok(()), Err(Mismatch::Unasked)]);
    }
}
