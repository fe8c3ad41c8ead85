//! How many descriptors this process may have: every connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Descriptors that are not for connections: the standard streams, the selector, the signals' pair, the `sock_diag`
/// socket, and some to spare. Each listener is one more.
pub const RESERVED_DESCRIPTORS: usize = 32;

/// The soft and the hard limit of open descriptors (getrlimit(2), `RLIMIT_NOFILE`).
///
/// # Errors
/// What getrlimit(2) says.
pub fn descriptor_limits() -> io::Result<(u64, u64)> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?)
}

/// Raises the soft limit of open descriptors to the hard one and returns it (setrlimit(2), `RLIMIT_NOFILE`).
///
/// The number is only a limit: some hosts say 10^9, so nothing may be allocated in proportion to it.
///
/// # Errors
/// What getrlimit(2) or setrlimit(2) say.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = descriptor_limits()?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
