//! The client, the network and the server in virtual time.

use crate::checked::TIMERS;
use crate::echo_server::{EchoServer, Settings};
use crate::network::{Faults, Network};
use crate::rng::Rng;
use crate::wire::{ACK, SYN, Segment};
use echoloop::time::Time;
use echoloop::userspace::{Ended, Endpoints, MAX_UNACKNOWLEDGED, Timers, UserspaceTcp};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Longer limits: with many losses in sequence, backed-off retransmissions take long.
const PATIENT: Timers = Timers {
    connect: Duration::from_secs(600),
    unacknowledged: Duration::from_secs(600),
};

/// A connection as the application of the client sees it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub established: u32,
    pub sent: Vec<u8>,
    pub received: Vec<u8>,
    pub ended: Vec<Ended>,
}

pub struct World {
    pub tcp: UserspaceTcp,
    pub server: EchoServer,
    pub seen: Vec<Seen>,
    pub now: Duration,
    /// Whether the kernel of the server drops each SYN, as with a full accept queue.
    pub drops_syn: bool,
    /// SND.NXT and RCV.NXT of the server, from its last segment to each client.
    last: HashMap<SocketAddr, (u32, u32)>,
    to_server: Network,
    to_client: Network,
    rng: Rng,
}

fn time(now: Duration) -> Time {
    Time::ZERO + now
}

impl World {
    pub fn new(
        endpoints: Endpoints,
        connections: u32,
        faults: Faults,
        settings: Settings,
        seed: u64,
    ) -> World {
        let timers = if faults.loss_per_mille > 0 {
            PATIENT
        } else {
            TIMERS
        };
        World {
            tcp: UserspaceTcp::new(endpoints, connections, seed, timers).unwrap(),
            server: EchoServer::new(&endpoints, settings, seed),
            seen: vec![Seen::default(); connections as usize],
            now: Duration::ZERO,
            drops_syn: false,
            last: HashMap::new(),
            to_server: Network::new(faults, seed),
            to_client: Network::new(faults, seed + 1),
            rng: Rng::new(seed + 2),
        }
    }

    pub fn connections(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.seen.len()).unwrap()
    }

    pub fn connect_all(&mut self) {
        for connection in self.connections() {
            let (network, now) = (&mut self.to_server, self.now);
            let mut send = |packet: &[u8]| network.send(packet, now);
            self.tcp.connect(connection, time(now), &mut send);
        }
    }

    /// Sends a message of any length and content.
    pub fn message(&mut self, connection: u32) {
        let length = 1 + self.rng.magnitude(MAX_UNACKNOWLEDGED as u64 - 1);
        let bytes: Vec<u8> = (0..length)
            .map(|_| self.rng.next().to_le_bytes()[0])
            .collect();
        let (network, now) = (&mut self.to_server, self.now);
        let mut send = |packet: &[u8]| network.send(packet, now);
        self.tcp
            .send(connection, &bytes, time(now), &mut send)
            .unwrap();
        self.seen[connection as usize].sent.extend(bytes);
    }

    pub fn close_all(&mut self) {
        for connection in self.connections() {
            let (network, now) = (&mut self.to_server, self.now);
            let mut send = |packet: &[u8]| network.send(packet, now);
            self.tcp.close(connection, time(now), &mut send);
        }
    }

    pub fn reset_all(&mut self) {
        for connection in self.connections() {
            let (network, now) = (&mut self.to_server, self.now);
            let mut send = |packet: &[u8]| network.send(packet, now);
            self.tcp.reset(connection, &mut send);
        }
    }

    /// Advances to the next event, if it is before `end`, and processes it.
    fn step(&mut self, end: Duration) -> bool {
        let client = self.tcp.next_deadline().map(|next| next.since(Time::ZERO));
        let events = [
            client,
            self.server.next_deadline(self.now),
            self.to_server.next_arrival(),
            self.to_client.next_arrival(),
        ];
        let next = events.into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next < end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        self.run_server();
        self.run_client();
        true
    }

    fn run_server(&mut self) {
        while let Some(packet) = self.to_server.receive(self.now) {
            let segment = Segment::parse(&packet).unwrap();
            if segment.flags != SYN {
                self.server.receive(packet);
            } else if self.server.has(segment.source) {
                self.challenge(&segment);
            } else if !self.drops_syn {
                self.server.receive(packet);
            }
            self.poll_server();
        }
        self.poll_server();
    }

    fn poll_server(&mut self) {
        let (network, now, last) = (&mut self.to_client, self.now, &mut self.last);
        self.server.run(now, |packet| {
            let segment = Segment::parse(packet).unwrap();
            let next = segment.seq.wrapping_add(segment.length());
            last.insert(segment.destination, (next, segment.ack));
            network.send(packet, now);
        });
    }

    /// Answers a SYN for a connection that the server has (RFC 5961, section 4): `smoltcp` drops it.
    fn challenge(&mut self, syn: &Segment) {
        let (seq, ack) = self.last[&syn.source];
        let challenge = Segment {
            source: syn.destination,
            destination: syn.source,
            seq,
            ack,
            flags: ACK,
            options: Vec::new(),
            bytes: Vec::new(),
        };
        self.to_client.send(&challenge.packet(), self.now);
    }

    fn run_client(&mut self) {
        let (network, now) = (&mut self.to_server, self.now);
        let mut send = |packet: &[u8]| network.send(packet, now);
        while let Some(packet) = self.to_client.receive(now) {
            let Some(arrival) = self.tcp.receive(&packet, time(now), &mut send) else {
                continue;
            };
            let seen = &mut self.seen[arrival.connection as usize];
            seen.established += u32::from(arrival.established);
            seen.received.extend(arrival.bytes);
            seen.ended.extend(arrival.ended);
        }
        while let Some((connection, ended)) = self.tcp.expire(time(now), &mut send) {
            self.seen[connection as usize].ended.push(ended);
        }
    }

    /// Runs for `duration`.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Runs until the condition is true; fails if it is not after an hour.
    pub fn run_until(&mut self, what: &str, condition: impl Fn(&World) -> bool) {
        let end = self.now + Duration::from_secs(3600);
        while !condition(self) {
            assert!(self.step(end), "{what}: {:?}", self.tcp.counters());
        }
    }

    pub fn all(&self, condition: impl Fn(&Seen) -> bool) -> bool {
        self.seen.iter().all(condition)
    }

    pub fn run_until_established(&mut self) {
        self.run_until("established", |world| {
            world.all(|seen| seen.established == 1)
        });
    }

    pub fn run_until_echoed(&mut self) {
        self.run_until("echoed", |world| {
            let is_echoed = |seen: &Seen| seen.received.len() >= seen.sent.len();
            world.all(is_echoed) && world.tcp.in_flight() == 0
        });
        for (connection, seen) in self.seen.iter().enumerate() {
            assert!(seen.received == seen.sent, "{connection}");
        }
    }
}
