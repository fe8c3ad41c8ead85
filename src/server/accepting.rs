//! Accepting of connections, and pauses while file descriptors or memory are exhausted.

use super::throttle::Throttle;
use super::{Service, Shortage};
use crate::connection::Connections;
use crate::net::{AcceptError, Key, ListenOptions, Net, Note, Source, Time};
use crate::protocol::Protocol;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long accepting pauses when file descriptors are exhausted, unless a connection closes earlier.
const PAUSE: Duration = Duration::from_millis(250);

/// The listeners, and when connections are accepted from them.
pub(super) struct Accepting<N: Net> {
    /// By the index of the source.
    listeners: Vec<Listener<N::Listener>>,
    /// Each listener is closed when its accept queue is empty.
    is_closing: bool,
    /// A listener is paused, for a trace.
    is_paused: bool,
    /// When connections are accepted from the listeners that are ready; `None` if none is.
    pub(super) accepts_at: Option<Time>,
    exhausted: Throttle,
    limited: Throttle,
    pub(super) refused: Throttle,
    failed: Throttle,
}

/// One listener.
struct Listener<L> {
    /// `None` after it was closed.
    socket: Option<L>,
    /// Connections may be in the accept queue, which no further event need report.
    is_ready: bool,
}

impl<N: Net> Accepting<N> {
    pub(super) fn new() -> Self {
        Accepting {
            listeners: Vec::new(),
            is_closing: false,
            is_paused: false,
            accepts_at: None,
            exhausted: Throttle::default(),
            limited: Throttle::default(),
            refused: Throttle::default(),
            failed: Throttle::default(),
        }
    }

    pub(super) fn listen(
        &mut self,
        net: &mut N,
        options: &ListenOptions,
    ) -> io::Result<SocketAddr> {
        let index = u32::try_from(self.listeners.len()).map_err(io::Error::other)?;
        let listener = net.listen(options, Source::listener(index))?;
        let address = net.local_addr(&listener)?;
        self.listeners.push(Listener {
            socket: Some(listener),
            is_ready: false,
        });
        Ok(address)
    }

    /// Adds a listener that another process has opened.
    pub(super) fn restore_listener(
        &mut self,
        net: &mut N,
        mut listener: N::Listener,
    ) -> io::Result<SocketAddr> {
        let index = u32::try_from(self.listeners.len()).map_err(io::Error::other)?;
        let address = net.local_addr(&listener)?;
        net.register_listener(&mut listener, Source::listener(index))?;
        self.listeners.push(Listener {
            socket: Some(listener),
            is_ready: false,
        });
        Ok(address)
    }

    /// The open listeners.
    pub(super) fn open_listeners(&self) -> impl Iterator<Item = &N::Listener> {
        let sockets = self.listeners.iter();
        sockets.filter_map(|listener| listener.socket.as_ref())
    }

    /// When connections are accepted, and the throttles of the warnings.
    pub(super) fn save(&self) -> SavedAccepting {
        let ready = self.listeners.iter();
        SavedAccepting {
            ready: ready.map(|listener| listener.is_ready).collect(),
            accepts_at: self.accepts_at.map(Time::as_nanos),
            throttles: [&self.exhausted, &self.refused, &self.failed].map(Throttle::save),
        }
    }

    /// Continues as another process; to be called after its listeners were added. False if their number differs.
    pub(super) fn restore(&mut self, saved: &SavedAccepting) -> bool {
        for (listener, is_ready) in self.listeners.iter_mut().zip(&saved.ready) {
            listener.is_ready = *is_ready;
        }
        self.accepts_at = saved.accepts_at.map(Time::from_nanos);
        [self.exhausted, self.refused, self.failed] = saved.throttles.map(Throttle::restore);
        saved.ready.len() == self.listeners.len()
    }

    /// Closes all listeners. The kernel resets the connections in their accept queues.
    pub(super) fn close_all(&mut self) {
        self.listeners.clear();
        self.accepts_at = None;
    }

    /// Removes all listeners without closing them.
    pub(super) fn take_all(&mut self) -> Vec<N::Listener> {
        self.accepts_at = None;
        let listeners = self.listeners.iter_mut();
        listeners
            .filter_map(|listener| listener.socket.take())
            .collect()
    }

    /// Whether a listener is open.
    pub(super) fn is_open(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.socket.is_some())
    }

    /// Accepts from a listener in the first iteration from `time` on: connections may be in its queue.
    pub(super) fn schedule(&mut self, source: Source, time: Time) {
        if let Some(listener) = self.listener(source) {
            listener.is_ready = true;
            self.accepts_at = Some(time);
        }
    }

    /// A connection has closed, so a pause ends in this iteration.
    pub(super) fn on_fd_released(&mut self) {
        if self.accepts_at.is_some() {
            self.accepts_at = Some(Time::ZERO);
        }
    }

    fn sources(&self) -> impl Iterator<Item = Source> + use<N> {
        (0..).map(Source::listener).take(self.listeners.len())
    }

    fn socket(&self, source: Source) -> Option<&N::Listener> {
        let listener = self.listeners.get(source.listener_index()? as usize)?;
        listener.socket.as_ref()
    }

    fn listener(&mut self, source: Source) -> Option<&mut Listener<N::Listener>> {
        self.listeners.get_mut(source.listener_index()? as usize)
    }
}

