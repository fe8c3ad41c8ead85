//! Accepting and admission of connections, and pauses while file descriptors or memory are exhausted.

use super::throttle::Throttle;
use super::{Refusal, Service, Shortage};
use crate::connection::{Connection, Connections, Owner};
use crate::net::{AcceptError, Ending, Limit, ListenOptions, Net, Source, Time};
use crate::protocol::{Protocol, Session};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long accepting pauses when file descriptors are exhausted, unless a connection closes earlier.
const PAUSE: Duration = Duration::from_millis(250);

/// The listeners, and whether accepting is paused.
pub(super) struct Accepting<N: Net> {
    /// By the index of the source; `None` after it was closed.
    listeners: Vec<Option<N::Listener>>,
    /// Each listener is closed when its accept queue is empty.
    is_closing: bool,
    /// The end of a pause of accepting. No further event reports the connections that are queued already.
    pub(super) paused_until: Option<Time>,
    exhausted: Throttle,
    refused: Throttle,
    failed: Throttle,
}

impl<N: Net> Accepting<N> {
    pub(super) fn new() -> Self {
        Accepting {
            listeners: Vec::new(),
            is_closing: false,
            paused_until: None,
            exhausted: Throttle::default(),
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
        self.listeners.push(Some(listener));
        Ok(address)
    }

    /// Closes all listeners. The kernel resets the connections in their accept queues.
    pub(super) fn close_all(&mut self) {
        self.listeners.fill_with(|| None);
        self.paused_until = None;
    }

    /// Whether a listener is open.
    pub(super) fn is_open(&self) -> bool {
        self.listeners.iter().any(Option::is_some)
    }

    fn close(&mut self, source: Source) {
        let index = source.listener_index();
        if let Some(listener) = index.and_then(|index| self.listeners.get_mut(index as usize)) {
            *listener = None;
        }
    }

    /// A connection has closed, so a pause ends in this iteration.
    pub(super) fn on_fd_released(&mut self) {
        if self.paused_until.is_some() {
            self.paused_until = Some(Time::ZERO);
        }
    }

    fn sources(&self) -> impl Iterator<Item = Source> + use<N> {
        (0..).map(Source::listener).take(self.listeners.len())
    }

    fn listener(&self, source: Source) -> Option<&N::Listener> {
        let listener = self.listeners.get(source.listener_index()? as usize)?;
        listener.as_ref()
    }
}

/// How to continue after an attempt to accept.
enum Accepted {
    /// Try again: the accept queue may contain more connections.
    More,
    /// The accept queue is empty: wait for an event.
    Empty,
    /// Wait for the end of the pause.
    Paused,
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Accepts the connections in the queue of a listener, within its budget.
    pub(super) fn accept(&mut self, reactor: &mut Connections<N, P>, source: Source) {
        if self.accepting.is_closing {
            self.accept_rest_and_close(reactor, source);
            return;
        }
        for accepted in 0..self.config.accepts_per_iteration {
            if accepted > 0 && !self.has_waiting(reactor, source) {
                return;
            }
            let Accepted::More = self.accept_one(reactor, source) else {
                return;
            };
        }
        if reactor.run_source_again(source).is_err() {
            self.accepting.paused_until = Some(reactor.now() + PAUSE);
        }
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
        self.accepting.close(source);
    }

    fn has_waiting(&self, reactor: &mut Connections<N, P>, source: Source) -> bool {
        let listener = self.accepting.listener(source);
        listener.is_some_and(|listener| reactor.net.has_waiting(listener))
    }

    fn accept_one(&mut self, reactor: &mut Connections<N, P>, source: Source) -> Accepted {
        let Some(listener) = self.accepting.listener(source) else {
            return Accepted::Empty;
        };
        let accepted = if self.needs_peer_address() {
            let accepted = reactor.net.accept_from(listener);
            accepted.map(|(stream, peer)| (stream, Some(peer)))
        } else {
            reactor.net.accept(listener).map(|stream| (stream, None))
        };
        match accepted {
            Ok((stream, peer)) => {
                self.admit(reactor, stream, peer);
                Accepted::More
            }
            Err(AcceptError::Empty) => Accepted::Empty,
            Err(AcceptError::ThisConnection(error)) => {
                self.counters.accept_failed += 1;
                warn(&mut self.accepting.failed, reactor.now(), || {
                    format!("a connection failed before it was accepted: {error}")
                });
                Accepted::More
            }
            Err(AcceptError::Exhausted(error)) => {
                self.pause_accepting(reactor.now(), &error);
                Accepted::Paused
            }
            Err(AcceptError::Fatal(error)) => {
                self.exit = Some(Err(error));
                Accepted::Paused
            }
        }
    }

    /// Whether the protocol, the limit per source or the log needs the addresses of clients.
    fn needs_peer_address(&self) -> bool {
        P::WANTS_PEER || self.sources.is_some() || log::log_enabled!(log::Level::Debug)
    }

