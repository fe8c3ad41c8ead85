//! The echo protocols as one type, chosen at run time. Over TLS the choice costs nothing beside the encryption, and the
//! program holds the code of the event loop once instead of five times.

use crate::connection::Connections;
use crate::net::MioNet;
use crate::protocol::{
    Clock, ClockSession, Collect, Context, Discard, Echo, Frame, FrameSession, Line, LineSession,
    Outbox, Protocol, Raw, Session,
};
use crate::proxy::Proxied;
use crate::tls::Transport;
use std::time::Duration;

type ReadClock = fn() -> Duration;

/// The cost of an idle connection of `clock`, behind a proxy, or over TLS, beside what TLS holds: 24 bytes more than that of
/// a raw one, 16 more than that of a line. The kernel takes 70 times that, so less is not worth another copy of the event
/// loop in the program.
const _: () = {
    type Layered<P> = Connections<MioNet, Proxied<Transport<P>>>;
    assert!(Layered::<AnyProtocol>::SLOT_SIZE <= 80);
    assert!(Layered::<Collect>::SLOT_SIZE <= 72);
    assert!(Connections::<MioNet, Line<Echo>>::SLOT_SIZE <= 64);
};

/// A protocol without records.
#[derive(Debug)]
pub(super) enum AnyProtocol {
    Raw(Raw),
    Line(Line<Echo>),
    Frame(Frame<Echo>),
    Discard(Discard),
    Clock(Clock<ReadClock>),
}

/// The session of [`AnyProtocol`], of the same kind.
#[derive(Debug)]
pub(super) enum AnySession {
    Raw(Raw),
    Line(LineSession<Echo>),
    Frame(FrameSession<Echo>),
    Discard(Discard),
    Clock(ClockSession<ReadClock>),
}

impl Protocol for AnyProtocol {
    type Session = AnySession;

    fn name(&self) -> &str {
        match self {
            AnyProtocol::Raw(raw) => raw.name(),
            AnyProtocol::Line(line) => line.name(),
            AnyProtocol::Frame(frame) => frame.name(),
            AnyProtocol::Discard(discard) => discard.name(),
            AnyProtocol::Clock(clock) => clock.name(),
        }
    }

    fn messages_received(&self) -> Option<u64> {
        match self {
            AnyProtocol::Raw(_) | AnyProtocol::Discard(_) => None,
            AnyProtocol::Line(line) => line.messages_received(),
            AnyProtocol::Frame(frame) => frame.messages_received(),
            AnyProtocol::Clock(clock) => clock.messages_received(),
        }
    }

    fn session(&mut self) -> AnySession {
        match self {
            AnyProtocol::Raw(raw) => AnySession::Raw(raw.session()),
            AnyProtocol::Line(line) => AnySession::Line(line.session()),
            AnyProtocol::Frame(frame) => AnySession::Frame(frame.session()),
            AnyProtocol::Discard(discard) => AnySession::Discard(discard.session()),
            AnyProtocol::Clock(clock) => AnySession::Clock(clock.session()),
        }
    }
}

/// Calls a method of the session with its protocol. A session is of the kind of the protocol that has created it.
macro_rules! call {
    ($session:expr, $context:expr, $method:ident($input:expr, $outbox:expr), $other:expr) => {{
        let Context {
            id,
            now,
            shared,
            tag,
            ..
        } = $context;
        match ($session, shared) {
            (AnySession::Raw(session), AnyProtocol::Raw(shared)) => {
                session.$method($input, Context::new(id, now, shared).tagged(tag), $outbox)
            }
            (AnySession::Line(session), AnyProtocol::Line(shared)) => {
                session.$method($input, Context::new(id, now, shared).tagged(tag), $outbox)
            }
            (AnySession::Frame(session), AnyProtocol::Frame(shared)) => {
                session.$method($input, Context::new(id, now, shared).tagged(tag), $outbox)
            }
            (AnySession::Discard(session), AnyProtocol::Discard(shared)) => {
                session.$method($input, Context::new(id, now, shared).tagged(tag), $outbox)
            }
            (AnySession::Clock(session), AnyProtocol::Clock(shared)) => {
                session.$method($input, Context::new(id, now, shared).tagged(tag), $outbox)
            }
            _ => $other,
        }
    }};
}

impl Session for AnySession {
    type Shared = AnyProtocol;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, AnyProtocol>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        call!(self, context, receive(input, outbox), 0)
    }

    fn end<'a>(
        &mut self,
        rest: &'a [u8],
        context: Context<'_, AnyProtocol>,
        outbox: &mut Outbox<'a>,
    ) {
        call!(self, context, end(rest, outbox), ());
    }
}
