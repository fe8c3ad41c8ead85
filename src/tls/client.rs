//! What clients share: a protocol that runs alone or over TLS, and why a handshake failed.

use super::protocol::Completed;
use super::{TlsError, TlsErrorKind};
use crate::connection::CloseReason;
use crate::protocol::{ConnectionId, Protocol};

/// The protocol `P` of a client: alone, or over TLS. So one owner drives both, and without TLS it has no code for it.
pub trait MaybeTls<P>: Protocol {
    /// Whether each connection has a handshake of TLS.
    fn has_handshake(&self) -> bool;

    /// The protocol without TLS.
    fn plain(&self) -> &P;

    /// The protocol without TLS.
    fn plain_mut(&mut self) -> &mut P;

    /// The handshake that has completed since the last call. A connection is driven once in between.
    fn take_handshake(&mut self) -> Option<Completed>;

    /// Why the TLS session of a connection has failed, if it was the last that failed.
    fn tls_failure(&self, id: ConnectionId) -> Option<&TlsError>;
}

impl<P: Protocol> MaybeTls<P> for P {
    #[inline]
    fn has_handshake(&self) -> bool {
        false
    }

    #[inline]
    fn plain(&self) -> &P {
        self
    }

    #[inline]
    fn plain_mut(&mut self) -> &mut P {
        self
    }

    #[inline]
    fn take_handshake(&mut self) -> Option<Completed> {
        None
    }

    #[inline]
    fn tls_failure(&self, _: ConnectionId) -> Option<&TlsError> {
        None
    }
}

impl TlsError {
    /// Why a client's connection has closed within its handshake, other than for an error of TLS.
    #[must_use]
    pub fn of_close(reason: CloseReason) -> TlsError {
        match reason {
            CloseReason::HandshakeTimeout => TlsError::new(
                TlsErrorKind::HandshakeTimeout,
                "the server did not complete the TLS handshake in time",
            ),
            CloseReason::PeerClosed => TlsError::new(
                TlsErrorKind::Truncated,
                "the server closed the connection within the TLS handshake",
            ),
            CloseReason::PeerReset => TlsError::new(
                TlsErrorKind::Truncated,
                "the server reset the connection within the TLS handshake",
            ),
            reason => TlsError::new(
                TlsErrorKind::Truncated,
                format!("the connection ended within the TLS handshake: {reason}"),
            ),
        }
    }

    /// What the user of a client can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        use TlsErrorKind as Kind;
        match self.kind() {
            Kind::Certificate => {
                "trust its authority with --ca F, verify another name with --sni NAME, or verify \
                 nothing with --insecure"
            }
            Kind::NotTls | Kind::Malformed | Kind::Flood => {
                "check that the server has TLS on that port, or leave --tls out"
            }
            Kind::HandshakeTimeout => {
                "check that the server has TLS on that port, or wait longer with --connect-timeout"
            }
            Kind::Alert | Kind::Incompatible => {
                "see the server's log; --cert F and --key F send a certificate, --alpn P offers a \
                 protocol"
            }
            Kind::Truncated => "see the server's log",
            Kind::Exhausted | Kind::Internal => "try again",
            Kind::OutOfMemory => "free some memory",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_error_names_every_remedy() {
        let error = TlsError::new(TlsErrorKind::Certificate, "no");
        for flag in ["--ca F", "--sni NAME", "--insecure"] {
            assert!(error.remedy().contains(flag), "{flag}");
        }
    }

    #[test]
    fn close_within_the_handshake_is_named() {
        for (reason, text) in [
            (CloseReason::HandshakeTimeout, "in time"),
            (CloseReason::PeerClosed, "closed the connection within"),
            (CloseReason::PeerReset, "reset the connection within"),
            (CloseReason::NoMemory, "no memory"),
        ] {
            let error = TlsError::of_close(reason).to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
