//! Real client connections: the crate's own, on a reactor of their own, sending on a plan and checking what comes back.

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

/// Numbers of clients begin here, so that their bytes are not those of any peer.
const FIRST_ID: u64 = 1000;

/// Checks what comes back on all connections of a program.
#[derive(Debug, Default)]
pub struct Checker {
    /// By client: bytes sent and bytes received.
    counts: Vec<(u64, u64)>,
    opening: u64,
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
        let client = usize::try_from(self.opening).unwrap();
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
        for &got in input {
            assert!(
                received < sent,
                "client {} got more than it sent",
                self.client
            );
            let expected = pattern_byte(FIRST_ID + self.client as u64, *received);
            assert_eq!(got, expected, "client {}, byte {received}", self.client);
            *received += 1;
        }
        input.len()
    }
}

/// One client's plan, and how far it is.
#[derive(Debug)]
pub struct Client {
    total: u64,
    chunk: u64,
    pause: u64,
    source: u8,
    /// It sends FIN behind its last byte, and listens on.
    half_closes: bool,
    /// It speaks before its connection stands.
    speaks_early: bool,
    key: Option<Key>,
    /// When the connection was begun, and how often that may still fail.
    begun_at: Time,
    attempts: u64,
    pub wakes_at: u64,
    pub done: Option<CloseReason>,
}

/// The program: a reactor full of clients.
pub struct Clients<const DRAINS: bool> {
    network: SharedNetwork,
    reactor: Connections<SimNet<DRAINS>, Checker>,
    crew: Crew,
}

pub struct Crew {
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
                    speaks_early: rng.chance(500),
                    key: None,
                    begun_at: Time::ZERO,
                    attempts: rng.between(0, 3),
                    wakes_at: rng.magnitude(5_000) * MILLISECOND,
                    done: None,
                }
            })
            .collect();
        let checker = Checker {
            counts: vec![(0, 0); clients.len()],
            opening: 0,
        };
        let common = Common::new(checker, Limits::default(), 1 << 30);
        let connect_timeout = Duration::from_millis(rng.between(100, 10_000));
        // At its deadline a connection is tried once more, and may turn out to be established.
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
            crew: Crew {
                driver: Driver::new(common),
                connect_timeout,
                clients,
            },
        }
    }

    /// One turn of the program.
    pub fn turn(&mut self) {
        self.refuse_memory();
        self.crew.run_iteration(&mut self.reactor).unwrap();
        let now = self.reactor.now().as_nanos();
        for index in 0..self.crew.clients.len() {
            let client = &self.crew.clients[index];
            if client.done.is_none() && client.wakes_at <= now {
                self.crew.act(&mut self.reactor, index);
            }
        }
    }

    fn refuse_memory(&mut self) {
        let mut network = self.network.borrow_mut();
        let chances = [
            network.faults.buffer_alloc_fails,
            network.faults.queue_alloc_fails,
        ];
        let [memory, places] = chances.map(|chance| network.fault(chance));
        self.crew.driver.common.pool.refuse(memory);
        self.reactor.refuse(places);
    }

    /// Nobody waits longer for a connection to stand than he may. To be called when the program sleeps.
    pub fn check_connecting(&mut self) {
        let network = self.network.borrow();
        let late = Duration::from_millis(network.faults.late_wake_ms + 1) + TICK;
        let now = Time::from_nanos(network.now);
        for client in &self.crew.clients {
            let slot = client.key.and_then(|key| self.reactor.find(key));
            let connects = slot.is_some_and(|slot| slot.class() == Classes::CONNECT);
            let waited = now.since(client.begun_at);
            assert!(
                !connects || waited <= self.crew.connect_timeout + late,
                "has waited {waited:?} for a connection: {client:?}"
            );
        }
    }

    pub fn are_done(&self) -> bool {
        self.crew.clients.iter().all(|client| client.done.is_some())
    }

    /// What holds for each when nothing was asked to stop: it has got back all that it sent, or was refused or timed
    /// out; then what it had got was checked as it came.
    pub fn received_all(&self) -> bool {
        let counts = self.crew.driver.common.protocol.counts.iter();
        let mut clients = self.crew.clients.iter().zip(counts);
        clients.all(|(client, (_, received))| client.done.is_some() || *received == client.total)
    }
}

