//! A write to a connection that the client has reset raises SIGPIPE, which ends the process, and with it all other
//! connections. Rust ignores the signal at the start of a program; a shell does not, nor does a program in C.

use super::loopback::shell;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

/// A server in sh(1): one client has reset its connection (descriptor 0), the other waits for its reply (1).
pub(super) fn wrong(gone: OwnedFd, waiting: OwnedFd) -> io::Result<ExitStatus> {
    let script = "echo one >&0; echo two >&0; echo hello >&1";
    shell(script).stdin(gone).stdout(waiting).status()
}

/// Ignores the signal: the write fails with EPIPE, an error of that connection only.
pub(super) fn right(gone: OwnedFd, waiting: OwnedFd) -> io::Result<ExitStatus> {
    let script = "trap '' PIPE; echo one >&0; echo two >&0; echo hello >&1";
    shell(script).stdin(gone).stdout(waiting).status()
}
