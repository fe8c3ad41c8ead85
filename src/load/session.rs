//! The client side of an echo: compares the bytes received with those sent.
//!
//! A session has no state: the tag of a connection is its number. The state of an active connection is in its [`Lane`]; an
//! idle connection has state only while it is probed ([`ProbeState`]). The session leaves replies in [`EchoClient`] for the
//! load to process.

use super::Config;
use super::conversation::Conversations;
use super::script::{Part, Progress};
use crate::connection::Connections;
use crate::echo::{Mismatch, Pattern, Verifier};
use crate::net::{Key, MioNet};
use crate::protocol::{Context, Outbox, Protocol, Session};
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// A complete reply: correct, or what is wrong with it.
pub(super) type Reply = Result<(), Mismatch>;

/// A message in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) due: Time,
    pub(super) sent: Time,
}

/// Why no message may be sent on an active connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hold {
    /// Messages may be sent.
    #[default]
    Nothing,
    /// The hello is not complete.
    Greeting,
    /// The server closes the connection, as it has announced.
    Closing,
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
    /// Messages of the schedule that were sent: the number of the next one.
    pub(super) taken: u64,
    /// When the lane was last able to send: a message that was due before waited for the server, not for the load tester.
    pub(super) free_since: Time,
    /// It has replied after the end of the measured part.
    pub(super) is_draining: bool,
    /// Messages that were due and not sent at the end of the measured part.
    pub(super) queued_at_end: u64,
    /// Messages sent: the number of the next one.
    sent: u64,
    /// Messages without a reply, in the order of sending.
    pub(super) in_flight: VecDeque<InFlight>,
    verifier: Verifier,
    /// With a script, messages of a closed connection that are to be sent again.
    pub(super) resend: VecDeque<InFlight>,
    /// With a script, messages that have a reply.
    replied: u64,
    /// With a script, what is known about the next reply, and how much of it has arrived.
    pub(super) progress: Progress,
    pub(super) partial: usize,
    /// With a script, why no message may be sent.
    pub(super) hold: Hold,
    /// The server has closed the connection as announced, and the next one is not established.
    pub(super) must_reconnect: bool,
    /// The connection is not the first of the lane.
    pub(super) is_reconnection: bool,
}

impl Lane {
    /// Messages sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages that were sent and have no reply.
    pub(super) fn unanswered(&self) -> u64 {
        (self.in_flight.len() + self.resend.len()) as u64
    }

    /// Whether it has a connection, or gets the next one without churn.
    pub(super) fn can_connect(&self) -> bool {
        self.key.is_some() || self.must_reconnect
    }

    /// The number of the message whose reply comes next; none if all have theirs.
    pub(super) fn next_reply(&self) -> Option<u64> {
        (self.replied < self.sent).then_some(self.replied)
    }

    /// A reply to a message of a script is complete.
    pub(super) fn on_reply(&mut self) {
        self.replied += 1;
        self.progress = Progress::default();
        self.partial = 0;
    }

    /// Whether no message may be sent on the connection.
    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        self.hold != Hold::Nothing
    }

    /// The messages in flight are to be sent again, before others.
    pub(super) fn keep_for_resending(&mut self) {
        self.in_flight.append(&mut self.resend);
        std::mem::swap(&mut self.in_flight, &mut self.resend);
    }

    /// Adds a message to those in flight and returns its number.
    #[inline]
    pub(super) fn send(&mut self, message: InFlight) -> u64 {
        self.in_flight.push_back(message);
        let sequence = self.sent;
        self.sent += 1;
        sequence
    }

    /// Whether a message of this lane was answered.
    pub(super) fn has_replied(&self) -> bool {
        self.sent > self.in_flight.len() as u64
    }

    /// The connection is closed: its messages in flight stay unanswered.
    pub(super) fn reset_connection(&mut self) {
        self.in_flight.clear();
        self.key = None;
        self.connecting_since = None;
        self.verifier = Verifier::from_sequence(self.sent);
        self.replied = self.sent;
        self.progress = Progress::default();
        self.partial = 0;
        self.hold = Hold::Nothing;
    }
}

/// An idle connection that is being probed.
#[derive(Clone, Copy, Debug, Default)]
struct ProbeState {
    verifier: Verifier,
    sent: u64,
}

// The memory of an idle connection: it has nothing beside its slot.
const _: () = assert!(Connections::<MioNet, EchoClient>::SLOT_SIZE <= 56);

