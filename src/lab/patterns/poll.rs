//! One thread and poll(2): select(2) with a list instead of a set.
//!
//! The list has an entry per client with the events of interest, so there is no limit of 1,024 and nothing to fill again.
//! But at each call the kernel copies the whole list, asks every socket, and registers with each of them to sleep; then the
//! program looks at every entry. Idle clients cost as much as active ones.
//!
//! Good for: up to some hundred file descriptors, on any Unix; the simplest correct event loop.
//!
//! Fails when: clients are thousands and few are active: the cost of an echo grows with the number of clients. At
//! 10,000 one call takes hundreds of microseconds. (Under load a call finds more clients ready, which shares the cost.)

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

struct Client(TcpStream, Vec<u8>);

/// Serves all clients on this thread.
///
/// # Errors
/// See poll(2).
pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let mut list = vec![PollFd::new(&listener, PollFlags::IN)];
        list.extend(clients.iter().map(|Client(stream, pending)| {
            // With pending output, the client is not read: back-pressure.
            let interest = [PollFlags::IN, PollFlags::OUT][usize::from(!pending.is_empty())];
            PollFd::new(stream, interest)
        }));
        retry_on_intr(|| poll(&mut list, None))?;
        let ready = list.iter().map(|entry| !entry.revents().is_empty());
        let ready: Vec<bool> = ready.collect();
        let mut ready = ready.into_iter();
        let accepts = ready.next().unwrap_or_default();
        clients.retain_mut(|client| {
            let is_ready = ready.next().unwrap_or_default();
            !is_ready || echo(client, &mut buffer).unwrap_or_else(would_block)
        });
        if accepts && let Ok((stream, _)) = listener.accept() {
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