    fn pause_accepting(&mut self, now: Time, error: &io::Error) {
        self.accepting.paused_until = Some(now + PAUSE);
        self.counters.accept_paused += 1;
        warn(&mut self.accepting.exhausted, now, || {
            let limit = Limit::behind(error).unwrap_or(Limit::Memory);
            format!(
                "accepting pauses until a connection closes or the limit is raised: {error}; \
                 new connections wait{}",
                (self.config.advice)(Shortage::Paused(limit))
            )
        });
    }

    /// Resumes accepting at the end of a pause.
    pub(super) fn resume_accepting(&mut self, reactor: &mut Connections<N, P>) {
        let paused_until = self.accepting.paused_until;
        if paused_until.is_none_or(|until| reactor.now() < until) {
            return;
        }
        self.accepting.paused_until = None;
        for source in self.accepting.sources() {
            if reactor.run_source_again(source).is_err() {
                self.accepting.paused_until = Some(reactor.now() + PAUSE);
            }
        }
    }

    /// Admits an accepted connection, or refuses it. `peer` is its address,
    /// [if needed](Self::needs_peer_address).
    fn admit(
        &mut self,
        reactor: &mut Connections<N, P>,
        stream: N::Stream,
        peer: Option<SocketAddr>,
    ) {
        if reactor.len() >= self.config.max_connections {
            self.refuse(reactor, stream, peer, Refusal::MaxConnections);
            return;
        }
        let counted = self.sources.as_mut().zip(peer);
        let source = match counted.map(|(sources, peer)| sources.admit(peer.ip())) {
            None => 0,
            Some(Ok(source)) => source,
            Some(Err(refusal)) => {
                self.refuse(reactor, stream, peer, refusal);
                return;
            }
        };
        let session = self.driver.common.protocol.session();
        let connection = Connection::open(session).tagged(source);
        let key = match reactor.insert(stream, connection, false) {
            Ok(key) => key,
            Err((stream, _)) => {
                if let Some(sources) = &mut self.sources {
                    sources.release(source);
                }
                self.refuse(reactor, stream, peer, Refusal::NoMemory);
                return;
            }
        };
        self.counters.opened += 1;
        log::debug!("#{} open {}", key.serial, shown(peer));
        let peer = peer.filter(|_| P::WANTS_PEER).map(canonical);
        self.driver.common.protocol.opened(key.into(), peer);
        if let Some(reason) = self.driver.open(reactor, key) {
            self.close(reactor, key, reason);
        } else if self.drain.is_some() {
            // It was in the accept queue when the drain began, and may have got a slot that the drain has visited
            // already.
            self.drain_connection(reactor, key);
        }
    }

    fn refuse(
        &mut self,
        reactor: &mut Connections<N, P>,
        stream: N::Stream,
        peer: Option<SocketAddr>,
        refusal: Refusal,
    ) {
        let ending = if P::Session::FIN_IS_RECEIPT {
            Ending::Reset
        } else {
            Ending::Empty
        };
        reactor.net.close(stream, ending);
        self.counters.count_refused(refusal);
        let cause = || {
            let advice = (self.config.advice)(Shortage::Refused(refusal));
            format!("{}{advice}", refusal.text())
        };
        log::debug!("refused {}: {}", shown(peer), cause());
        warn(&mut self.accepting.refused, reactor.now(), || {
            format!("refused a connection: {}", cause())
        });
    }
}

/// The usual form of a peer's address: an IPv4 client of a `[::]` listener has an IPv4 address.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, peer.port()),
        // Unchanged: a link-local address needs its interface (`%2`), which is not a part of the IP address.
        _ => peer,
    }
}

/// The address of a peer for the log.
fn shown(peer: Option<SocketAddr>) -> String {
    peer.map(canonical)
        .map_or_else(|| "unknown".into(), |peer| peer.to_string())
}

/// Logs a warning, unless the throttle suppresses it.
fn warn(throttle: &mut Throttle, now: Time, text: impl FnOnce() -> String) {
    if let Some(suppressed) = throttle.count(now) {
        log::warn!("{}{}", text(), more(suppressed));
    }
}

/// The number of suppressed warnings, for the end of a log line.
fn more(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        count => format!(" ({count} more since the last such line)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_suppressed_warnings_ends_the_line() {
        assert_eq!(more(0), "");
        assert_eq!(more(17), " (17 more since the last such line)");
    }

    #[test]
    fn ipv4_client_of_ipv6_listener_is_shown_as_ipv4() {
        let shown = |text: &str| shown(Some(text.parse().unwrap()));
        assert_eq!(shown("[::ffff:10.1.2.3]:80"), "10.1.2.3:80");
        assert_eq!(shown("[2001:db8::1]:80"), "[2001:db8::1]:80");
        assert_eq!(shown("10.1.2.3:80"), "10.1.2.3:80");
    }

    #[test]
    fn link_local_client_is_shown_with_its_interface() {
        let shown = shown(Some("[fe80::1%2]:80".parse().unwrap()));
        assert_eq!(shown, "[fe80::1%2]:80");
    }
}