impl Crew {
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
        let connects = slot.tenant.class() == Classes::CONNECT;
        if connects && !client.speaks_early {
            return;
        }
        // One that speaks early goes on to speak, whether it is heard or not.
        let may_speak = connects || slot.tenant.pending_output(&self.driver.common.pool) == 0;
        let (sent, received) = self.driver.common.protocol.counts[index];
        let says_no_more = client.half_closes && sent == client.total;
        if received == client.total && !says_no_more {
            self.close(reactor, key, CloseReason::SessionDone);
        } else if says_no_more {
            if let Some(reason) = self.driver.half_close(reactor, key) {
                self.close(reactor, key, reason);
            }
        } else if may_speak && sent < client.total {
            let chunk = client.chunk.min(client.total - sent);
            let id = FIRST_ID + index as u64;
            let bytes: Vec<u8> = (sent..sent + chunk)
                .map(|at| pattern_byte(id, at))
                .collect();
            self.driver.common.protocol.counts[index].0 += chunk;
            self.write(reactor, key, |outbox| outbox.write(&bytes));
        }
    }

    /// Begins to connect; if that fails at once, it is tried again later.
    fn connect<const DRAINS: bool>(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        index: usize,
    ) {
        let from = Some(address(self.clients[index].source));
        self.driver.common.protocol.opening = index as u64;
        let begun = self.driver.connect(reactor, address(1), from, index as u32);
        self.clients[index].key = begun.ok();
        self.clients[index].begun_at = reactor.now();
    }

    /// A connection has ended. One that never stood is begun anew, a few times.
    fn ended(&mut self, index: usize, reason: CloseReason) {
        let client = &mut self.clients[index];
        let never_stood = matches!(
            reason,
            CloseReason::ConnectFailed | CloseReason::ConnectTimeout
        );
        if never_stood && client.attempts > 0 {
            client.attempts -= 1;
            client.key = None;
            // What was said waited for a connection, and has gone with it.
            self.driver.common.protocol.counts[index] = (0, 0);
        } else {
            client.done = Some(reason);
        }
    }

    /// The server's FIN to one that half-closed comes behind all that it sent, unless the server is stopping.
    fn check_end<const DRAINS: bool>(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
    ) {
        let Some(slot) = reactor.find(key) else {
            return;
        };
        let counts = &self.driver.common.protocol.counts;
        let is_to_get_all = slot.stream.must_receive_all();
        for (client, (sent, received)) in self.clients.iter().zip(counts) {
            let is_it = client.key == Some(key);
            assert!(
                !is_it || !is_to_get_all || sent == received,
                "not all came back: {client:?}"
            );
        }
    }
}

impl<const DRAINS: bool> Owner<SimNet<DRAINS>, Checker> for Crew {
    fn driver(&mut self) -> &mut Driver<Checker> {
        &mut self.driver
    }

    fn timed_out(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
        reason: CloseReason,
    ) {
        if reason == CloseReason::ConnectTimeout {
            let mut clients = self.clients.iter();
            let client = clients.find(|client| client.key == Some(key));
            let waited = client.map(|client| reactor.now().since(client.begun_at));
            assert!(
                waited >= Some(self.connect_timeout),
                "timed out too early: {client:?}"
            );
        }
        self.close(reactor, key, reason);
    }

    fn closing(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
        reason: CloseReason,
    ) {
        if reason == CloseReason::PeerClosed {
            self.check_end(reactor, key);
        }
        if reason == CloseReason::ConnectFailed {
            let failed = reactor.find(key).is_some_and(|slot| slot.stream.is_over());
            assert!(failed, "closed as failed although nothing was wrong");
        }
    }

    fn closed(&mut self, _: &mut Connections<SimNet<DRAINS>, Checker>, _: Key, closed: Closed) {
        self.ended(closed.tag as usize, closed.reason);
    }

    fn wake_at(&self) -> Option<Time> {
        let waiting = self.clients.iter().filter(|client| client.done.is_none());
        waiting
            .map(|client| Time::from_nanos(client.wakes_at))
            .min()
    }
}
