//! Real client connections: the crate's own, on a reactor of their own, sending on a plan and checking what comes back.

use crate::peer::byte;
use crate::rng::Rng;
use crate::selector::CLIENTS;
use crate::sim_net::{SimNet, address};
use crate::world::{MILLISECOND, SharedWorld};
use echoloop::connection::{CloseReason, Common, Connection, Connections, Driver, Limits};
use echoloop::net::{Key, Readiness, Source, Time};
use echoloop::protocol::{Context, Outbox, Protocol, Session};
use echoloop::reactor::{Handler, Reactor};
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
            let expected = byte(FIRST_ID + self.client as u64, *received);
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
    key: Option<Key>,
    pub wakes_at: u64,
    pub done: Option<CloseReason>,
}

/// The program: a reactor full of clients.
pub struct Clients<const DRAINS: bool> {
    reactor: Connections<SimNet<DRAINS>, Checker>,
    crew: Crew,
}

pub struct Crew {
    driver: Driver<Checker>,
    pub clients: Vec<Client>,
}

impl<const DRAINS: bool> Clients<DRAINS> {
    pub fn new(world: &SharedWorld, rng: &mut Rng, step: u64) -> Self {
        let net = SimNet {
            world: world.clone(),
            host: CLIENTS,
        };
        let clients: Vec<Client> = (0..rng.between(0, 4))
            .map(|_| {
                let total = rng.magnitude((200 * step).min(100_000));
                Client {
                    total,
                    chunk: rng.magnitude(50_000).max(1 + total / 100),
                    pause: rng.magnitude(1_000) * MILLISECOND,
                    source: 1 + rng.index(4) as u8,
                    key: None,
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
        let driver = Driver::new(common);
        Clients {
            reactor: Reactor::new(net, [None; 4], Duration::ZERO),
            crew: Crew { driver, clients },
        }
    }

    /// One turn of the program.
    pub fn turn(&mut self) {
        self.reactor.turn(&mut self.crew).unwrap();
        let now = self.reactor.now().as_nanos();
        for index in 0..self.crew.clients.len() {
            let client = &self.crew.clients[index];
            if client.done.is_none() && client.wakes_at <= now {
                self.crew.act(&mut self.reactor, index);
            }
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
            let from = Some(address(client.source));
            self.driver.common.protocol.opening = index as u64;
            match self.driver.connect(reactor, address(1), from, index as u32) {
                Ok(key) => client.key = Some(key),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => client.done = Some(CloseReason::ConnectFailed),
            }
            return;
        };
        let owed = reactor.find(key).map_or(0, |slot| slot.tenant.owed());
        let (sent, received) = self.driver.common.protocol.counts[index];
        if received == client.total {
            self.close(reactor, key, CloseReason::SessionDone);
        } else if owed == 0 && sent < client.total {
            let chunk = client.chunk.min(client.total - sent);
            let id = FIRST_ID + index as u64;
            let bytes: Vec<u8> = (sent..sent + chunk).map(|at| byte(id, at)).collect();
            self.driver.common.protocol.counts[index].0 += chunk;
            let closed = self
                .driver
                .write(reactor, key, |outbox| outbox.write(&bytes));
            if let Some(reason) = closed {
                self.close(reactor, key, reason);
            }
        }
    }

    fn close<const DRAINS: bool>(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
        reason: CloseReason,
    ) {
        if let Some(closed) = self.driver.close(reactor, key, reason) {
            self.clients[closed.tag as usize].done = Some(reason);
        }
    }
}

impl<const DRAINS: bool> Handler<SimNet<DRAINS>, Connection<CheckerSession>> for Crew {
    fn ready(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Checker>,
        key: Key,
        readiness: Readiness,
    ) {
        if let Some(reason) = self.driver.drive(reactor, key, readiness) {
            self.close(reactor, key, reason);
        }
    }

    fn expired(&mut self, _: &mut Connections<SimNet<DRAINS>, Checker>, _: Key) {
        unreachable!("no deadlines were set");
    }

    fn source_ready(&mut self, _: &mut Connections<SimNet<DRAINS>, Checker>, _: Source) {}

    fn wake_at(&self) -> Option<Time> {
        let waiting = self.clients.iter().filter(|client| client.done.is_none());
        waiting
            .map(|client| Time::from_nanos(client.wakes_at))
            .min()
    }
}
