//! The limit of open file descriptors: every connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// File descriptors that are not for connections: the standard streams, the epoll instance, the signal socket pair, the
/// `sock_diag` socket, and a reserve. Each listener takes one more.
pub const RESERVED_FDS: usize = 32;

/// The soft and the hard limit of open file descriptors of this process (getrlimit(2), `RLIMIT_NOFILE`); `u64::MAX` if
/// unlimited.
pub(super) fn fd_limits() -> (u64, u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX))
}

/// Raises the soft limit of open file descriptors to the hard limit and returns it.
///
/// Some hosts allow 10^9, so nothing may be allocated in proportion to the limit.
///
/// # Errors
/// See setrlimit(2), `RLIMIT_NOFILE`.
pub fn raise_fd_limit() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let current = maximum;
        setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}
