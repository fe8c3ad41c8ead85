//! A protocol whose connections come from proxies: a session around a session, which waits for the header.

use super::header::parse;
use crate::protocol::{ConnectionId, Context, Finish, Message, Outbox, Protocol, Proxies, Session};
use crate::time::Time;
use std::net::SocketAddr;

/// A protocol after a header of the PROXY protocol, if its connections come from proxies.
#[derive(Debug)]
pub struct Proxied<P> {
    inner: P,
    /// `None` if they come from clients.
    proxies: Option<Proxies>,
    name: String,
}

impl<P: Protocol> Proxied<P> {
    /// The protocol `inner` on connections from `proxies`; without any, it is unchanged.
    #[must_use]
    pub fn new(inner: P, proxies: Option<Proxies>) -> Proxied<P> {
        let name = match proxies {
            Some(_) => format!("{} after a PROXY header", inner.name()),
            None => inner.name().to_owned(),
        };
        Proxied {
            inner,
            proxies,
            name,
        }
    }

    /// The protocol inside.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    /// The protocol inside, to change it.
    pub fn inner_mut(&mut self) -> &mut P {
        &mut self.inner
    }
}

impl<P: Protocol> Protocol for Proxied<P> {
    type Session = ProxiedSession<P::Session>;
    const WANTS_PEER: bool = P::WANTS_PEER;
    const IS_LOGGED: bool = P::IS_LOGGED;

    fn name(&self) -> &str {
        &self.name
    }

    fn session(&mut self) -> ProxiedSession<P::Session> {
        ProxiedSession {
            inner: self.inner.session(),
            awaits_header: self.proxies.is_some(),
        }
    }

    fn restored_session(&mut self, is_handshaking: bool) -> ProxiedSession<P::Session> {
        let awaits_header = self.proxies.is_some() && is_handshaking;
        ProxiedSession {
            inner: self
                .inner
                .restored_session(is_handshaking && !awaits_header),
            awaits_header,
        }
    }

    fn is_transferable(&self) -> bool {
        self.inner.is_transferable()
    }

    fn proxies(&mut self) -> Option<&mut Proxies> {
        self.proxies.as_mut()
    }

    fn admits(&self) -> bool {
        self.inner.admits()
    }

    fn messages_received(&self) -> Option<u64> {
        self.inner.messages_received()
    }

    fn begin_iteration(&mut self) {
        self.inner.begin_iteration();
    }

    fn opened(&mut self, id: ConnectionId, peer: Option<SocketAddr>) {
        self.inner.opened(id, peer);
    }

    fn closed(&mut self, id: ConnectionId) {
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

/// A session after a header of the PROXY protocol.
///
/// It has no bytes: the connection keeps an incomplete header as unconsumed input, and a complete one until its client is
/// admitted. So an upgrade passes them on.
#[derive(Debug)]
pub struct ProxiedSession<S> {
    inner: S,
    awaits_header: bool,
}

impl<S: Session> ProxiedSession<S> {
    /// Ends the wait for the header if it is complete and its client is admitted. Returns its length then.
    fn pass_header(
        &mut self,
        input: &[u8],
        context: Context<'_, Proxied<S::Shared>>,
        outbox: &mut Outbox<'_>,
    ) -> Option<usize> {
        let id = context.id;
        let header = match parse(input) {
            Ok(Some(header)) => header,
            Ok(None) => return None,
            Err(error) => {
                log::debug!("{id} PROXY header: {error}");
                outbox.finish(Finish::Malformed);
                return None;
            }
        };
        if !context.is_admitted() {
            outbox.defer();
            if let Some(proxies) = &mut context.shared.proxies {
                proxies.report(id, header.client);
            }
            return None;
        }
        self.awaits_header = false;
        self.inner.open(inner_context(context), outbox);
        Some(header.length)
    }
}

/// The context of a call of the inner session.
fn inner_context<P>(context: Context<'_, Proxied<P>>) -> Context<'_, P> {
    let Context {
        id,
        now,
        shared,
        tag,
    } = context;
    Context::new(id, now, &mut shared.inner).tagged(tag)
}

impl<S: Session> Session for ProxiedSession<S> {
    type Shared = Proxied<S::Shared>;
    const FIN_IS_RECEIPT: bool = S::FIN_IS_RECEIPT;
    const HOLDS_BYTES: bool = true;

    fn open(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        if !self.awaits_header {
            self.inner.open(inner_context(context), outbox);
        }
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        if !self.awaits_header {
            return self.inner.receive(input, inner_context(context), outbox);
        }
        let Context {
            id,
            now,
            shared,
            tag,
        } = context;
        let before = Context::new(id, now, &mut *shared).tagged(tag);
        let Some(header) = self.pass_header(input, before, outbox) else {
            return 0;
        };
        let rest = &input[header..];
        if rest.is_empty() || outbox.finished().is_some() || outbox.is_full() {
            return header;
        }
        let context = Context::new(id, now, &mut shared.inner).tagged(tag);
        header + self.inner.receive(rest, context, outbox)
    }

    fn drained(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        if !self.awaits_header {
            self.inner.drained(inner_context(context), outbox);
        }
    }

    fn end<'a>(
        &mut self,
        rest: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) {
        if !self.awaits_header {
            self.inner.end(rest, inner_context(context), outbox);
        } else if rest.is_empty() {
            // A port that is checked, not a client.
            outbox.finish(Finish::PeerClosed);
        } else {
            log::debug!("{} PROXY header: cut short", context.id);
            outbox.finish(Finish::Malformed);
        }
    }

    fn write(
        &mut self,
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'_>,
        write: impl FnOnce(&mut Outbox<'_>),
    ) {
        if !self.awaits_header {
            self.inner.write(inner_context(context), outbox, write);
        }
    }

    fn before_fin(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        if !self.awaits_header {
            self.inner.before_fin(inner_context(context), outbox);
        }
    }

    fn held_bytes(&self) -> usize {
        self.inner.held_bytes()
    }

    fn is_handshaking(&self) -> bool {
        self.awaits_header || self.inner.is_handshaking()
    }

    fn take_record(&mut self) -> Option<Vec<u8>> {
        self.inner.take_record()
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
