//! The client under test: each packet that it receives or sends is checked with the model.

use crate::model::{self, Outcome};
use crate::wire::{ACK, PSH, SYN, Segment};
use echoloop::time::Time;
use echoloop::userspace::{
    Arrival, Ended, Endpoints, MAX_UNACKNOWLEDGED, State, Timers, UserspaceTcp, Variables,
};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The connections of a client under test.
pub const CONNECTIONS: u32 = 4;

pub const TIMERS: Timers = Timers {
    connect: Duration::from_secs(10),
    unacknowledged: Duration::from_secs(20),
};

/// A client, and what the model follows.
pub struct Checked {
    pub tcp: UserspaceTcp,
    pub endpoints: Endpoints,
    pub now: Time,
    /// The bytes of each connection that are not acknowledged.
    in_flight: Vec<Vec<u8>>,
}

/// The server and the first source.
pub fn endpoints(is_ipv6: bool) -> Endpoints {
    let (server, first): (IpAddr, IpAddr) = if is_ipv6 {
        (
            "2001:db8::1".parse().unwrap(),
            "2001:db8:1::2".parse().unwrap(),
        )
    } else {
        ("10.0.0.1".parse().unwrap(), "198.18.0.2".parse().unwrap())
    };
    Endpoints::new(SocketAddr::new(server, 7777), first, 1).unwrap()
}

impl Checked {
    pub fn new(is_ipv6: bool, secret: u64) -> Checked {
        let endpoints = endpoints(is_ipv6);
        Checked {
            tcp: UserspaceTcp::new(endpoints, CONNECTIONS, secret, TIMERS).unwrap(),
            endpoints,
            now: Time::ZERO,
            in_flight: vec![Vec::new(); CONNECTIONS as usize],
        }
    }

