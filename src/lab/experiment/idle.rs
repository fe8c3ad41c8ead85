//! The idle clients, which connect before the active ones and never send.
//!
//! A connect succeeds when the kernel has established the connection, whether the server accepts it or not; so the accept
//! queue is read. Connects only fill the room in it, since the kernel drops SYNs beyond it, and the next attempt is a
//! second later.

use crate::net::{AcceptQueue, AcceptQueueReader};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// How often the accept queue is read while it is full.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// After this many readings without an accept, the server accepts no more.
const MOST_CHECKS: u32 = 1000;

/// The limit for a connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections. Dropping them closes them.
#[derive(Debug)]
pub(super) struct IdleClients {
    connections: Vec<TcpStream>,
    /// Those that the server has not accepted.
    pub(super) queued: usize,
}

impl IdleClients {
    /// Opens up to `count` connections, as long as the server accepts or its queue has room.
    ///
    /// # Errors
    /// The accept queue cannot be read, or no file descriptor is left.
    pub(super) fn open(address: SocketAddr, count: usize) -> io::Result<IdleClients> {
        let mut clients = IdleClients {
            connections: Vec::new(),
            queued: 0,
        };
        let mut reader = AcceptQueueReader::open(address)?.ok_or(io::ErrorKind::NotFound)?;
        let (mut checks, mut most_accepted) = (0, 0);
        while checks < MOST_CHECKS {
            // Without a listener, the server has ended.
            let queue = reader.read().unwrap_or_default();
            clients.queued = queue.length as usize;
            let accepted = clients.opened().saturating_sub(clients.queued);
            if accepted > most_accepted {
                (checks, most_accepted) = (0, accepted);
            }
            if accepted == count || queue == AcceptQueue::default() {
                break;
            }
            let room = (queue.room as usize).min(count - clients.opened());
            if room == 0 {
                checks += 1;
                thread::sleep(CHECK_INTERVAL);
            }
            for _ in 0..room {
                match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                    Ok(connection) => clients.connections.push(connection),
                    Err(error) if is_of_the_server(&error) => return Ok(clients),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(clients)
    }

    /// How many are established.
    pub(super) fn opened(&self) -> usize {
        self.connections.len()
    }
}

/// Whether a connect failed because the server does not accept, and not because this process has no resources left.
fn is_of_the_server(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | TimedOut)
}
