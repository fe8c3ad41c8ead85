//! The crate's client connections on a second reactor: each sends by a plan and verifies its echo.

use crate::network::{MILLISECOND, SharedNetwork};
use crate::peer::pattern_byte;
use crate::rng::Rng;
use crate::selector::CLIENTS;
use crate::sim_net::{SimNet, address};
use echoloop::connection::{
    Classes, CloseReason, Closed, Common, Connections, Driver, Limits, Owner, Timeouts,
};
use echoloop::net::{Key, Time};
use echoloop::protocol::{Context, Outbox, Protocol, Session};
use echoloop::reactor::{Reactor, TICK};
use std::time::Duration;

/// Clients are numbered from here, so that their bytes differ from those of all peers.
pub const FIRST_ID: u64 = 1000;

/// Verifies the echoes of all clients.
#[derive(Debug, Default)]
pub struct Checker {
    /// Bytes sent and received, by client.
    pub counts: Vec<(u64, u64)>,
    /// The client whose connection is opened next.
    pub next_client: u64,
}

#[derive(Debug)]
pub struct CheckerSession {
    client: usize,
}

impl Protocol for Checker {
    type Session = CheckerSession;

    fn name(&self) -> &'static str {
        "checker"
    }

    fn session(&mut self) -> CheckerSession {
        let client = usize::try_from(self.next_client).unwrap();
        CheckerSession { client }
    }
}

impl Session for CheckerSession {
    type Shared = Checker;

    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, Checker>,
        _: &mut Outbox<'_>,
    ) -> usize {
        let (sent, received) = &mut context.shared.counts[self.client];
        for &byte in input {
            assert!(
                received < sent,
                "client {} received more than it sent",
                self.client
            );
            let expected = pattern_byte(FIRST_ID + self.client as u64, *received);
            assert_eq!(byte, expected, "client {}, byte {received}", self.client);
            *received += 1;
        }
        input.len()
    }
}

/// The plan and the progress of a client.
#[derive(Debug)]
pub struct Client {
    total: u64,
    chunk: u64,
    pause: u64,
    source: u8,
    /// Whether it sends FIN after its last byte and still receives.
    half_closes: bool,
    /// Whether it writes before its connection is established.
    writes_while_connecting: bool,
    key: Option<Key>,
    connecting_since: Time,
    /// How many more failed connects are retried.
    retries: u64,
    pub wakes_at: u64,
    pub done: Option<CloseReason>,
}

/// The client program: a reactor with all clients.
pub struct Clients<const DRAINS: bool> {
    network: SharedNetwork,
    reactor: Connections<SimNet<DRAINS>, Checker>,
    owner: ClientOwner,
}

pub struct ClientOwner {
    driver: Driver<Checker>,
    connect_timeout: Duration,
    pub clients: Vec<Client>,
}

impl<const DRAINS: bool> Clients<DRAINS> {
    pub fn new(network: &SharedNetwork, rng: &mut Rng, most: u64, step: u64) -> Self {
        let net = SimNet {
            network: network.clone(),
            host: CLIENTS,
        };
        let clients: Vec<Client> = (0..rng.between(0, most))
            .map(|_| {
                let total = rng.magnitude((200 * step).min(100_000));
                Client {
                    total,
                    chunk: rng.magnitude(50_000).max(1 + total / 100),
                    pause: rng.magnitude(1_000) * MILLISECOND,
                    source: 1 + rng.index(4) as u8,
                    half_closes: rng.chance(300),
                    writes_while_connecting: rng.chance(500),
                    key: None,
                    connecting_since: Time::ZERO,
                    retries: rng.between(0, 3),
                    wakes_at: rng.magnitude(5_000) * MILLISECOND,
                    done: None,
                }
            })
            .collect();
        let checker = Checker {
            counts: vec![(0, 0); clients.len()],
            next_client: 0,
        };
        let common = Common::new(checker, Limits::default(), 1 << 30);
        let connect_timeout = Duration::from_millis(rng.between(100, 10_000));
        // At its deadline a connection is driven once more, and may be established by then.
        let nanoseconds = u64::try_from(connect_timeout.as_nanos()).unwrap();
        let mut shared = network.borrow_mut();
        shared.least_timeout = shared.least_timeout.min(nanoseconds);
        drop(shared);
        let timeouts = Timeouts {
            connect: Some(connect_timeout),
            ..Timeouts::default()
        };
        Clients {
            network: network.clone(),
            reactor: Reactor::new(net, timeouts.by_class(), Duration::ZERO),
            owner: ClientOwner {
                driver: Driver::new(common),
                connect_timeout,
                clients,
            },
        }
    }

    /// Runs one iteration, then every client that is due.
    pub fn run_iteration(&mut self) {
        self.refuse_memory();
        self.owner.run_iteration(&mut self.reactor).unwrap();
        let now = self.reactor.now().as_nanos();
        for index in 0..self.owner.clients.len() {
            let client = &self.owner.clients[index];
            if client.done.is_none() && client.wakes_at <= now {
                self.owner.act(&mut self.reactor, index);
            }
        }
    }

    fn refuse_memory(&mut self) {
        let mut network = self.network.borrow_mut();
        let chances = [
            network.faults.buffer_alloc_fails,
            network.faults.queue_alloc_fails,
        ];
        let [buffers, queue_entries] = chances.map(|chance| network.fault(chance));
        self.owner.driver.common.pool.refuse(buffers);
        self.reactor.set_out_of_memory(queue_entries);
    }

