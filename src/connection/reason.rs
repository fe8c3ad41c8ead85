//! Why connections end.

use crate::net::Ending;
use crate::protocol::Finish;
use std::fmt;
use std::io;

/// Why a connection ended. One word for the log line, the counter and the way its socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer sent FIN, and got all that it was owed.
    PeerClosed,
    /// The peer reset the connection.
    PeerReset,
    /// The peer no longer answers: keepalive probes or retransmissions went unanswered, or no way leads to it.
    PeerLost,
    /// No byte either way for the idle timeout.
    Idle,
    /// The peer was owed bytes and took none for the stall timeout.
    Stalled,
    /// A message was larger than allowed.
    TooLong,
    /// The input broke the rules of the protocol.
    Malformed,
    /// Writing failed for another reason than a reset.
    WriteFailed,
    /// There was no memory for what the connection had to hold.
    NoMemory,
    /// The session had said all that it had to say.
    SessionDone,
    /// The server stopped, and the peer got all that it was owed.
    Drained,
    /// The server stopped, and the peer had not taken all that it was owed when the time for that was over.
    DrainExpired,
    /// A connection that was begun did not come to stand.
    ConnectFailed,
    /// A connection that was begun did not come to stand in time.
    ConnectTimeout,
}

impl CloseReason {
    /// How many reasons there are.
    pub const COUNT: usize = 14;

    /// All reasons, in the order of their [`index`](CloseReason::index).
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
    ];

    /// The reason's place among [`ALL`](CloseReason::ALL), for an array of counters.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// How the socket is closed: with RST where the peer did not get all and must not take it for all.
    #[must_use]
    pub fn ending(self) -> Ending {
        match self {
            CloseReason::Stalled
            | CloseReason::WriteFailed
            | CloseReason::NoMemory
            | CloseReason::DrainExpired => Ending::Reset,
            CloseReason::PeerReset | CloseReason::PeerLost => Ending::Empty,
            _ => Ending::Fin,
        }
    }

    /// What an error of read(2) on the connection's socket means.
    pub(super) fn of_read_error(error: &io::Error) -> CloseReason {
        match error.kind() {
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => CloseReason::PeerLost,
            _ => CloseReason::PeerReset,
        }
    }

    /// What an error of send(2) on the connection's socket means.
    pub(super) fn of_write_error(error: &io::Error) -> CloseReason {
        match error.kind() {
            // After the first word of a reset the kernel says EPIPE.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::PeerReset,
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => CloseReason::PeerLost,
            _ => CloseReason::WriteFailed,
        }
    }
}

impl From<Finish> for CloseReason {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Done => CloseReason::SessionDone,
            Finish::TooLong => CloseReason::TooLong,
            Finish::Malformed => CloseReason::Malformed,
            // The peer sent FIN, and what it sent has been taken.
            Finish::Record => CloseReason::PeerClosed,
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words_of_its_own() {
        let words = CloseReason::ALL.map(|reason| reason.to_string());
        assert_eq!(words[0], "peer closed");
        for (index, text) in words.iter().enumerate() {
            assert!(!text.is_empty() && !words[..index].contains(text), "{text}");
        }
    }

    #[test]
    fn who_did_not_get_all_is_reset_and_nobody_else() {
        let reset = CloseReason::ALL.into_iter();
        let reset: Vec<_> = reset
            .filter(|reason| reason.ending() == Ending::Reset)
            .collect();
        let expected = [
            CloseReason::Stalled,
            CloseReason::WriteFailed,
            CloseReason::NoMemory,
            CloseReason::DrainExpired,
        ];
        assert_eq!(reset, expected);
    }

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason}");
        }
    }
}
