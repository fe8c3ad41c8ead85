//! How many descriptors this process may have: every connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the soft limit of open descriptors to the hard one and returns it (getrlimit(2), `RLIMIT_NOFILE`).
///
/// The number is only a limit: some hosts say 10^9, so nothing may be allocated in proportion to it.
///
/// # Errors
/// What getrlimit(2) or setrlimit(2) say.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
