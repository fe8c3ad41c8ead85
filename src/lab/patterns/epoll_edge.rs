//! One thread and epoll(7), edge-triggered: the kernel reports a change once.
//!
//! Each socket is registered once, for reading and writing, and never again: no `epoll_ctl(2)` when output becomes pending.
//! In return, an event must be used up: read and write until the call returns `WouldBlock`, because no further event
//! comes for what is left. So an echo costs a second read(2) that finds nothing.
//!
//! Good for: the same as level-triggered epoll; and several threads on one epoll set, since an event wakes one of them.
//!
//! Fails when: a client is left before `WouldBlock` (it hangs, sometimes weeks later), or one client sends faster than
//! the server writes: the loop below never leaves it. Event loops therefore have a budget per client; see
//! `src/connection/receiving.rs` and `src/reactor/mod.rs`.

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
    let both = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
    let number = |index: usize| EventData::new_u64(index as u64);
    epoll::add(&set, &listener, number(LISTENER), both)?;
    let mut clients: Slab<Client> = Slab::new();
    let (mut buffer, mut events) = ([0; 16 * 1024], Vec::with_capacity(256));
    loop {
        retry_on_intr(|| epoll::wait(&set, spare_capacity(&mut events), None))?;
        for event in events.drain(..) {
            let index = usize::try_from(event.data.u64()).unwrap_or(LISTENER);
            if let Some(client) = clients.get_mut(index) {
                let result = echo(client, &mut buffer);
                if !result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                    // The client's FIN, or an error. Closing the socket removes it from the epoll set.
                    clients.remove(index);
                }
                continue;
            }
            // The listener, too, is reported once for all connections in its queue.
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true)?;
                let entry = clients.vacant_entry();
                epoll::add(&set, &stream, number(entry.key()), both)?;
                entry.insert(Client(stream, Vec::new()));
            }
        }
    }
}

/// Reads and writes until one of them would block; returns at the client's FIN.
fn echo(Client(stream, pending): &mut Client, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        // With pending output, the client is not read: back-pressure.
        while !pending.is_empty() {
            let length = stream.write(pending)?;
            pending.drain(..length);
        }
        match stream.read(buffer)? {
            0 => return Ok(()),
            length => pending.extend_from_slice(&buffer[..length]),
        }
    }
}
