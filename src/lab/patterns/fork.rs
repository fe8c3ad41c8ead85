//! A process per client: fork(2) without exec. The child has a copy of the accepted socket and of all memory.
//!
//! The concurrent server of the textbooks. The kernel copies page tables at once and pages when they are written, so a
//! child costs tens of kilobytes and a fraction of a millisecond. The parent must close its copy of the socket, or the
//! client never gets FIN; and it must wait for its children, or they remain as zombies.
//!
//! Good for: clients that need isolation and state that the parent has loaded, as in a database server.
//!
//! Fails when: clients are many (memory, the limit of processes), or when the program has threads: the child has only
//! the one that called fork, and locks that another one held stay locked.

use fork::{Fork, fork};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{getpid, getppid};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;

/// Forks for each client.
///
/// # Errors
/// See accept(2) and fork(2).
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let parent = getpid();
    loop {
        let (stream, _) = listener.accept()?;
        if fork()? == Fork::Child {
            drop(listener);
            // Without it, clients would keep their processes after the server was killed.
            set_pdeathsig(Signal::SIGKILL)?;
            // The signal comes only if the parent ends after this call. It may have ended before.
            if getppid() != parent {
                return Ok(());
            }
            // A client that resets its connection ends its own process only.
            exit(i32::from(echo(stream).is_err()));
        }
        drop(stream);
        while has_reaped_a_child() {}
    }
}

/// Whether a child had exited. Its exit status is removed from the kernel.
fn has_reaped_a_child() -> bool {
    let status = waitpid(None, Some(WaitPidFlag::WNOHANG));
    status.is_ok_and(|status| status != WaitStatus::StillAlive)
}

/// Echoes until the client's FIN. The exit of the process then sends FIN.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}
