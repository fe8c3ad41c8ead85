//! The client's side of an echo: what comes is compared with what was sent, and nothing is said by itself.
//!
//! A session is a number. What an active connection is at stands in its [`Lane`]; an idle one has nothing but while it
//! is asked for an echo ([`Exchange`]). What was heard is left with [`Echoes`] for the load to see to.

use crate::connection::Connection;
use crate::echo::{Mismatch, Pattern, Verifier};
use crate::net::{Key, MioNet, Net};
use crate::protocol::{Context, Outbox, Protocol, Session};
use crate::reactor::Slot;
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A reply that has come in whole.
pub(super) type Verdict = Result<(), Mismatch>;

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
    verifier: Verifier,
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
        self.verifier = Verifier::from_sequence(self.sent);
    }
}

/// An idle connection that is asked for an echo.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exchange {
    verifier: Verifier,
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
        let done = exchange.is_none_or(|asked| asked.verifier.missing(asked.sent) == 0);
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
        let (verifier, sent) = if let Some(lane) = shared.lanes.get_mut(self.number as usize) {
            (&mut lane.verifier, lane.sent)
        } else if let Some(exchange) = shared.exchanges.get_mut(&self.number) {
            (&mut exchange.verifier, exchange.sent)
        } else {
            verdicts.push(Err(Mismatch::Unasked));
            return input.len();
        };
        let surplus = verifier.receive(pattern, self.number, sent, input, |reply| {
            verdicts.push(reply.map_err(|wrong| wrong.mismatch));
        });
        if surplus > 0 {
            verdicts.push(Err(Mismatch::Unasked));
        }
        input.len()
    }
}