/// The state of accepting beside the listeners; times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedAccepting {
    /// For each listener: connections may be in its queue.
    pub ready: Vec<bool>,
    /// When connections are accepted from the listeners that are ready.
    pub accepts_at: Option<u64>,
    /// For the warnings about exhausted descriptors, refused and failed connections: when the last was logged, and how
    /// many were suppressed since.
    pub throttles: [(Option<u64>, u64); 3],
}

/// How to continue after an attempt to accept.
enum Accepted {
    /// Try again: the accept queue may contain more connections.
    More,
    /// The accept queue is empty: wait for an event.
    Empty,
    /// The listener is [scheduled](Accepting::schedule) for the end of a pause.
    Paused,
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Accepts from the listeners that are ready.
    #[inline(never)]
    pub(super) fn accept_due(&mut self, reactor: &mut Connections<N, P>) {
        self.accepting.accepts_at = None;
        if std::mem::take(&mut self.accepting.is_paused) {
            let key = Key::of_source(Source::listener(0));
            reactor.net.note(key, Note::AcceptResumed);
        }
        for source in self.accepting.sources() {
            let listener = self.accepting.listener(source);
            if listener.is_some_and(|listener| std::mem::take(&mut listener.is_ready)) {
                self.accept(reactor, source);
            }
        }
    }

    /// Accepts the connections in the queue of a listener, within its budget.
    fn accept(&mut self, reactor: &mut Connections<N, P>, source: Source) {
        if self.accepting.is_closing {
            self.accept_rest_and_close(reactor, source);
            return;
        }
        for accepted in 0..self.config.accepts_per_iteration {
            let socket = self.accepting.socket(source);
            if accepted > 0 && !socket.is_some_and(|socket| reactor.net.has_waiting(socket)) {
                return;
            }
            if self.is_above_rate(source, reactor.now()) {
                return;
            }
            let Accepted::More = self.accept_one(reactor, source) else {
                return;
            };
        }
        self.accepting.schedule(source, Time::ZERO);
    }

    /// Empties the accept queue of each listener and closes it, one listener after the other: the queues of the others
    /// fill meanwhile.
    pub(super) fn close_listeners(&mut self, reactor: &mut Connections<N, P>) {
        self.accepting.is_closing = true;
        for source in self.accepting.sources() {
            self.accept_rest_and_close(reactor, source);
        }
    }

    /// Empties the accept queue of a listener and closes it. If file descriptors run out, it stays open until others
    /// are closed: closing a listener resets the connections in its queue.
    fn accept_rest_and_close(&mut self, reactor: &mut Connections<N, P>, source: Source) {
        /// Far above any backlog: further connections have arrived since.
        const LIMIT: usize = 1 << 17;
        for _ in 0..LIMIT {
            match self.accept_one(reactor, source) {
                Accepted::More => {}
                Accepted::Empty => break,
                Accepted::Paused => return,
            }
        }
        if let Some(listener) = self.accepting.listener(source) {
            listener.socket = None;
        }
    }

    fn accept_one(&mut self, reactor: &mut Connections<N, P>, source: Source) -> Accepted {
        let needs_peer_address = self.needs_peer_address();
        let Some(listener) = self.accepting.socket(source) else {
            return Accepted::Empty;
        };
        let accepted = if needs_peer_address {
            let accepted = reactor.net.accept_from(listener);
            accepted.map(|(stream, peer)| (stream, Some(peer)))
        } else {
            reactor.net.accept(listener).map(|stream| (stream, None))
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(rate) = &mut self.accept_rate {
                    rate.count(reactor.now());
                }
                self.admit(reactor, stream, peer);
                Accepted::More
            }
            Err(AcceptError::Empty) => Accepted::Empty,
            Err(AcceptError::ThisConnection(error)) => {
                self.counters.accept_failed += 1;
                self.accepting.failed.warn(reactor.now(), &|| {
                    format!("a connection failed before it was accepted: {error}")
                });
                Accepted::More
            }
            Err(AcceptError::Exhausted(error)) => {
                self.pause_accepting(source, reactor.now(), &error);
                self.accepting.is_paused = true;
                reactor.net.note(Key::of_source(source), Note::AcceptPaused);
                Accepted::Paused
            }
            Err(AcceptError::Fatal(error)) => {
                self.exit = Some(Err(error));
                Accepted::Paused
            }
        }
    }

    /// Pauses accepting from a listener if as many connections were accepted as the rate allows.
    fn is_above_rate(&mut self, source: Source, now: Time) -> bool {
        let rate = self.accept_rate.as_mut();
        let Some((next, is_first)) = rate.and_then(|rate| rate.wait_until(now)) else {
            return false;
        };
        self.accepting.schedule(source, next);
        if is_first {
            self.counters.accept_limited += 1;
            self.accepting.limited.warn(now, &|| {
                let advice = (self.config.advice)(Shortage::Rate);
                format!("limit of connections per second reached; new connections wait{advice}")
            });
        }
        true
    }

    fn pause_accepting(&mut self, source: Source, now: Time, error: &io::Error) {
        self.accepting.schedule(source, now + PAUSE);
        self.counters.accept_paused += 1;
        self.accepting.exhausted.warn(now, &|| {
            format!(
                "accepting pauses until a connection closes or the limit is raised: {error}; \
                 new connections wait{}",
                (self.config.advice)(Shortage::Paused(error))
            )
        });
    }
}
