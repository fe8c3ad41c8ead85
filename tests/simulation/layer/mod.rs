//! A stand-in for TLS: a protocol that contains another one, with the same shape.
//!
//! A handshake of several steps, of which some cost a budget that each iteration of the event loop refills. Then records
//! with a checksum; of an incomplete one, the session holds the bytes. A farewell ends the output of each side; FIN
//! without it is an error. `run` checks a server of this layer with any protocol inside, and its simulated clients.

mod checks;
mod clients;
mod peer;
mod plan;
mod record;
mod run;
mod session;

pub use run::{LayerReport, run};
pub use session::LayerSession;

use echoloop::protocol::{ConnectionId, Message, Protocol, Proxies};
use echoloop::time::Time;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// The parameters that all sessions of a run share.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The records that each side sends in the handshake, and their length.
    pub steps: usize,
    pub step_length: usize,
    /// The steps that cost the server budget, as bits.
    pub costly: u32,
    /// The costly steps of an iteration.
    pub budget: usize,
    /// The most handshakes in progress.
    pub max_handshakes: usize,
    /// The most records that a call processes.
    pub records_per_call: usize,
    /// The most output of one call of the inner session, and the largest payload of a record.
    pub chunk: usize,
    /// The rounds of messages from outside, and their interval.
    pub notices: u32,
    pub notice_interval: Duration,
    /// The server's connections come from proxies: before the handshake, a session reports its client.
    pub has_proxies: bool,
}

/// What the sessions of a server do, for the checks.
#[derive(Debug, Default)]
pub struct Observed {
    /// The handshakes in progress, and when they began.
    pub handshakes: BTreeMap<ConnectionId, Time>,
    /// The sessions that are to be called again.
    pub deferred: BTreeSet<ConnectionId>,
    /// The bytes that sessions hold.
    pub held: BTreeMap<ConnectionId, usize>,
    /// The sessions that have sent their last output in this iteration.
    pub farewells: Vec<ConnectionId>,
    /// Costly steps in this iteration.
    pub steps: usize,
    /// Handshakes that have completed, steps that waited for another iteration, and FINs without a farewell.
    pub completed: u64,
    pub waits: u64,
    pub truncated: u64,
    /// Clients that were admitted.
    pub admitted: u64,
}

/// The protocol of the layer around `inner`.
#[derive(Debug)]
pub struct Layer<P> {
    pub inner: P,
    pub role: Role,
    pub settings: Settings,
    pub observed: Observed,
    steps_left: usize,
    /// The connections with the number of the next notice to each.
    open: BTreeMap<ConnectionId, u32>,
    notices: VecDeque<Message>,
    rounds: u32,
    notice_at: Option<Time>,
    proxies: Option<Proxies>,
}

impl<P> Layer<P> {
    pub fn new(inner: P, role: Role, settings: Settings) -> Layer<P> {
        let notice_at = (settings.notices > 0).then(|| Time::ZERO + settings.notice_interval);
        Layer {
            inner,
            role,
            settings,
            observed: Observed::default(),
            steps_left: 0,
            open: BTreeMap::new(),
            notices: VecDeque::new(),
            rounds: 0,
            notice_at,
            proxies: (settings.has_proxies && role == Role::Server).then(|| Proxies::new(|_| true)),
        }
    }

    /// Takes a step out of the budget of this iteration; false if it is used up.
    fn take_step(&mut self) -> bool {
        let Some(left) = self.steps_left.checked_sub(1) else {
            self.observed.waits += 1;
            return false;
        };
        self.steps_left = left;
        self.observed.steps += 1;
        true
    }
}

impl<P: Protocol> Protocol for Layer<P> {
    type Session = LayerSession<P::Session>;

    fn name(&self) -> &'static str {
        "layer"
    }

    fn session(&mut self) -> Self::Session {
        LayerSession::new(self.inner.session(), self.role, self.settings)
    }

    fn admits(&self) -> bool {
        self.observed.handshakes.len() < self.settings.max_handshakes
    }

    fn begin_iteration(&mut self) {
        self.steps_left = self.settings.budget;
    }

    fn proxies(&mut self) -> Option<&mut Proxies> {
        self.proxies.as_mut()
    }

    fn opened(&mut self, id: ConnectionId, _: Option<std::net::SocketAddr>) {
        let before = self.open.insert(id, 0);
        assert_eq!(before, None, "{id} was opened twice");
        self.observed.admitted += u64::from(self.proxies.is_some());
    }

    fn closed(&mut self, id: ConnectionId) {
        let opened = self.open.remove(&id);
        assert!(opened.is_some(), "{id} was not opened");
        self.observed.handshakes.remove(&id);
        self.observed.deferred.remove(&id);
        self.observed.held.remove(&id);
    }

    fn next_message(&mut self) -> Option<Message> {
        self.notices.pop_front()
    }

    fn wake_at(&self) -> Option<Time> {
        self.notice_at
    }

    fn on_wake(&mut self, now: Time) {
        for (id, number) in &mut self.open {
            self.notices
                .push_back(Message::new(*id, number.to_be_bytes()));
            *number += 1;
        }
        self.rounds += 1;
        let has_more = self.rounds < self.settings.notices;
        self.notice_at = has_more.then(|| now + self.settings.notice_interval);
    }
}
