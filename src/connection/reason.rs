//! Why connections end.

use crate::net::Ending;
use crate::protocol::Finish;
use std::fmt;
use std::io;

/// Why a connection ended: for the log line, for the counter, and for the choice between FIN and RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer sent FIN, and all output was sent to it.
    PeerClosed,
    /// The peer reset the connection.
    PeerReset,
    /// The peer is unreachable: keepalive probes or retransmissions went unanswered, or there is no route.
    PeerLost,
    /// No byte was received or acknowledged within the idle timeout.
    Idle,
    /// The peer acknowledged none of its pending output within the stall timeout.
    Stalled,
    /// A message was larger than allowed.
    TooLong,
    /// The input violated the protocol.
    Malformed,
    /// A write failed with an error other than a reset.
    WriteFailed,
    /// There was no memory for the connection's buffers, or the connection was evicted.
    NoMemory,
    /// The session finished.
    SessionDone,
    /// The server stopped, and all output was sent before.
    Drained,
    /// The server stopped, and output was still pending when the drain timeout expired.
    DrainExpired,
    /// The connection could not be established.
    ConnectFailed,
    /// The connection was not established within the connect timeout.
    ConnectTimeout,
    /// The handshake of the session did not complete within the handshake timeout.
    HandshakeTimeout,
    /// The peer acknowledged its pending output more slowly than the least rate.
    TooSlow,
    /// The client that a proxy had reported was refused.
    Refused,
}

impl CloseReason {
    /// The number of reasons.
    pub const COUNT: usize = CloseReason::Refused as usize + 1;

    /// All reasons, in the order of their numbers.
    pub const ALL: [CloseReason; CloseReason::COUNT] = [
        CloseReason::PeerClosed,
        CloseReason::PeerReset,
        CloseReason::PeerLost,
        CloseReason::Idle,
        CloseReason::Stalled,
        CloseReason::TooLong,
        CloseReason::Malformed,
        CloseReason::WriteFailed,
        CloseReason::NoMemory,
        CloseReason::SessionDone,
        CloseReason::Drained,
        CloseReason::DrainExpired,
        CloseReason::ConnectFailed,
        CloseReason::ConnectTimeout,
        CloseReason::HandshakeTimeout,
        CloseReason::TooSlow,
        CloseReason::Refused,
    ];

    /// The number, for [`from_number`](CloseReason::from_number).
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// The reason of a number.
    pub(crate) fn from_number(number: u8) -> Option<CloseReason> {
        CloseReason::ALL.get(usize::from(number)).copied()
    }

    /// How the socket is closed: with RST if the peer has not received all output, and must not mistake it for complete, or
    /// if it is refused.
    #[must_use]
    pub fn ending(self) -> Ending {
        match self {
            CloseReason::Stalled
            | CloseReason::TooSlow
            | CloseReason::WriteFailed
            | CloseReason::NoMemory
            | CloseReason::DrainExpired
            | CloseReason::Refused => Ending::Reset,
            CloseReason::PeerReset | CloseReason::PeerLost => Ending::Empty,
            _ => Ending::Fin,
        }
    }

    /// The reason for an error of read(2) or send(2) on the connection's socket; `other` if it is neither a reset nor
    /// the loss of the peer.
    pub(super) fn of_error(error: &io::Error, other: CloseReason) -> CloseReason {
        match error.kind() {
            // The kernel reports a reset once; later writes fail with EPIPE.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::PeerReset,
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => CloseReason::PeerLost,
            _ => other,
        }
    }
}

impl From<Finish> for CloseReason {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Done => CloseReason::SessionDone,
            Finish::TooLong => CloseReason::TooLong,
            Finish::Malformed => CloseReason::Malformed,
            // In the second case its record was taken.
            Finish::PeerClosed | Finish::Record => CloseReason::PeerClosed,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CloseReason::PeerClosed => "peer closed",
            CloseReason::PeerReset => "peer reset",
            CloseReason::PeerLost => "peer lost",
            CloseReason::Idle => "idle",
            CloseReason::Stalled => "stalled",
            CloseReason::TooLong => "too long",
            CloseReason::Malformed => "malformed",
            CloseReason::WriteFailed => "write failed",
            CloseReason::NoMemory => "no memory",
            CloseReason::SessionDone => "session done",
            CloseReason::Drained => "drained",
            CloseReason::DrainExpired => "drain expired",
            CloseReason::ConnectFailed => "connect failed",
            CloseReason::ConnectTimeout => "connect timeout",
            CloseReason::HandshakeTimeout => "handshake timeout",
            CloseReason::TooSlow => "too slow",
            CloseReason::Refused => "refused",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_distinct_text() {
        let texts = CloseReason::ALL.map(|reason| reason.to_string());
        assert_eq!(texts[0], "peer closed");
        for (index, text) in texts.iter().enumerate() {
            assert!(!text.is_empty() && !texts[..index].contains(text), "{text}");
        }
    }

    #[test]
    fn only_undelivered_output_and_refusal_cause_a_reset() {
        let reset = CloseReason::ALL.into_iter();
        let reset: Vec<_> = reset
            .filter(|reason| reason.ending() == Ending::Reset)
            .collect();
        let expected = [
            CloseReason::Stalled,
            CloseReason::WriteFailed,
            CloseReason::NoMemory,
            CloseReason::DrainExpired,
            CloseReason::TooSlow,
            CloseReason::Refused,
        ];
        assert_eq!(reset, expected);
    }

    #[test]
    fn every_reason_has_its_own_counter() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason}");
        }
    }
}
