//! The crate's client connections with the layer, on a second reactor: writes and half-closes before the handshake has
//! completed, and at any time after.

use super::peer::retry_pause;
use super::{Layer, Role, Settings};
use crate::clients::{Checker, FIRST_ID};
use crate::network::{MILLISECOND, SharedNetwork};
use crate::peer::pattern_byte;
use crate::rng::Rng;
use crate::selector::CLIENTS;
use crate::sim_net::{SimNet, address};
use echoloop::connection::{
    Classes, CloseReason, Closed, Common, Connections, Driver, Limits, Owner, Timeouts,
};
use echoloop::net::{Key, Time};
use echoloop::reactor::Reactor;
use std::time::Duration;

/// The plan and the progress of a client.
#[derive(Debug)]
struct Client {
    total: u64,
    chunk: u64,
    pause: u64,
    half_closes: bool,
    /// Whether it writes before its connection is established.
    writes_early: bool,
    key: Option<Key>,
    wakes_at: u64,
    /// How often the server has refused the connection.
    refusals: u32,
    /// It has sent FIN, or queued it.
    has_half_closed: bool,
    done: Option<CloseReason>,
}

/// The client program: a reactor with all clients.
pub struct LayerClients<const DRAINS: bool> {
    reactor: Connections<SimNet<DRAINS>, Layer<Checker>>,
    owner: ClientOwner,
}

struct ClientOwner {
    driver: Driver<Layer<Checker>>,
    network: SharedNetwork,
    clients: Vec<Client>,
    /// Nothing but their plans ends the connections of these clients.
    is_protected: bool,
}

impl<const DRAINS: bool> LayerClients<DRAINS> {
    pub fn new(
        network: &SharedNetwork,
        rng: &mut Rng,
        settings: Settings,
        most: u64,
        is_protected: bool,
    ) -> Self {
        let net = SimNet {
            network: network.clone(),
            host: CLIENTS,
        };
        let clients = (0..rng.between(0, most)).map(|_| {
            let total = rng.magnitude(20_000);
            Client {
                total,
                chunk: rng.magnitude(10_000).max(1 + total / 50),
                pause: rng.magnitude(1_000) * MILLISECOND,
                half_closes: rng.chance(600),
                writes_early: rng.chance(700),
                key: None,
                wakes_at: rng.magnitude(5_000) * MILLISECOND,
                refusals: 0,
                has_half_closed: false,
                done: None,
            }
        });
        let clients: Vec<Client> = clients.collect();
        let checker = Checker {
            counts: vec![(0, 0); clients.len()],
            next_client: 0,
        };
        let layer = Layer::new(checker, Role::Client, settings);
        let timeouts = Timeouts {
            connect: Some(Duration::from_secs(30)),
            ..Timeouts::default()
        };
        // A client that has output pending still reads; otherwise both sides may wait for the other to read.
        let limits = Limits {
            max_pending: 1 << 20,
            ..Limits::default()
        };
        LayerClients {
            reactor: Reactor::new(net, timeouts.by_class(), Duration::ZERO),
            owner: ClientOwner {
                driver: Driver::new(Common::new(layer, limits, 1 << 30)),
                network: network.clone(),
                clients,
                is_protected,
            },
        }
    }

    /// Runs one iteration, then every client that is due.
    pub fn run_iteration(&mut self) {
        self.owner.run_iteration(&mut self.reactor).unwrap();
        let now = self.reactor.now().as_nanos();
        for index in 0..self.owner.clients.len() {
            let client = &self.owner.clients[index];
            if client.done.is_none() && client.wakes_at <= now {
                self.owner.act(&mut self.reactor, index);
            }
        }
    }

    pub fn are_done(&self) -> bool {
        let mut clients = self.owner.clients.iter();
        clients.all(|client| client.done.is_some())
    }

    /// Fails unless every client is done.
    pub fn check_done(&self) {
        let clients = self.owner.clients.iter().enumerate();
        let not_served = clients.filter(|(_, client)| client.done.is_none());
        let not_served: Vec<_> = not_served
            .map(|(index, client)| (client, self.owner.counts(index)))
            .collect();
        assert!(not_served.is_empty(), "not served: {not_served:?}");
    }
}

