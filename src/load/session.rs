//! The client's side of an echo: what comes is compared with what was sent, and nothing is said by itself.
//!
//! A session is a number. What an active connection is at stands in its [`Lane`]; an idle one has nothing but while it
//! is asked for an echo ([`Exchange`]). What was heard is left with [`Echoes`] for the load to see to.

use super::pattern::{Mismatch, Pattern};
use crate::connection::Connection;
use crate::net::{Key, MioNet, Net};
use crate::protocol::{Context, Outbox, Protocol, Session};
use crate::reactor::Slot;
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A reply that has come in whole.
pub(super) type Verdict = Result<(), Mismatch>;

/// What is compared next on one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    /// The number of the message whose reply is awaited.
    sequence: u64,
    /// How much of it has come.
    offset: usize,
    /// What was wrong with that much.
    damage: Option<Mismatch>,
}

impl Expected {
    /// Awaits the reply to this message, from its first byte on.
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

    /// Compares `input` with the replies to messages below `sent`, and adds a verdict for each that is complete.
    #[inline]
    fn take(
        &mut self,
        connection: u32,
        sent: u64,
        input: &[u8],
        pattern: &Pattern,
        verdicts: &mut Vec<Verdict>,
    ) {
        // Nearly every reply comes whole, alone and right.
        if self.offset == 0 && self.sequence < sent && input.len() == pattern.size() {
            let message = pattern.message(connection, self.sequence);
            if message.is(input) {
                self.sequence += 1;
                verdicts.push(Ok(()));
                return;
            }
        }
        self.take_pieces(connection, sent, input, pattern, verdicts);
    }

    fn take_pieces(
        &mut self,
        connection: u32,
        sent: u64,
        mut input: &[u8],
        pattern: &Pattern,
        verdicts: &mut Vec<Verdict>,
    ) {
        while !input.is_empty() {
            if self.sequence >= sent {
                verdicts.push(Err(Mismatch::Unasked));
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
                verdicts.push(self.damage.map_or(Ok(()), Err));
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

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) due: Time,
    pub(super) sent: Time,
}

/// An active connection, or the place of one.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The connection, while there is one.
    pub(super) key: Option<Key>,
    /// When it was begun, until it stands.
    pub(super) begun: Option<Time>,
    /// Until when no connection is to be begun, since the last one failed.
    pub(super) rests_until: Time,
    /// Messages that are due and not sent yet.
    pub(super) queued: u64,
    /// Messages that have fallen due by schedule.
    pub(super) scheduled: u64,
    /// Messages sent: the number of the next one.
    pub(super) sent: u64,
    /// Messages without a reply, in the order of sending.
    pub(super) in_flight: VecDeque<Flight>,
    expected: Expected,
}

impl Lane {
    /// The number of the next message, which is now on its way.
    #[inline]
    pub(super) fn send(&mut self, flight: Flight) -> u64 {
        self.in_flight.push_back(flight);
        let sequence = self.sent;
        self.sent += 1;
        sequence
    }

    /// Its connection is gone: nothing more comes for what was sent.
    pub(super) fn forget_connection(&mut self) {
        self.in_flight.clear();
        self.key = None;
        self.begun = None;
        self.expected = Expected::from(self.sent);
    }
}

/// An idle connection that is asked for an echo.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exchange {
    expected: Expected,
    sent: u64,
}

/// As the slab stores a slot: an index of the next vacant one, or what is there.
#[expect(dead_code, reason = "only its size is of interest")]
enum SlabEntry<T> {
    Vacant(usize),
    Occupied(T),
}

// What an idle connection costs here. Beside its slot it has nothing.
const _: () = {
    type EchoSlot = Slot<<MioNet as Net>::Stream, Connection<EchoSession>>;
    assert!(size_of::<SlabEntry<EchoSlot>>() <= 64);
};

/// The protocol of a load: what its connections have sent, and what came of it.
#[derive(Debug)]
pub(super) struct Echoes {
    pattern: Rc<Pattern>,
    /// The active ones, by number.
    pub(super) lanes: Vec<Lane>,
    /// The idle ones that are asked for an echo, by number.
    exchanges: HashMap<u32, Exchange>,
    /// The number of the connection that is begun next.
    pub(super) beginning: u32,
    /// A connection has come to stand since this was looked at.
    pub(super) opened: Option<u32>,
    /// Whose the verdicts are.
    pub(super) speaker: u32,
    /// Replies that have come since these were looked at.
    pub(super) verdicts: Vec<Verdict>,
}

impl Echoes {
    pub(super) fn new(pattern: Rc<Pattern>, active: u32, pipeline: usize) -> Echoes {
        let lane = |_| Lane {
            in_flight: VecDeque::with_capacity(pipeline.min(1024)),
            ..Lane::default()
        };
        Echoes {
            pattern,
            lanes: (0..active).map(lane).collect(),
            exchanges: HashMap::new(),
            beginning: 0,
            opened: None,
            speaker: 0,
            verdicts: Vec::new(),
        }
    }

