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
    Hello,
    Tls,
    Other,
}

impl ConnectError {
    /// All of them, in the order in which warnings list them: limits of the load's own host first.
    pub const ALL: [ConnectError; 8] = [
        ConnectError::NoFiles,
        ConnectError::NoPorts,
        ConnectError::Refused,
        ConnectError::Reset,
        ConnectError::Timeout,
        ConnectError::Hello,
        ConnectError::Tls,
        ConnectError::Other,
    ];

    /// The category in a few words, and what to do about it. Code is between backticks.
    #[must_use]
    pub fn description(self) -> (&'static str, &'static str) {
        match self {
            ConnectError::NoFiles => (
                "no file descriptor left on the load tester's host",
                "Raise the limit before the start (`echoloop doctor --role load` shows how), or distribute the \
                 connections over several processes and merge their results.",
            ),
            ConnectError::NoPorts => (
                "no local port left",
                "A source address has about 28,000 ports for one target. Use more source addresses (`--sources`), or \
                 widen the range of ports (`echoloop doctor --role load` shows how).",
            ),
            ConnectError::Refused => (
                "refused",
                "No process listens on that address and port. Check the address, and that the server runs. A firewall \
                 may refuse connections, too.",
            ),
            ConnectError::Reset => (
                "reset before use",
                "The server accepts and closes at once: it has reached its limit of connections or of file \
                 descriptors. Raise the limit on the server (`--max-connections`, `--max-handshakes`, `ulimit -n`).",
            ),
            ConnectError::Timeout => (
                "timed out",
                "Packets are lost, or the server's accept queue overflows. Connect more slowly (`--ramp`), raise the \
                 server's backlog and `net.core.somaxconn`, or allow more time (`--connect-timeout`).",
            ),
            ConnectError::Hello => (
                "wrong or missing reply to the hello",
                "The server is not what the script expects, or it requires other credentials. Compare the script's \
                 `[hello]` with the server's documentation.",
            ),
            ConnectError::Tls => (
                "TLS failed",
                "The first reason is among the problems. `-v` logs each.",
            ),
            ConnectError::Other => ("other error", "Run again with `-v` to log each error."),
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
