//! A protocol with or without TLS, chosen at run time: the program holds the code of the event loop once instead of twice,
//! where it does not matter how fast it is without TLS.

use super::{ClientSettings, Completed, MaybeTls, Settings, Tls, TlsError, TlsSession};
use crate::protocol::{ConnectionId, Context, Message, Outbox, Protocol, Session};
use crate::time::Time;
use std::net::SocketAddr;

/// A protocol, or that protocol over TLS.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a server has one")]
pub enum Transport<P> {
    /// Without TLS.
    Plain(P),
    /// Over TLS.
    Tls(Tls<P>),
}

/// The session of [`Transport`], of the same kind.
#[derive(Debug)]
pub enum TransportSession<S> {
    /// Without TLS.
    Plain(S),
    /// Over TLS.
    Tls(TlsSession<S>),
}

/// Evaluates an expression for the protocol or session of either kind.
macro_rules! either {
    ($type:ident, $value:expr, $inner:ident => $result:expr) => {
        match $value {
            $type::Plain($inner) => $result,
            $type::Tls($inner) => $result,
        }
    };
}

impl<P: Protocol> Protocol for Transport<P> {
    type Session = TransportSession<P::Session>;
    const WANTS_PEER: bool = P::WANTS_PEER;
    const IS_LOGGED: bool = P::IS_LOGGED;

    fn name(&self) -> &str {
        either!(Transport, self, protocol => protocol.name())
    }

    fn session(&mut self) -> TransportSession<P::Session> {
        match self {
            Transport::Plain(plain) => TransportSession::Plain(plain.session()),
            Transport::Tls(tls) => TransportSession::Tls(tls.session()),
        }
    }

    fn is_transferable(&self) -> bool {
        either!(Transport, self, protocol => protocol.is_transferable())
    }

    fn admits(&self) -> bool {
        either!(Transport, self, protocol => protocol.admits())
    }

    fn messages_received(&self) -> Option<u64> {
        either!(Transport, self, protocol => protocol.messages_received())
    }

    fn begin_iteration(&mut self) {
        either!(Transport, self, protocol => protocol.begin_iteration());
    }

    fn opened(&mut self, id: ConnectionId, peer: Option<SocketAddr>) {
        either!(Transport, self, protocol => protocol.opened(id, peer));
    }

    fn closed(&mut self, id: ConnectionId) {
        either!(Transport, self, protocol => protocol.closed(id));
    }

    fn next_message(&mut self) -> Option<Message> {
        either!(Transport, self, protocol => protocol.next_message())
    }

    fn wake_at(&self) -> Option<Time> {
        either!(Transport, self, protocol => protocol.wake_at())
    }

    fn on_wake(&mut self, now: Time) {
        either!(Transport, self, protocol => protocol.on_wake(now));
    }
}

impl<P: Protocol> Transport<P> {
    /// For a client, over TLS if there are settings.
    pub fn of_client(plain: P, settings: Option<ClientSettings>) -> Transport<P> {
        match settings {
            None => Transport::Plain(plain),
            Some(settings) => {
                let settings = Settings::Client(settings);
                Transport::Tls(Tls::new(plain, settings, usize::MAX))
            }
        }
    }
}

impl<P: Protocol> MaybeTls<P> for Transport<P> {
    fn has_handshake(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    fn plain(&self) -> &P {
        match self {
            Transport::Plain(plain) => plain,
            Transport::Tls(tls) => tls.plain(),
        }
    }

    fn plain_mut(&mut self) -> &mut P {
        match self {
            Transport::Plain(plain) => plain,
            Transport::Tls(tls) => tls.plain_mut(),
        }
    }

    fn take_handshake(&mut self) -> Option<Completed> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => MaybeTls::<P>::take_handshake(tls),
        }
    }

    fn tls_failure(&self, id: ConnectionId) -> Option<&TlsError> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => tls.failure(id),
        }
    }
}

/// Calls a session with its protocol. A session is of the kind of the protocol that has created it.
macro_rules! call {
    ($session:expr, $context:expr, $inner:ident, $inner_context:ident => $result:expr, $other:expr) => {{
        let Context {
            id,
            now,
            shared,
            tag,
            ..
        } = $context;
        match ($session, shared) {
            (TransportSession::Plain($inner), Transport::Plain(shared)) => {
                let $inner_context = Context::new(id, now, shared).tagged(tag);
                $result
            }
            (TransportSession::Tls($inner), Transport::Tls(shared)) => {
                let $inner_context = Context::new(id, now, shared).tagged(tag);
                $result
            }
            _ => $other,
        }
    }};
}

impl<S: Session> Session for TransportSession<S> {
    type Shared = Transport<S::Shared>;
    const FIN_IS_RECEIPT: bool = S::FIN_IS_RECEIPT;
    const HOLDS_BYTES: bool = true;

    fn open(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        call!(self, context, session, context => session.open(context, outbox), ());
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        call!(self, context, session, context => session.receive(input, context, outbox), 0)
    }

    fn drained(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        call!(self, context, session, context => session.drained(context, outbox), ());
    }

    fn end<'a>(
        &mut self,
        rest: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) {
        call!(self, context, session, context => session.end(rest, context, outbox), ());
    }

    fn write(
        &mut self,
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'_>,
        write: impl FnOnce(&mut Outbox<'_>),
    ) {
        call!(self, context, session, context => session.write(context, outbox, write), ());
    }

    fn before_fin(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        call!(self, context, session, context => session.before_fin(context, outbox), ());
    }

    fn held_bytes(&self) -> usize {
        either!(TransportSession, self, session => session.held_bytes())
    }

    fn is_handshaking(&self) -> bool {
        either!(TransportSession, self, session => session.is_handshaking())
    }

    fn take_record(&mut self) -> Option<Vec<u8>> {
        either!(TransportSession, self, session => session.take_record())
    }
}
