//! Taking connections in: who is let in, and what happens when nobody can be.

use super::throttle::Throttle;
use super::{Refusal, Service, Shortage};
use crate::connection::{Connection, Connections, Owner};
use crate::net::{AcceptError, Ending, Limit, ListenOptions, Net, Source, Time};
use crate::protocol::{Protocol, Session};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long accepting pauses when descriptors are exhausted, unless a connection closes before.
const PAUSE: Duration = Duration::from_millis(250);

/// The listeners, and whether they may be listened to.
pub(super) struct Accepting<N: Net> {
    /// By the index of the source; `None` once closed.
    listeners: Vec<Option<N::Listener>>,
    /// Each listener is closed as soon as its queue is empty.
    is_closing: bool,
    /// Accepting is paused until then; the edge that told of waiting connections is used up.
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

    /// Closes all listeners. The kernel resets the connections that are queued on them.
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
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(listener) = index.and_then(|index| self.listeners.get_mut(index)) {
            *listener = None;
        }
    }

    /// A connection has closed, so a paused listener may try again at once.
    pub(super) fn a_descriptor_is_free(&mut self) {
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

/// What there is to do after one attempt to accept.
enum Accepted {
    /// Try again: there may be more in the queue.
    More,
    /// The queue is empty: wait for an event.
    Empty,
    /// Wait for the end of a pause.
    Paused,
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Takes in what waits on a listener, within the budget.
    pub(super) fn accept(&mut self, reactor: &mut Connections<N, P>, source: Source) {
        if self.accepting.is_closing {
            self.empty_and_close(reactor, source);
            return;
        }
        for taken in 0..self.config.accepts_per_turn {
            if taken > 0 && !self.has_waiting(reactor, source) {
                return;
            }
            match self.accept_one(reactor, source) {
                Accepted::More => {}
                Accepted::Empty | Accepted::Paused => return,
            }
        }
        if reactor.run_source_again(source).is_err() {
            self.accepting.paused_until = Some(reactor.now() + PAUSE);
        }
    }

    /// Accepts what is queued on each listener and closes it, one listener after the other: while the queue of one is
    /// accepted, those of the others fill.
    pub(super) fn close_listeners(&mut self, reactor: &mut Connections<N, P>) {
        self.accepting.is_closing = true;
        for source in self.accepting.sources() {
            self.empty_and_close(reactor, source);
        }
    }

    /// Accepts what is queued on a listener and closes it. If file descriptors run out, it stays open until others are
    /// closed: closing a listener resets its queue.
    fn empty_and_close(&mut self, reactor: &mut Connections<N, P>, source: Source) {
        /// Far above any backlog: connections beyond it have come since.
        const MOST: usize = 1 << 17;
        for _ in 0..MOST {
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
        let accepted = if self.wants_peers() {
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
                if let Some(unsaid) = self.accepting.failed.occur(reactor.now()) {
                    log::warn!(
                        "a connection failed before it was accepted: {error}{}",
                        more(unsaid)
                    );
                }
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

    /// Whether anybody wants to know where connections come from: the limit per source, or a reader of the log.
    fn wants_peers(&self) -> bool {
        P::WANTS_PEER || self.sources.is_some() || log::log_enabled!(log::Level::Debug)
    }

    fn pause_accepting(&mut self, now: Time, error: &io::Error) {
        self.accepting.paused_until = Some(now + PAUSE);
        self.counters.accept_paused += 1;
        if let Some(unsaid) = self.accepting.exhausted.occur(now) {
            let limit = Limit::behind(error).unwrap_or(Limit::Memory);
            log::warn!(
                "accepting pauses until a connection closes or the limit is raised: {error}; \
                 new connections wait{}{}",
                (self.config.advice)(Shortage::Paused(limit)),
                more(unsaid)
            );
        }
    }

    /// Goes on accepting when a pause is over.
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

    /// Decides whether a connection may be, and gives it its place. `peer` is given where it is wanted.
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
        let source = match counted.map(|(sources, peer)| sources.enter(peer.ip())) {
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
                    sources.leave(source);
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
            // It was queued when the drain began, and may have got a slot that the drain has passed already.
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
        let why = || {
            let advice = (self.config.advice)(Shortage::Refused(refusal));
            format!("{}{advice}", refusal.text())
        };
        log::debug!("refused {}: {}", shown(peer), why());
        if let Some(unsaid) = self.accepting.refused.occur(reactor.now()) {
            log::warn!("refused a connection: {}{}", why(), more(unsaid));
        }
    }
}

/// A peer's address as people know it: an IPv4 client of a `[::]` listener is shown as IPv4.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, peer.port()),
        // As it is: a link-local address means nothing without the interface (`%2`) that it carries beside the IP.
        _ => peer,
    }
}

/// A peer in the log, where its address was asked for.
fn shown(peer: Option<SocketAddr>) -> String {
    peer.map(canonical)
        .map_or_else(|| "unknown".into(), |peer| peer.to_string())
}

/// The count of what was left unsaid, for the end of a warning.
fn more(unsaid: u64) -> String {
    match unsaid {
        0 => String::new(),
        count => format!(" ({count} more since the last such line)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_tells_how_many_were_left_unsaid() {
        assert_eq!(more(0), "");
        assert_eq!(more(17), " (17 more since the last such line)");
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_listener_is_shown_as_ipv4() {
        let shown = |text: &str| shown(Some(text.parse().unwrap()));
        assert_eq!(shown("[::ffff:10.1.2.3]:80"), "10.1.2.3:80");
        assert_eq!(shown("[2001:db8::1]:80"), "[2001:db8::1]:80");
        assert_eq!(shown("10.1.2.3:80"), "10.1.2.3:80");
    }

    #[test]
    fn a_link_local_client_is_shown_with_its_interface() {
        let shown = shown(Some("[fe80::1%2]:80".parse().unwrap()));
        assert_eq!(shown, "[fe80::1%2]:80");
    }
}
