//! One thread and select(2): the oldest readiness call, with a set of bits.
//!
//! The program passes three sets of 1,024 bits, the kernel looks at every file descriptor below the highest and writes the
//! ready ones back over the sets, so the program fills them again before each call and then tests every client.
//!
//! Good for: few file descriptors, and programs that must run on any system since 4.2BSD.
//!
//! Fails when: a file descriptor is 1,024 or higher (`FD_SETSIZE`), however many are open. In C, `FD_SET` then writes
//! outside the set without an error; here the server ends with one. Before that, the cost of each call grows with the
//! number of clients, as with poll(2).

use nix::sys::select::{FD_SETSIZE, FdSet, select};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

struct Client(TcpStream, Vec<u8>);

/// Serves all clients on this thread.
///
/// # Errors
/// A file descriptor does not fit in the set; see select(2).
pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let (mut readable, mut writable) = (FdSet::new(), FdSet::new());
        readable.insert(listener.as_fd());
        for Client(stream, pending) in &clients {
            // With pending output, the client is not read: back-pressure.
            if pending.is_empty() {
                readable.insert(stream.as_fd());
            } else {
                writable.insert(stream.as_fd());
            }
        }
        select(None, &mut readable, &mut writable, None, None)?;
        let is_ready = |fd| readable.contains(fd) || writable.contains(fd);
        let ready = clients.iter().map(|client| is_ready(client.0.as_fd()));
        let ready: Vec<bool> = ready.collect();
        let accepts = is_ready(listener.as_fd());
        let mut ready = ready.into_iter();
        clients.retain_mut(|client| {
            let is_ready = ready.next().unwrap_or_default();
            !is_ready || echo(client, &mut buffer).unwrap_or_else(would_block)
        });
        if accepts && let Ok((stream, _)) = listener.accept() {
            let fd = stream.as_raw_fd();
            if usize::try_from(fd).is_ok_and(|fd| fd >= FD_SETSIZE) {
                let error = format!("fd {fd} does not fit in an fd_set");
                return Err(io::Error::other(error));
            }
            stream.set_nonblocking(true)?;
            clients.push(Client(stream, Vec::new()));
        }
    }
}

/// Reads once, unless output is pending, and writes once; false at the client's FIN.
fn echo(Client(stream, pending): &mut Client, buffer: &mut [u8]) -> io::Result<bool> {
    if pending.is_empty() {
        match stream.read(buffer)? {
            0 => return Ok(false),
            length => pending.extend_from_slice(&buffer[..length]),
        }
    }
    let length = stream.write(pending)?;
    pending.drain(..length);
    Ok(true)
}

fn would_block(error: io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
