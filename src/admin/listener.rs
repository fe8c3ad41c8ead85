//! The server of the admin listener, whose events the program's server reports.

use super::{Http, Snapshot};
use crate::net::{ListenOptions, MioNet, Net, Source, Time};
use crate::server::{Config, Server, Shortage};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The most admin connections at a time. Each takes a file descriptor.
pub const MAX_ADMIN_CONNECTIONS: usize = 16;

/// How long a snapshot is served before the next one is taken.
const SNAPSHOT_AGE: Duration = Duration::from_millis(100);

/// The time in which the head of a request must arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The time after which a connection without a further request is closed. A client that scrapes once a minute, as Prometheus
/// does by default, keeps its connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The time after which a connection is reset whose client takes no byte of a response.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The accept queue: clients are few.
const BACKLOG: u32 = 64;

/// The buffers of all connections: far more than they need.
const MAX_BUFFERED: usize = 8 * 1024 * 1024;

/// The admin listener and its connections.
pub struct Admin {
    server: Server<MioNet, Http>,
    addresses: Vec<SocketAddr>,
    /// When the last snapshot was taken; `None` before the first.
    snapshot_taken: Option<Time>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut admin = f.debug_struct("Admin");
        admin
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Without listeners. Its events are those of [`Source::ADMIN`] of `net`.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn new(net: &mut MioNet) -> io::Result<Admin> {
        let mut own = MioNet::new()?;
        own.set_orphan_timeout(STALL_TIMEOUT);
        net.watch_net(&mut own, Source::ADMIN)?;
        let config = Config {
            max_connections: MAX_ADMIN_CONNECTIONS,
            max_buffered: MAX_BUFFERED,
            idle_timeout: Some(IDLE_TIMEOUT),
            stall_timeout: Some(STALL_TIMEOUT),
            handshake_timeout: Some(HEAD_TIMEOUT),
            accepts_per_iteration: MAX_ADMIN_CONNECTIONS,
            advice,
            ..Config::default()
        };
        Ok(Admin {
            server: Server::new(
                own,
                Http::new(Snapshot::default(), Some(HEAD_TIMEOUT)),
                config,
            ),
            addresses: Vec::new(),
            snapshot_taken: None,
        })
    }

    /// Listens on an address. Returns it, with the port that the kernel has chosen if 0 was given.
    ///
    /// # Errors
    /// See [`Server::listen`].
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let options = ListenOptions {
            backlog: BACKLOG,
            ..ListenOptions::new(address)
        };
        let address = self.server.listen_silently(&options)?;
        self.addresses.push(address);
        Ok(address)
    }

    /// The addresses that it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Runs one iteration; to be called for each event of [`Source::ADMIN`]. `snapshot` is called if the last one is too
    /// old.
    ///
    /// # Errors
    /// The error with which it cannot continue.
    pub fn run(
        &mut self,
        is_draining: bool,
        snapshot: &mut dyn FnMut() -> Snapshot,
    ) -> io::Result<()> {
        let now = self.server.net().now();
        let is_fresh = |taken: Time| now.since(taken) < SNAPSHOT_AGE;
        if !self.snapshot_taken.is_some_and(is_fresh) {
            self.snapshot_taken = Some(now);
            self.server.protocol().set_snapshot(snapshot());
        }
        self.server.protocol().set_draining(is_draining);
        self.server.run_iteration()?;
        let due = self.server.wakes_at();
        self.server.net().wake_at(due)
    }
}

fn advice(shortage: Shortage<'_>) -> String {
    match shortage {
        Shortage::Refused(_) => {
            format!("; the admin listener serves {MAX_ADMIN_CONNECTIONS} clients at a time")
        }
        Shortage::Paused(_) | Shortage::Rate => "; this concerns the admin listener".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Ready;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    /// Runs iterations until the client has received all, up to FIN or to the reset of a refused client.
    fn converse(net: &mut MioNet, admin: &mut Admin, mut client: TcpStream) -> String {
        client.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        let mut ready: Vec<Ready> = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            match client.read(&mut buffer) {
                Ok(0) => return String::from_utf8(received).unwrap(),
                Ok(count) => received.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return String::new();
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            let timeout = Duration::from_millis(1);
            net.wait(Some(timeout), &mut ready).unwrap();
            if !ready.is_empty() {
                admin.run(false, &mut Snapshot::default).unwrap();
            }
        }
    }

    #[test]
    fn requests_are_answered_by_the_events_of_another_network() {
        let mut net = MioNet::new().unwrap();
        let mut admin = Admin::new(&mut net).unwrap();
        let address = admin.listen(([127, 0, 0, 1], 0).into()).unwrap();
        assert_eq!(admin.addresses(), [address]);
        let mut client = TcpStream::connect(address).unwrap();
        let request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        let last = "GET /metrics HTTP/1.0\r\n\r\n";
        client
            .write_all((request.repeat(20) + last).as_bytes())
            .unwrap();
        let received = converse(&mut net, &mut admin, client);
        assert_eq!(received.matches("\r\n\r\nok\n").count(), 20);
        assert!(received.contains("\necholoop_connections_open 0\n"));
    }

    #[test]
    fn only_16_clients_are_served_at_a_time() {
        let mut net = MioNet::new().unwrap();
        let mut admin = Admin::new(&mut net).unwrap();
        let address = admin.listen(([127, 0, 0, 1], 0).into()).unwrap();
        let connect = |_| TcpStream::connect(address).unwrap();
        let clients: Vec<_> = (0..MAX_ADMIN_CONNECTIONS).map(connect).collect();
        let refused = connect(0);
        assert_eq!(converse(&mut net, &mut admin, refused), "");
        let mut first = clients.into_iter().next().unwrap();
        first.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let received = converse(&mut net, &mut admin, first);
        assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{received}");
    }
}
