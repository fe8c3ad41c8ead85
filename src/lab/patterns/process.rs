//! A program per client: the accepted socket is the standard input and output of a new process (fork and exec).
//!
//! How inetd(8) runs a `nowait` service: the program needs no network code, here it is `cat`. The kernel schedules the
//! clients, and a crash ends one of them.
//!
//! Good for: services that exist as filters; few clients; separate users and limits for each client.
//!
//! Fails when: clients are many or short-lived. A start takes about a millisecond, so connects arrive faster than they
//! are accepted; each process costs over a hundred kilobytes, and the limit of processes is reached first.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

/// Runs `cat` for each client.
///
/// # Errors
/// See accept(2) and fork(2).
pub fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let input = OwnedFd::from(stream);
        let output = input.try_clone()?;
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::from(input)).stdout(Stdio::from(output));
        cat.stderr(Stdio::null()).spawn()?;
        // The command owns two copies of the socket. The client gets FIN only when all copies are closed.
        drop(cat);
        while has_reaped_a_child() {}
    }
}

/// Whether a child had exited. Until its parent waits for it, it is a zombie.
fn has_reaped_a_child() -> bool {
    let status = waitpid(None, Some(WaitPidFlag::WNOHANG));
    status.is_ok_and(|status| status != WaitStatus::StillAlive)
}
