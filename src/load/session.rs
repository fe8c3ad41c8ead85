//! The client side of an echo: compares the bytes received with those sent.
//!
//! A session is a number. The state of an active connection is in its [`Lane`]; an idle connection has state only while it
//! is probed ([`ProbeState`]). The session leaves replies in [`EchoClient`] for the load to process.

use crate::connection::Connection;
use crate::echo::{Mismatch, Pattern, Verifier};
use crate::net::{Key, MioNet, Net};
use crate::protocol::{Context, Outbox, Protocol, Session};
use crate::reactor::Slot;
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// A complete reply: correct, or what is wrong with it.
pub(super) type Reply = Result<(), Mismatch>;

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
    verifier: Verifier,
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
        self.verifier = Verifier::from_sequence(self.sent);
    }
}

/// An idle connection that is being probed.
#[derive(Clone, Copy, Debug, Default)]
struct ProbeState {
    verifier: Verifier,
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
        let is_answered = probe.is_none_or(|probe| probe.verifier.missing(probe.sent) == 0);
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
        let (verifier, sent) = if let Some(lane) = shared.lanes.get_mut(self.number as usize) {
            (&mut lane.verifier, lane.sent)
        } else if let Some(probe) = shared.probes.get_mut(&self.number) {
            (&mut probe.verifier, probe.sent)
        } else {
            replies.push(Err(Mismatch::Unasked));
            return input.len();
        };
        let surplus = verifier.receive(pattern, self.number, sent, input, |reply| {
            replies.push(reply.map_err(|wrong| wrong.mismatch));
        });
        if surplus > 0 {
            replies.push(Err(Mismatch::Unasked));
        }
        input.len()
    }
}
