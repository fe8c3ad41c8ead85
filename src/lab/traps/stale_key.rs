//! The kernel reuses the number of a closed file descriptor at once: an event of the old connection, in the same batch,
//! reaches the new one.

use super::epoll::wait;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

/// The key of a connection in the events: the number of its file descriptor.
pub(super) fn wrong(client: &TcpStream, _serial: u64) -> u64 {
    client.as_raw_fd().unsigned_abs().into()
}

/// The key of a connection in the events: a number that no other connection ever has.
pub(super) fn right(_client: &TcpStream, serial: u64) -> u64 {
    serial
}

/// The key of the listener.
const LISTENER: u64 = u64::MAX;

/// A server that echoes. After the message `only me` it closes all other connections.
pub(super) struct Server {
    pub(super) epoll: OwnedFd,
    pub(super) listener: TcpListener,
    pub(super) key_of: fn(&TcpStream, u64) -> u64,
    pub(super) accepted: u64,
    pub(super) clients: HashMap<u64, TcpStream>,
}

impl Server {
    pub(super) fn listen(&self) -> io::Result<()> {
        let key = EventData::new_u64(LISTENER);
        Ok(epoll::add(
            &self.epoll,
            &self.listener,
            key,
            EventFlags::IN,
        )?)
    }

    pub(super) fn accept(&mut self) -> io::Result<()> {
        let (client, _) = self.listener.accept()?;
        self.accepted += 1;
        let key = (self.key_of)(&client, self.accepted);
        let events = EventFlags::IN | EventFlags::RDHUP;
        epoll::add(&self.epoll, &client, EventData::new_u64(key), events)?;
        self.clients.insert(key, client);
        Ok(())
    }

    /// Handles one batch of events.
    pub(super) fn run_iteration(&mut self) -> io::Result<()> {
        for event in wait(&self.epoll)? {
            match event.key {
                LISTENER => self.accept()?,
                key if event.flags.contains(EventFlags::RDHUP) => {
                    self.clients.remove(&key);
                }
                key => self.on_message(key)?,
            }
        }
        Ok(())
    }

    fn on_message(&mut self, key: u64) -> io::Result<()> {
        let mut buffer = [0; 64];
        let Some(client) = self.clients.get_mut(&key) else {
            return Ok(());
        };
        let count = client.read(&mut buffer)?;
        client.write_all(&buffer[..count])?;
        if &buffer[..count] == b"only me" {
            self.clients.retain(|other, _| *other == key);
        }
        Ok(())
    }
}
