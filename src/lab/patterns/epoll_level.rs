//! One thread and epoll(7), level-triggered: the kernel keeps the list, and returns only the clients that are ready.
//!
//! A socket is registered once. When data arrives, the kernel puts it on the ready list, so a call costs as much as there
//! is to do, however many clients are idle. Level-triggered: a client is reported as long as it is ready, so
//! reading once is enough, and what is left is reported again. Interest must match the state: a client with pending output
//! is watched for writing instead of reading, which takes one `epoll_ctl(2)` per change.
//!
//! Good for: any number of clients; the default choice for an event loop on Linux.
//!
//! Fails when: interest in writing is left on (a socket is nearly always writable: a busy loop); file descriptors run
//! out (the listener is reported for ever); one CPU is not enough.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::retry_on_intr;
use slab::Slab;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The number under which the listener is registered; clients have their index.
const LISTENER: usize = usize::MAX;

struct Client(TcpStream, Vec<u8>);

/// Serves all clients on this thread.
///
/// # Errors
/// See `epoll_wait(2)`.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let set = epoll::create(CreateFlags::CLOEXEC)?;
    let number = |index: usize| EventData::new_u64(index as u64);
    epoll::add(&set, &listener, number(LISTENER), EventFlags::IN)?;
    let mut clients: Slab<Client> = Slab::new();
    let (mut buffer, mut events) = ([0; 16 * 1024], Vec::with_capacity(256));
    loop {
        retry_on_intr(|| epoll::wait(&set, spare_capacity(&mut events), None))?;
        for event in events.drain(..) {
            let index = usize::try_from(event.data.u64()).unwrap_or(LISTENER);
            if let Some(client) = clients.get_mut(index) {
                let was_pending = !client.1.is_empty();
                if !echo(client, &mut buffer).unwrap_or_else(would_block) {
                    // Closing the socket removes it from the epoll set.
                    clients.remove(index);
                    continue;
                }
                let is_pending = !client.1.is_empty();
                if is_pending != was_pending {
                    let interest = [EventFlags::IN, EventFlags::OUT][usize::from(is_pending)];
                    epoll::modify(&set, &client.0, number(index), interest)?;
                }
            } else if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true)?;
                let entry = clients.vacant_entry();
                epoll::add(&set, &stream, number(entry.key()), EventFlags::IN)?;
                entry.insert(Client(stream, Vec::new()));
            }
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
