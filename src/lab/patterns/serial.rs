//! One client at a time: accept, echo until the client closes, accept the next.
//!
//! The iterative server of Stevens (UNIX Network Programming, chapter 30). Two system calls per echo, no other process or
//! thread, no list of clients: nothing is faster for one client, so the cost of the other patterns is measured above it.
//!
//! Good for: requests that are short and come one after another, such as those of a metadata or time service.
//!
//! Fails when: a second client connects. The kernel establishes its connection and keeps it in the accept queue (here
//! of 128, the backlog of `std`); it gets no reply until the first client closes. One idle client stops the service.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Serves one client after another.
///
/// # Errors
/// See accept(2).
pub fn serve(listener: TcpListener) -> io::Result<()> {
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
