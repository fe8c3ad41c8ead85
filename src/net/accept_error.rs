//! The errors of accept(2), sorted by what is to be done about them. Nowhere else is this decided.

use nix::errno::Errno;
use std::io;

/// Why no connection was taken from the queue.
#[derive(Debug)]
pub enum AcceptError {
    /// The queue is empty; an event comes when it no longer is.
    Empty,
    /// One connection failed before it was taken. The next may be fine: go on.
    ThisConnection(io::Error),
    /// The process or the machine has no descriptor or memory left. Nothing but time or a close helps: pause.
    Exhausted(io::Error),
    /// The listener itself is no good; that is a bug here, not the network's doing.
    Fatal(io::Error),
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN) => AcceptError::Empty,
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                AcceptError::Exhausted(error)
            }
            Some(Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EFAULT) => {
                AcceptError::Fatal(error)
            }
            // accept(2), "Error handling": Linux passes errors of the new socket as errors of accept, and asks to
            // treat ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP and ENETUNREACH like
            // EAGAIN by trying again. A firewall adds EPERM, a peer ECONNABORTED, a signal EINTR, and an address
            // family that the standard library does not know has no number at all.
            _ => AcceptError::ThisConnection(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(errno: Errno) -> AcceptError {
        AcceptError::from(io::Error::from(errno))
    }

    #[test]
    fn each_error_has_its_place() {
        assert!(matches!(sorted(Errno::EAGAIN), AcceptError::Empty));
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM] {
            assert!(
                matches!(sorted(errno), AcceptError::Exhausted(_)),
                "{errno}"
            );
        }
        for errno in [
            Errno::ECONNABORTED,
            Errno::EINTR,
            Errno::EPROTO,
            Errno::EPERM,
            Errno::ENETDOWN,
            Errno::EHOSTUNREACH,
        ] {
            assert!(
                matches!(sorted(errno), AcceptError::ThisConnection(_)),
                "{errno}"
            );
        }
        for errno in [Errno::EBADF, Errno::EINVAL, Errno::ENOTSOCK] {
            assert!(matches!(sorted(errno), AcceptError::Fatal(_)), "{errno}");
        }
    }
}