    /// Checks that no client is connecting for longer than the connect timeout. To be called when the program sleeps.
    pub fn check_connecting(&mut self) {
        let network = self.network.borrow();
        let late = Duration::from_millis(network.faults.late_wake_ms + 1) + TICK;
        let now = Time::from_nanos(network.now);
        for client in &self.owner.clients {
            let slot = client.key.and_then(|key| self.reactor.find(key));
            let is_connecting = slot.is_some_and(|slot| slot.class() == Classes::CONNECT);
            let waited = now.since(client.connecting_since);
            assert!(
                !is_connecting || waited <= self.owner.connect_timeout + late,
                "connecting for {waited:?}: {client:?}"
            );
        }
    }

    pub fn are_done(&self) -> bool {
        self.owner
            .clients
            .iter()
            .all(|client| client.done.is_some())
    }

    /// Whether every client has received its complete echo, or its connection was refused or timed out. True unless the
    /// server was stopped. Echoes were verified as they arrived.
    pub fn received_all(&self) -> bool {
        let counts = self.owner.driver.common.protocol.counts.iter();
        let mut clients = self.owner.clients.iter().zip(counts);
        clients.all(|(client, (_, received))| client.done.is_some() || *received == client.total)
    }
}

impl ClientOwner {
    fn act<const DRAINS: bool>(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        index: usize,
    ) {
        let client = &mut self.clients[index];
        client.wakes_at = reactor.now().as_nanos() + client.pause + MILLISECOND;
        let Some(key) = client.key else {
            self.connect(reactor, index);
            return;
        };
        let Some(slot) = reactor.find(key) else {
            return;
        };
        let is_connecting = slot.tenant.class() == Classes::CONNECT;
        if is_connecting && !client.writes_while_connecting {
            return;
        }
        // A client that writes while connecting does not wait for its output to be sent.
        let can_write = is_connecting || slot.tenant.pending_output(&self.driver.common.pool) == 0;
        let (sent, received) = self.driver.common.protocol.counts[index];
        let is_half_closing = client.half_closes && sent == client.total;
        if received == client.total && !is_half_closing {
            self.close(reactor, key, CloseReason::SessionDone);
        } else if is_half_closing {
            if let Some(reason) = self.driver.half_close(reactor, key) {
                self.close(reactor, key, reason);
            }
        } else if can_write && sent < client.total {
            let chunk = client.chunk.min(client.total - sent);
            let id = FIRST_ID + index as u64;
            let bytes: Vec<u8> = (sent..sent + chunk)
                .map(|at| pattern_byte(id, at))
                .collect();
            self.driver.common.protocol.counts[index].0 += chunk;
            self.write(reactor, key, |outbox| outbox.write(&bytes));
        }
    }

    /// Starts to connect; an immediate failure is retried later.
    fn connect<const DRAINS: bool>(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        index: usize,
    ) {
        let from = Some(address(self.clients[index].source));
        self.driver.common.protocol.next_client = index as u64;
        let started = self.driver.connect(reactor, address(1), from, index as u32);
        self.clients[index].key = started.ok();
        self.clients[index].connecting_since = reactor.now();
    }

    /// A connection was closed. A failed connect is retried a few times.
    fn on_closed(&mut self, index: usize, reason: CloseReason) {
        let client = &mut self.clients[index];
        let has_failed = matches!(
            reason,
            CloseReason::ConnectFailed | CloseReason::ConnectTimeout
        );
        if has_failed && client.retries > 0 {
            client.retries -= 1;
            client.key = None;
            // Output that waited for the connection was dropped with it.
            self.driver.common.protocol.counts[index] = (0, 0);
        } else {
            client.done = Some(reason);
        }
    }

    /// Checks that the server's FIN to a half-closed client follows the complete echo, unless the server is stopping.
    fn check_echo_before_fin<const DRAINS: bool>(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
    ) {
        let Some(slot) = reactor.find(key) else {
            return;
        };
        let counts = &self.driver.common.protocol.counts;
        let must_receive_all = slot.stream.must_receive_all();
        for (client, (sent, received)) in self.clients.iter().zip(counts) {
            let is_closing = client.key == Some(key);
            assert!(
                !is_closing || !must_receive_all || sent == received,
                "FIN before the complete echo: {client:?}"
            );
        }
    }
}

impl<const DRAINS: bool> Owner<SimNet<DRAINS>, Checker> for ClientOwner {
    fn driver(&mut self) -> &mut Driver<Checker> {
        &mut self.driver
    }

    fn timed_out(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
        reason: CloseReason,
    ) -> Option<CloseReason> {
        if reason == CloseReason::ConnectTimeout {
            let mut clients = self.clients.iter();
            let client = clients.find(|client| client.key == Some(key));
            let waited = client.map(|client| reactor.now().since(client.connecting_since));
            assert!(
                waited >= Some(self.connect_timeout),
                "timed out too early: {client:?}"
            );
        }
        Some(reason)
    }

    fn closing(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
        reason: CloseReason,
    ) {
        if reason == CloseReason::PeerClosed {
            self.check_echo_before_fin(reactor, key);
        }
        if reason == CloseReason::ConnectFailed {
            let failed = reactor.find(key).is_some_and(|slot| slot.stream.is_over());
            assert!(failed, "closed as failed without an error");
        }
    }

    fn closed(&mut self, _: &mut Connections<SimNet<DRAINS>, Checker>, _: Key, closed: Closed) {
        self.on_closed(closed.tag as usize, closed.reason);
    }

    fn wake_at(&self) -> Option<Time> {
        let waiting = self.clients.iter().filter(|client| client.done.is_none());
        waiting
            .map(|client| Time::from_nanos(client.wakes_at))
            .min()
    }
}
