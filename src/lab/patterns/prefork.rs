//! Processes that are started in advance, inherit the listener, and each serve one client at a time.
//!
//! No fork per client, and no lock: all children wait in accept(2) on the same accept queue, and the kernel wakes one of
//! them per connection. The classic Apache (`mpm_prefork`) and `PostgreSQL` poolers work so.
//!
//! Good for: short requests, isolation, memory that is bounded by the number of children.
//!
//! Fails when: as many clients are idle as there are children. All children wait in read(2), further connections wait in
//! the accept queue, and no other client gets a reply. With keep-alive connections the number of children is the
//! number of clients.

use fork::{Fork, fork};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::wait;
use nix::unistd::{getpid, getppid};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Serves at most `children` clients at a time.
///
/// # Errors
/// See fork(2) and wait(2).
pub fn serve(listener: TcpListener, children: usize) -> io::Result<()> {
    let parent = getpid();
    for _ in 0..children {
        if fork()? == Fork::Child {
            // Without it, the children would serve on after the parent was killed.
            set_pdeathsig(Signal::SIGKILL)?;
            // The signal comes only if the parent ends after this call. It may have ended before.
            if getppid() != parent {
                return Ok(());
            }
            return serve_one_after_another(&listener);
        }
    }
    // A real server replaces a child that has ended.
    loop {
        wait()?;
    }
}

fn serve_one_after_another(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A client that resets its connection ends its own service only.
        let _ = echo(stream);
    }
}

/// Echoes until the client's FIN. Dropping the stream then sends FIN.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}
