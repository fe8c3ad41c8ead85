//! The errors of connect(2), sorted by what stands in the way.

use super::result::Failed;
use crate::connection::CloseReason;
use nix::errno::Errno;
use std::io;

/// Why a connection did not come to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Refused,
    Timeout,
    Reset,
    NoPorts,
    NoFiles,
    Other,
}

impl Cause {
    /// What an error of connect(2), or of what goes before it, means.
    pub(super) fn of_error(error: &io::Error) -> Cause {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNREFUSED) => Cause::Refused,
            Some(Errno::ETIMEDOUT) => Cause::Timeout,
            Some(Errno::ECONNRESET | Errno::EPIPE) => Cause::Reset,
            Some(Errno::EADDRNOTAVAIL | Errno::EADDRINUSE) => Cause::NoPorts,
            Some(Errno::EMFILE | Errno::ENFILE) => Cause::NoFiles,
            Some(_) => Cause::Other,
            None => Cause::of_kind(error.kind()),
        }
    }

    /// For errors that no kernel made.
    fn of_kind(kind: io::ErrorKind) -> Cause {
        match kind {
            io::ErrorKind::ConnectionRefused => Cause::Refused,
            io::ErrorKind::TimedOut => Cause::Timeout,
            io::ErrorKind::ConnectionReset => Cause::Reset,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Cause::NoPorts,
            _ => Cause::Other,
        }
    }

    /// Why a connection that was begun has ended.
    pub(super) fn of_end(reason: CloseReason, error: Option<&io::Error>) -> Cause {
        match (reason, error) {
            (CloseReason::ConnectTimeout, _) => Cause::Timeout,
            (_, Some(error)) => Cause::of_error(error),
            (CloseReason::PeerReset | CloseReason::PeerClosed, None) => Cause::Reset,
            (_, None) => Cause::Other,
        }
    }

    /// Counts `count` connections under the cause.
    pub(super) fn count(self, failed: &mut Failed, count: u64) {
        let counter = match self {
            Cause::Refused => &mut failed.refused,
            Cause::Timeout => &mut failed.timeout,
            Cause::Reset => &mut failed.reset,
            Cause::NoPorts => &mut failed.no_ports,
            Cause::NoFiles => &mut failed.no_files,
            Cause::Other => &mut failed.other,
        };
        *counter += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_cause() {
        for (errno, cause) in [
            (Errno::ECONNREFUSED, Cause::Refused),
            (Errno::ETIMEDOUT, Cause::Timeout),
            (Errno::ECONNRESET, Cause::Reset),
            (Errno::EADDRNOTAVAIL, Cause::NoPorts),
            (Errno::EADDRINUSE, Cause::NoPorts),
            (Errno::EMFILE, Cause::NoFiles),
            (Errno::ENFILE, Cause::NoFiles),
            (Errno::ENETUNREACH, Cause::Other),
        ] {
            assert_eq!(Cause::of_error(&errno.into()), cause, "{errno}");
        }
        assert_eq!(
            Cause::of_end(CloseReason::ConnectTimeout, None),
            Cause::Timeout
        );
        assert_eq!(Cause::of_end(CloseReason::PeerClosed, None), Cause::Reset);
    }
}