    /// The number of the message by which an idle connection is asked for an echo.
    pub(super) fn ask(&mut self, connection: u32) -> u64 {
        let exchange = self.exchanges.entry(connection).or_default();
        exchange.sent += 1;
        exchange.sent - 1
    }

    /// Whether an idle connection still has to answer.
    pub(super) fn is_asked(&self, connection: u32) -> bool {
        self.exchanges.contains_key(&connection)
    }

    /// An idle connection is asked no more, because it has answered everything; false if it has not.
    pub(super) fn is_done_asking(&mut self, connection: u32) -> bool {
        let exchange = self.exchanges.get(&connection);
        let done = exchange.is_none_or(|asked| asked.expected.missing(asked.sent) == 0);
        if done {
            // The next question has the first number again: nothing of this one is on its way any more.
            self.exchanges.remove(&connection);
        }
        done
    }

    /// An idle connection is asked no more, because it is gone or was given up.
    pub(super) fn forget(&mut self, connection: u32) {
        self.exchanges.remove(&connection);
    }
}

/// One connection: its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct EchoSession {
    number: u32,
}

impl Protocol for Echoes {
    type Session = EchoSession;

    fn name(&self) -> &'static str {
        "load"
    }

    fn session(&mut self) -> EchoSession {
        EchoSession {
            number: self.beginning,
        }
    }
}

impl Session for EchoSession {
    type Shared = Echoes;

    fn open(&mut self, context: Context<'_, Echoes>, _: &mut Outbox<'_>) {
        context.shared.opened = Some(self.number);
    }

    #[inline]
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Echoes>,
        _: &mut Outbox<'a>,
    ) -> usize {
        let shared = context.shared;
        shared.speaker = self.number;
        let (pattern, verdicts) = (&*shared.pattern, &mut shared.verdicts);
        if let Some(lane) = shared.lanes.get_mut(self.number as usize) {
            let expected = &mut lane.expected;
            expected.take(self.number, lane.sent, input, pattern, verdicts);
        } else if let Some(exchange) = shared.exchanges.get_mut(&self.number) {
            let expected = &mut exchange.expected;
            expected.take(self.number, exchange.sent, input, pattern, verdicts);
        } else {
            verdicts.push(Err(Mismatch::Unasked));
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

    fn hear(
        expected: &mut Expected,
        sent: u64,
        pieces: &[&[u8]],
        pattern: &Pattern,
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for piece in pieces {
            expected.take(7, sent, piece, pattern, &mut verdicts);
        }
        verdicts
    }

    proptest! {
        #[test]
        fn replies_are_right_however_the_stream_is_cut(size in 1_usize..100, count in 1_u64..20, cuts in proptest::collection::vec(any::<Index>(), 0..10)) {
            let pattern = Pattern::new(size);
            let stream = messages(&pattern, 7, count);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let verdicts = hear(&mut Expected::default(), count, &pieces, &pattern);
            prop_assert_eq!(verdicts.len() as u64, count);
            prop_assert!(verdicts.iter().all(Result::is_ok));
        }

        #[test]
        fn one_changed_byte_is_one_wrong_reply(size in 1_usize..100, count in 1_u64..20, at: Index, cut: Index) {
            let pattern = Pattern::new(size);
            let mut stream = messages(&pattern, 7, count);
            let at = at.index(stream.len());
            stream[at] ^= 0x55;
            let (left, right) = stream.split_at(cut.index(stream.len()));
            let verdicts = hear(&mut Expected::default(), count, &[left, right], &pattern);
            prop_assert_eq!(verdicts.len() as u64, count);
            for (index, verdict) in verdicts.iter().enumerate() {
                prop_assert_eq!(verdict.is_err(), index == at / size);
            }
        }
    }

    #[test]
    fn twice_out_of_order_and_anothers_are_told_apart() {
        let pattern = Pattern::new(64);
        let mine = messages(&pattern, 7, 3);
        let (first, rest) = mine.split_at(64);
        let others = messages(&pattern, 8, 1);
        let heard = |pieces: &[&[u8]]| hear(&mut Expected::default(), 2, pieces, &pattern);
        assert_eq!(heard(&[first, first]), [Ok(()), Err(Mismatch::OutOfOrder)]);
        assert_eq!(heard(&[&rest[..64]]), [Err(Mismatch::OutOfOrder)]);
        assert_eq!(heard(&[&others]), [Err(Mismatch::OtherConnection)]);
        let surplus = heard(&[first, &rest[..64], b"!"]);
        assert_eq!(surplus, [Ok(()), Ok(()), Err(Mismatch::Unasked)]);
    }
}