    /// A segment of the server to a connection.
    pub fn segment(&self, connection: u32, seq: u32, ack: u32, flags: u8) -> Segment {
        Segment {
            source: self.endpoints.server(),
            destination: self.endpoints.source(connection),
            seq,
            ack,
            flags,
            options: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn parse_sent(&self, connection: u32, packets: &[Vec<u8>]) -> Vec<Segment> {
        let parse = |packet: &Vec<u8>| {
            let segment = Segment::parse(packet).expect("a valid packet");
            assert_eq!(segment.source, self.endpoints.source(connection));
            assert_eq!(segment.destination, self.endpoints.server());
            assert_eq!(
                segment.options.is_empty(),
                segment.flags != SYN,
                "{segment:?}"
            );
            segment
        };
        packets.iter().map(parse).collect()
    }

    fn all_variables(&self) -> Vec<Variables> {
        let all = 0..CONNECTIONS;
        all.map(|connection| self.tcp.variables(connection))
            .collect()
    }

    /// Drops the bytes that are no longer in flight.
    fn follow(&mut self, connection: u32, before: Variables) {
        let after = self.tcp.variables(connection);
        let bytes = &mut self.in_flight[connection as usize];
        let acknowledged = after.snd_una.wrapping_sub(before.snd_una) as usize;
        bytes.drain(..acknowledged.min(bytes.len()));
    }

    /// Opens a connection.
    pub fn connect(&mut self, connection: u32) -> Option<Segment> {
        let before = self.tcp.variables(connection);
        let mut sent = Vec::new();
        let mut send = |packet: &[u8]| sent.push(packet.to_vec());
        self.tcp.connect(connection, self.now, &mut send);
        let sent = self.parse_sent(connection, &sent);
        let after = self.tcp.variables(connection);
        if before.state.is_open() {
            assert_eq!((after, sent), (before, vec![]));
            return None;
        }
        self.in_flight[connection as usize].clear();
        assert_eq!(after.state, State::SynSent);
        assert_eq!(after.snd_nxt, after.snd_una.wrapping_add(1));
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].flags, sent[0].seq), (SYN, after.snd_una));
        sent.into_iter().next()
    }

    /// Sends bytes, if the connection accepts them.
    pub fn send(&mut self, connection: u32, bytes: &[u8]) -> bool {
        let before = self.tcp.variables(connection);
        let mut sent = Vec::new();
        let mut send = |packet: &[u8]| sent.push(packet.to_vec());
        let result = self.tcp.send(connection, bytes, self.now, &mut send);
        let sent = self.parse_sent(connection, &sent);
        let in_flight = &mut self.in_flight[connection as usize];
        let is_valid = before.state == State::Established
            && in_flight.len() + bytes.len() <= MAX_UNACKNOWLEDGED;
        assert_eq!(result.is_ok(), is_valid, "{before:?}");
        if !is_valid || bytes.is_empty() {
            assert_eq!((self.tcp.variables(connection), sent), (before, vec![]));
            return is_valid;
        }
        in_flight.extend(bytes);
        let after = self.tcp.variables(connection);
        let length = u32::try_from(bytes.len()).unwrap();
        let snd_nxt = before.snd_nxt.wrapping_add(length);
        assert_eq!(after, Variables { snd_nxt, ..before });
        // The new bytes only.
        let snd_una = before.snd_nxt;
        let new = Variables { snd_una, ..after };
        assert!(model::is_in_flight(new, &sent, bytes), "{sent:?}");
        assert!(sent.last().is_some_and(|last| last.flags == ACK | PSH));
        true
    }

    /// Closes a connection with FIN.
    pub fn close(&mut self, connection: u32) -> Vec<Segment> {
        let before = self.tcp.variables(connection);
        let mut sent = Vec::new();
        let mut send = |packet: &[u8]| sent.push(packet.to_vec());
        self.tcp.close(connection, self.now, &mut send);
        let sent = self.parse_sent(connection, &sent);
        let after = self.tcp.variables(connection);
        if before.state == State::Established {
            assert_eq!(after.state, State::FinWait1);
            let snd_una = before.snd_nxt;
            let fin = Variables { snd_una, ..after };
            assert!(model::is_in_flight(fin, &sent, &[]), "{sent:?}");
        } else {
            assert_eq!((after, &sent), (before, &vec![]));
        }
        sent
    }

    /// Resets a connection.
    pub fn reset(&mut self, connection: u32) -> Vec<Segment> {
        let before = self.tcp.variables(connection);
        let mut sent = Vec::new();
        let mut send = |packet: &[u8]| sent.push(packet.to_vec());
        self.tcp.reset(connection, &mut send);
        self.follow(connection, before);
        assert_eq!(self.tcp.variables(connection).state, State::Closed);
        let sent = self.parse_sent(connection, &sent);
        assert!(sent.iter().all(|rst| rst.seq == before.snd_nxt));
        sent
    }

    /// Advances time, and retransmits what is due. Each connection with a deadline has the next one later than now.
    pub fn advance(&mut self, duration: Duration) -> Vec<(u32, Ended)> {
        self.now = self.now + duration;
        let mut all = Vec::new();
        loop {
            let before = self.all_variables();
            let mut sent = Vec::new();
            let mut send = |packet: &[u8]| sent.push(packet.to_vec());
            let ended = self.tcp.expire(self.now, &mut send);
            self.check_retransmissions(&before, &sent);
            for connection in 0..CONNECTIONS {
                self.follow(connection, before[connection as usize]);
            }
            let Some((connection, ended)) = ended else {
                break;
            };
            assert!(before[connection as usize].state.is_open());
            assert_eq!(self.tcp.variables(connection).state, State::Closed);
            all.push((connection, ended));
        }
        let next = self.tcp.next_deadline();
        assert!(next.is_none_or(|next| next > self.now));
        assert_eq!(next.is_none(), self.tcp.in_flight() == 0);
        all
    }

    fn check_retransmissions(&self, before: &[Variables], sent: &[Vec<u8>]) {
        for connection in 0..CONNECTIONS {
            let before = before[connection as usize];
            let is_own = |packet: &&Vec<u8>| {
                let segment = Segment::parse(packet).expect("a valid packet");
                segment.source == self.endpoints.source(connection)
            };
            let own: Vec<_> = sent.iter().filter(is_own).cloned().collect();
            let own = self.parse_sent(connection, &own);
            let bytes = &self.in_flight[connection as usize];
            let is_syn = |segment: &Segment| segment.flags == SYN && segment.seq == before.snd_una;
            let is_valid = match before.state {
                State::SynSent => own.len() == 1 && is_syn(&own[0]),
                _ => model::is_in_flight(before, &own, bytes),
            };
            assert!(own.is_empty() || is_valid, "{before:?} {own:?}");
        }
    }

    /// Receives any packet. Returns what the client sent.
    pub fn receive(&mut self, packet: &[u8]) -> (Option<Outcome>, Vec<Segment>) {
        let before = self.all_variables();
        let mut sent = Vec::new();
        let mut send = |packet: &[u8]| sent.push(packet.to_vec());
        let arrival = self.tcp.receive(packet, self.now, &mut send);
        let Some((connection, segment)) = self.addressee(packet) else {
            assert_eq!(
                (arrival, sent, self.all_variables()),
                (None, vec![], before)
            );
            return (None, vec![]);
        };
        let outcome = model::expect(before[connection as usize], &segment);
        let sent = self.parse_sent(connection, &sent);
        let mut expected = before.clone();
        expected[connection as usize] = outcome.after;
        assert_eq!(self.all_variables(), expected, "{segment:?}");
        self.follow(connection, before[connection as usize]);
        check_arrival(connection, &outcome, arrival);
        let in_flight = &self.in_flight[connection as usize];
        let is_allowed = model::is_allowed(&outcome, &sent, in_flight);
        assert!(is_allowed, "{before:?} {segment:?} {outcome:?} {sent:?}");
        let answers_rst = segment.has(crate::wire::RST);
        assert!(!answers_rst || !sent.iter().any(|sent| sent.has(crate::wire::RST)));
        (Some(outcome), sent)
    }

    /// The connection that a packet addresses, if it is valid.
    fn addressee(&self, packet: &[u8]) -> Option<(u32, Segment)> {
        let segment = Segment::parse(packet)?;
        let is_own = |connection: &u32| {
            segment.source == self.endpoints.server()
                && segment.destination == self.endpoints.source(*connection)
        };
        let connection = (0..CONNECTIONS).find(is_own)?;
        Some((connection, segment))
    }
}

fn check_arrival(connection: u32, outcome: &Outcome, arrival: Option<Arrival<'_>>) {
    let expected = Arrival {
        connection,
        established: outcome.established,
        bytes: &outcome.bytes,
        ended: outcome.ended,
    };
    let has_news = outcome.established || !outcome.bytes.is_empty() || outcome.ended.is_some();
    assert_eq!(arrival, has_news.then_some(expected));
}
