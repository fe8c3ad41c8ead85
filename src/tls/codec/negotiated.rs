//! What the two sides of a session have agreed on.

use super::Codec;
use super::server::RequestedName;
use rustls::{HandshakeKind, ProtocolVersion};
use std::cell::Cell;
use std::sync::PoisonError;

/// What the two sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: &'static str,
    /// The application protocol (ALPN).
    pub alpn: Option<Vec<u8>>,
    /// Whether the session was resumed with a ticket.
    pub is_resumed: bool,
    /// On a server: the host name that the client has requested (SNI). Only the first report holds it.
    pub requested_name: Option<Box<str>>,
}

/// The host name that the client of a server has requested.
pub(super) enum Requested {
    /// It will be there.
    At(RequestedName),
    /// Until it is reported, to keep no memory for it.
    Known(Cell<Option<Box<str>>>),
}

impl Codec {
    /// What the two sides have agreed on; `None` before the end of the handshake.
    #[must_use]
    pub fn negotiated(&self) -> Option<Negotiated> {
        if self.is_handshaking() {
            return None;
        }
        let state = self.side.state();
        let suite = state.negotiated_cipher_suite()?.suite().as_str();
        Some(Negotiated {
            version: match state.protocol_version()? {
                ProtocolVersion::TLSv1_2 => "TLS 1.2",
                _ => "TLS 1.3",
            },
            cipher_suite: suite.unwrap_or("unknown"),
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            requested_name: match &self.requested {
                Requested::Known(name) => name.take(),
                Requested::At(_) => None,
            },
        })
    }

    /// Takes the name before another session puts its own in the same place.
    pub(super) fn take_requested_name(&mut self) {
        if let Requested::At(place) = &self.requested {
            let name = place.lock().unwrap_or_else(PoisonError::into_inner).take();
            if name.is_some() || !self.is_handshaking() {
                self.requested = Requested::Known(Cell::new(name));
            }
        }
    }
}