impl ClientOwner {
    /// Bytes sent and received by a client.
    fn counts(&self, index: usize) -> (u64, u64) {
        self.driver.common.protocol.inner.counts[index]
    }

    fn act<const DRAINS: bool>(
        &mut self,
        reactor: &mut Connections<SimNet<DRAINS>, Layer<Checker>>,
        index: usize,
    ) {
        let client = &mut self.clients[index];
        client.wakes_at = reactor.now().as_nanos() + client.pause + MILLISECOND;
        let Some(key) = client.key else {
            self.driver.common.protocol.inner.next_client = index as u64;
            let started = self.driver.connect(reactor, address(1), None, index as u32);
            let client = &mut self.clients[index];
            client.key = started.ok();
            if client.writes_early && client.key.is_some() {
                client.wakes_at = reactor.now().as_nanos() + 1;
            }
            return;
        };
        let Some(slot) = reactor.find(key) else {
            return;
        };
        let class = slot.tenant.class();
        let is_early = class == Classes::CONNECT || class == Classes::HANDSHAKE;
        if is_early && !client.writes_early {
            return;
        }
        let can_write = is_early || slot.tenant.pending_output(&self.driver.common.pool) == 0;
        let (sent, received) = self.driver.common.protocol.inner.counts[index];
        if client.half_closes && sent == client.total {
            client.has_half_closed = true;
            if let Some(reason) = self.driver.half_close(reactor, key) {
                self.close(reactor, key, reason);
            }
        } else if received == client.total && sent == client.total && !is_early {
            self.close(reactor, key, CloseReason::SessionDone);
        } else if can_write && sent < client.total {
            let chunk = client.chunk.min(client.total - sent);
            let id = FIRST_ID + index as u64;
            let bytes: Vec<u8> = (sent..sent + chunk)
                .map(|at| pattern_byte(id, at))
                .collect();
            self.driver.common.protocol.inner.counts[index].0 += chunk;
            let is_open = self.write(reactor, key, |outbox| outbox.write(&bytes));
            let client = &mut self.clients[index];
            if is_open && is_early && client.half_closes && sent + chunk == client.total {
                client.has_half_closed = true;
                if let Some(reason) = self.driver.half_close(reactor, key) {
                    self.close(reactor, key, reason);
                }
            }
        }
    }
}

impl<const DRAINS: bool> Owner<SimNet<DRAINS>, Layer<Checker>> for ClientOwner {
    fn driver(&mut self) -> &mut Driver<Layer<Checker>> {
        &mut self.driver
    }

    /// A connection that the server has refused is tried again. Another one ends after its complete echo.
    fn closed(
        &mut self,
        _: &mut Connections<SimNet<DRAINS>, Layer<Checker>>,
        _: Key,
        closed: Closed,
    ) {
        let index = closed.tag as usize;
        let (sent, received) = self.counts(index);
        let is_stopping = self.network.borrow().stopping;
        let client = &mut self.clients[index];
        let is_complete = (sent, received) == (client.total, client.total);
        let expected = if client.has_half_closed {
            CloseReason::PeerClosed
        } else {
            CloseReason::SessionDone
        };
        if is_stopping || (is_complete && closed.reason == expected) {
            client.done = Some(closed.reason);
        } else if received == 0 && (self.is_protected || client.refusals < 8) {
            // Otherwise the timeouts of the server may be shorter than the pauses of the client, again and again.
            client.key = None;
            client.refusals += 1;
            client.wakes_at += retry_pause(client.refusals);
            client.has_half_closed = false;
            self.driver.common.protocol.inner.counts[index] = (0, 0);
        } else {
            assert!(!self.is_protected, "{:?}: {client:?}", closed.reason);
            client.done = Some(closed.reason);
        }
    }

    fn wake_at(&self) -> Option<Time> {
        let waiting = self.clients.iter().filter(|client| client.done.is_none());
        let times = waiting.map(|client| Time::from_nanos(client.wakes_at));
        times.min()
    }
}
