//! Classifies errors of accept(2) by how the server reacts to them.

use rustix::io::Errno;
use std::io;

/// Why no connection was accepted.
#[derive(Debug)]
pub enum AcceptError {
    /// The accept queue is empty; an event follows when a connection arrives.
    Empty,
    /// One connection failed before it was accepted. Continue with the next one.
    ThisConnection(io::Error),
    /// The process or the machine has no file descriptor or memory left. Pause, and retry after a delay or a close.
    Exhausted(io::Error),
    /// The listener is invalid: a bug in this program.
    Fatal(io::Error),
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => AcceptError::Empty,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                AcceptError::Exhausted(error)
            }
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::FAULT) => {
                AcceptError::Fatal(error)
            }
            // accept(2), "Error handling": Linux reports pending network errors of the new socket as errors of accept.
            // ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP and ENETUNREACH are to be
            // treated like EAGAIN, by retrying. A firewall causes EPERM, a peer ECONNABORTED, a signal EINTR. An
            // address family that the standard library does not support gives an error without a number.
            _ => AcceptError::ThisConnection(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(errno: Errno) -> AcceptError {
        AcceptError::from(io::Error::from(errno))
    }

    #[test]
    fn each_errno_has_its_class() {
        assert!(matches!(classify(Errno::AGAIN), AcceptError::Empty));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let class = classify(errno);
            assert!(matches!(class, AcceptError::Exhausted(_)), "{errno}");
        }
        for errno in [
            Errno::CONNABORTED,
            Errno::INTR,
            Errno::PROTO,
            Errno::PERM,
            Errno::NETDOWN,
            Errno::HOSTUNREACH,
        ] {
            let class = classify(errno);
            assert!(matches!(class, AcceptError::ThisConnection(_)), "{errno}");
        }
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK] {
            assert!(matches!(classify(errno), AcceptError::Fatal(_)), "{errno}");
        }
    }
}
