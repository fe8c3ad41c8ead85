//! A protocol over TLS: what its sessions share.

use super::{
    ClientSettings, Codec, HandshakeStats, MaybeTls, ServerSettings, TlsError, TlsSession,
};
use crate::protocol::{ConnectionId, Message, Protocol};
use crate::time::Time;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What the sessions of one side share.
#[derive(Debug)]
pub enum Settings {
    /// Of a server; new sessions use them, so they can be replaced.
    Server(ServerSettings),
    /// Of a client.
    Client(ClientSettings),
}

/// A protocol over TLS.
#[derive(Debug)]
pub struct Tls<P> {
    pub(super) inner: P,
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) handshakes: Handshakes,
    pub(super) buffers: Buffers,
    /// The last session that failed, until its connection closes.
    pub(super) failed: Option<(ConnectionId, TlsError)>,
    pub(super) completed: Vec<Completed>,
    pub(super) reports_completed: bool,
    pub(super) statistics: HandshakeStats,
}

/// The budget of handshakes, and their limit.
#[derive(Debug)]
pub(super) struct Handshakes {
    /// Sessions whose handshake is in progress.
    pub(super) in_progress: Rc<Cell<usize>>,
    pub(super) max: usize,
    /// Costly steps that are left in this iteration, and those of each iteration.
    pub(super) steps: u32,
    pub(super) steps_per_iteration: u32,
}

/// Buffers that all sessions use in turn.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) scratch: Vec<u8>,
    pub(super) plaintext: Vec<u8>,
    pub(super) inner: Vec<u8>,
}

/// A handshake that has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The connection.
    pub id: ConnectionId,
    /// The time since the connection was established.
    pub took: Duration,
    /// Whether the session was resumed.
    pub is_resumed: bool,
}

/// Costly steps of handshakes in one iteration: a handshake with ECDSA P-256 takes about 0.1 ms of CPU time, one with
/// RSA-2048 about six times that.
const STEPS: u32 = 8;
const STEPS_WITH_RSA: u32 = 1;

impl<P: Protocol> Tls<P> {
    /// The protocol `inner` over TLS. A server admits connections while fewer than `max_handshakes` handshakes are in
    /// progress.
    #[must_use]
    pub fn new(inner: P, settings: Settings, max_handshakes: usize) -> Tls<P> {
        Tls {
            name: format!("{} over TLS", inner.name()),
            handshakes: Handshakes {
                in_progress: Rc::default(),
                max: max_handshakes,
                steps: 0,
                steps_per_iteration: settings.steps(),
            },
            inner,
            settings,
            buffers: Buffers::default(),
            failed: None,
            completed: Vec::new(),
            reports_completed: false,
            statistics: HandshakeStats::default(),
        }
    }

    /// The protocol inside.
    pub fn inner(&mut self) -> &mut P {
        &mut self.inner
    }

    /// The handshakes since the start.
    #[must_use]
    pub fn handshakes(&self) -> &HandshakeStats {
        &self.statistics
    }

    /// Uses other settings for new sessions.
    pub fn replace_settings(&mut self, settings: Settings) {
        self.handshakes.steps_per_iteration = settings.steps();
        self.settings = settings;
    }

    /// From now on, keeps completed handshakes for [`take_completed`](Tls::take_completed).
    pub fn report_completed(&mut self) {
        self.reports_completed = true;
    }

    /// The handshakes that have completed since the last call.
    pub fn take_completed(&mut self) -> impl Iterator<Item = Completed> {
        self.completed.drain(..)
    }

    /// Why the session of a connection has failed, if it was the last that failed.
    #[must_use]
    pub fn failure(&self, id: ConnectionId) -> Option<&TlsError> {
        let failed = self.failed.as_ref();
        failed.and_then(|(of, error)| (*of == id).then_some(error))
    }
}

impl<P: Protocol> MaybeTls<P> for Tls<P> {
    fn has_handshake(&self) -> bool {
        true
    }

    fn plain(&self) -> &P {
        &self.inner
    }

    fn plain_mut(&mut self) -> &mut P {
        &mut self.inner
    }

    fn take_handshake(&mut self) -> Option<Completed> {
        self.completed.drain(..).next_back()
    }

    fn tls_failure(&self, id: ConnectionId) -> Option<&TlsError> {
        self.failure(id)
    }
}

impl Settings {
    fn steps(&self) -> u32 {
        match self {
            Settings::Server(server) if server.is_rsa() => STEPS_WITH_RSA,
            Settings::Server(_) => STEPS,
            // A client has begun each of its handshakes itself.
            Settings::Client(_) => u32::MAX,
        }
    }

    pub(super) fn codec(&self, output: &mut Vec<u8>) -> Result<Codec, TlsError> {
        match self {
            Settings::Server(server) => Codec::accept(server),
            Settings::Client(client) => Codec::connect(client, output),
        }
    }
}

impl<P: Protocol> Protocol for Tls<P> {
    type Session = TlsSession<P::Session>;
    const WANTS_PEER: bool = P::WANTS_PEER;

    fn name(&self) -> &str {
        &self.name
    }

    fn admits(&self) -> bool {
        self.handshakes.in_progress.get() < self.handshakes.max
    }

    fn begin_iteration(&mut self) {
        self.handshakes.steps = self.handshakes.steps_per_iteration;
        self.inner.begin_iteration();
    }

    fn is_transferable(&self) -> bool {
        false
    }

    fn session(&mut self) -> TlsSession<P::Session> {
        let handshake = InProgress::begin(&self.handshakes.in_progress);
        TlsSession::new(self.inner.session(), handshake)
    }

    fn messages_received(&self) -> Option<u64> {
        self.inner.messages_received()
    }

    fn opened(&mut self, id: ConnectionId, peer: Option<SocketAddr>) {
        self.inner.opened(id, peer);
    }

    fn closed(&mut self, id: ConnectionId) {
        self.failed.take_if(|(of, _)| *of == id);
        self.inner.closed(id);
    }

    fn next_message(&mut self) -> Option<Message> {
        self.inner.next_message()
    }

    fn wake_at(&self) -> Option<Time> {
        self.inner.wake_at()
    }

    fn on_wake(&mut self, now: Time) {
        self.inner.on_wake(now);
    }
}

/// A handshake in progress, counted while this value exists.
#[derive(Debug)]
pub(super) struct InProgress(Rc<Cell<usize>>);

impl InProgress {
    fn begin(count: &Rc<Cell<usize>>) -> InProgress {
        count.set(count.get() + 1);
        InProgress(Rc::clone(count))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