/// The protocol of a load: the state of its connections, and the replies received.
#[derive(Debug)]
pub struct EchoClient {
    pattern: Rc<Pattern>,
    /// Active connections by number.
    pub(super) lanes: Vec<Lane>,
    /// Idle connections being probed, by number.
    probes: HashMap<u32, ProbeState>,
    /// Added to the number of a connection in its messages.
    pub(super) first_number: u32,
    /// What connections send and expect, if a script determines it.
    pub(super) conversations: Option<Box<Conversations>>,
    /// The connection that was established by the current event, if any.
    pub(super) established: Option<u32>,
    /// The connection that has sent `replies`.
    pub(super) replying_connection: u32,
    /// Replies that are not yet processed.
    pub(super) replies: Vec<Reply>,
}

impl EchoClient {
    pub(super) fn new(pattern: Rc<Pattern>, config: &Config) -> EchoClient {
        let lane = |_| Lane {
            in_flight: VecDeque::with_capacity(config.pipeline.min(1024)),
            ..Lane::default()
        };
        let conversations = config
            .script
            .as_ref()
            .map(|script| Box::new(Conversations::new(Arc::clone(script), config)));
        EchoClient {
            pattern,
            lanes: (0..config.active).map(lane).collect(),
            probes: HashMap::new(),
            first_number: config.first_number,
            conversations,
            established: None,
            replying_connection: 0,
            replies: Vec::new(),
        }
    }

    /// Whether there is something to process beside replies.
    #[inline]
    pub(super) fn has_notices(&self) -> bool {
        let conversations = self.conversations.as_ref();
        conversations.is_some_and(|conversations| !conversations.notices.is_empty())
    }

    /// Expects a probe's echo on an idle connection; returns the number of the message to send.
    pub(super) fn begin_probe(&mut self, connection: u32) -> u64 {
        if let Some(conversations) = &mut self.conversations {
            return conversations.begin_idle(connection, Part::Message);
        }
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
        match &mut self.conversations {
            Some(conversations) => conversations.end_idle(connection),
            None => drop(self.probes.remove(&connection)),
        }
    }
}

/// One connection, whose tag is its number.
#[derive(Clone, Copy, Debug)]
pub struct EchoSession;

impl Protocol for EchoClient {
    type Session = EchoSession;

    fn name(&self) -> &'static str {
        "load"
    }

    fn session(&mut self) -> EchoSession {
        EchoSession
    }
}

impl Session for EchoSession {
    type Shared = EchoClient;

    fn open(&mut self, context: Context<'_, EchoClient>, outbox: &mut Outbox<'_>) {
        let Context { shared, tag, .. } = context;
        shared.established = Some(tag);
        if let Some(conversations) = &mut shared.conversations {
            conversations.greet(tag, outbox);
        }
    }

    #[inline]
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, EchoClient>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        let Context { shared, tag, .. } = context;
        shared.replying_connection = tag;
        if let Some(conversations) = &mut shared.conversations {
            let lane = shared.lanes.get_mut(tag as usize);
            let replies = &mut shared.replies;
            return conversations.receive(tag, lane, replies, input, outbox);
        }
        let (pattern, replies) = (&*shared.pattern, &mut shared.replies);
        let connection = shared.first_number + tag;
        let (verifier, sent) = if let Some(lane) = shared.lanes.get_mut(tag as usize) {
            (&mut lane.verifier, lane.sent)
        } else if let Some(probe) = shared.probes.get_mut(&tag) {
            (&mut probe.verifier, probe.sent)
        } else {
            replies.push(Err(Mismatch::Unasked));
            return input.len();
        };
        let surplus = verifier.receive(pattern, connection, sent, input, |reply| {
            replies.push(reply.map_err(|wrong| wrong.mismatch));
        });
        if surplus > 0 {
            replies.push(Err(Mismatch::Unasked));
        }
        input.len()
    }

    fn end<'a>(
        &mut self,
        rest: &'a [u8],
        context: Context<'_, EchoClient>,
        outbox: &mut Outbox<'a>,
    ) {
        let Context { shared, tag, .. } = context;
        if let Some(conversations) = &mut shared.conversations {
            shared.replying_connection = tag;
            let lane = shared.lanes.get_mut(tag as usize);
            conversations.end(tag, lane, &mut shared.replies, rest, outbox);
        }
    }
}
