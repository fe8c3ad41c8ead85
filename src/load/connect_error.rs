//! Why a connection could not be established: errors of connect(2) by category, each with its remedy.

use crate::connection::CloseReason;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::io;

/// Why a connection could not be established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`description` has the text of each")]
pub enum ConnectError {
    NoFiles,
    NoPorts,
    Refused,
    Reset,
    Timeout,
    Other,
}

impl ConnectError {
    /// All of them, in the order in which warnings list them: limits of the load's own host first.
    pub const ALL: [ConnectError; 6] = [
        ConnectError::NoFiles,
        ConnectError::NoPorts,
        ConnectError::Refused,
        ConnectError::Reset,
        ConnectError::Timeout,
        ConnectError::Other,
    ];

    /// The category in a few words, and what to do about it.
    #[must_use]
    pub fn description(self) -> (&'static str, &'static str) {
        match self {
            ConnectError::NoFiles => (
                "no file descriptor left on the load's host",
                "raise the limit (echoloop doctor --role client shows how), or split the load over several processes",
            ),
            ConnectError::NoPorts => (
                "no local port left",
                "add source addresses with --sources, or widen the port range (echoloop doctor --role client shows how)",
            ),
            ConnectError::Refused => (
                "refused",
                "no listener at that address, or a firewall refuses: check the address and that the server runs",
            ),
            ConnectError::Reset => (
                "reset before use",
                "the server accepted and closed at once: raise its limit of connections or of file descriptors",
            ),
            ConnectError::Timeout => (
                "no answer within --connect-timeout",
                "packets are dropped, or the server's backlog overflows: connect more slowly (--ramp), raise the \
                 server's backlog and net.core.somaxconn, or allow more time",
            ),
            ConnectError::Other => ("another error", "run again with -v, which logs each"),
        }
    }

    /// The category of an error of connect(2), or of socket(2) and bind(2) before it.
    pub(super) fn of_error(error: &io::Error) -> ConnectError {
        if let Some(Errno::EMFILE | Errno::ENFILE) = error.raw_os_error().map(Errno::from_raw) {
            return ConnectError::NoFiles;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused,
            io::ErrorKind::TimedOut => ConnectError::Timeout,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ConnectError::Reset,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => ConnectError::NoPorts,
            _ => ConnectError::Other,
        }
    }

    /// The category of a connection that closed before it was established.
    pub(super) fn of_close(reason: CloseReason, error: Option<&io::Error>) -> ConnectError {
        match (reason, error) {
            (CloseReason::ConnectTimeout, _) => ConnectError::Timeout,
            (_, Some(error)) => ConnectError::of_error(error),
            (CloseReason::PeerReset | CloseReason::PeerClosed, None) => ConnectError::Reset,
            (_, None) => ConnectError::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_maps_to_its_category() {
        for (errno, expected) in [
            (Errno::ECONNREFUSED, ConnectError::Refused),
            (Errno::ETIMEDOUT, ConnectError::Timeout),
            (Errno::ECONNRESET, ConnectError::Reset),
            (Errno::EPIPE, ConnectError::Reset),
            (Errno::EADDRNOTAVAIL, ConnectError::NoPorts),
            (Errno::EADDRINUSE, ConnectError::NoPorts),
            (Errno::EMFILE, ConnectError::NoFiles),
            (Errno::ENFILE, ConnectError::NoFiles),
            (Errno::ENETUNREACH, ConnectError::Other),
        ] {
            assert_eq!(ConnectError::of_error(&errno.into()), expected, "{errno}");
        }
    }

    #[test]
    fn close_reason_without_an_error_maps_to_a_category() {
        let of = |reason| ConnectError::of_close(reason, None);
        assert_eq!(of(CloseReason::ConnectTimeout), ConnectError::Timeout);
        assert_eq!(of(CloseReason::PeerClosed), ConnectError::Reset);
    }
}
