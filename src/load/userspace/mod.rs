//! Idle connections by [userspace TCP](crate::userspace): none has a socket, a file descriptor or a slot of the event loop.
//!
//! The kernel routes their packets to a [`PacketLink`], one more source of the event loop. The bytes that arrive go through
//! the same session as those of kernel sockets. The first connections of a load are active, with kernel sockets; the
//! idle ones follow, so the number of a connection is its index here plus the number of active ones.

mod ending;
mod idle;

use super::session::{EchoClient, EchoSession};
use super::tester::{Load, Loop, Tester};
use super::{Config, Observer, UserspaceFigures};
use crate::net::{Net, PacketLink, Time};
use crate::protocol::{ConnectionId, Context, Outbox, Session};
use crate::tls::MaybeTls;
use crate::userspace::{Arrival, SendError, UserspaceTcp};
use std::collections::HashMap;
use std::io::ErrorKind;

/// Packets read in one iteration, so that timers and other events are handled in between.
const PACKETS_PER_ITERATION: usize = 1024;

/// The size of the buffer for a packet: of the largest one that IP allows.
const PACKET_BUFFER: usize = 64 * 1024;

/// The connections of a load that are in user space.
pub(super) struct Userspace {
    tcp: UserspaceTcp,
    wire: Wire,
    /// A packet may be there to be read.
    is_readable: bool,
    established: u32,
    /// Connections in a row whose SYN or hello was not answered in time.
    unanswered: u32,
    /// Input that is not consumed yet: the beginning of a reply, by connection.
    partial: HashMap<u32, Vec<u8>>,
    output: Vec<u8>,
    /// For one packet.
    buffer: Vec<u8>,
}

/// The link, and the packets that it has refused.
struct Wire {
    link: Box<dyn PacketLink>,
    refused: u64,
}

impl Wire {
    /// A packet that the link refuses is lost, as in any network.
    fn send(&mut self, packet: &[u8]) {
        self.refused += u64::from(self.link.send(packet).is_err());
    }
}

impl Userspace {
    fn connect(&mut self, connection: u32, now: Time) {
        let wire = &mut self.wire;
        self.tcp
            .connect(connection, now, &mut |packet| wire.send(packet));
    }

    fn send(&mut self, connection: u32, bytes: &[u8], now: Time) -> Result<(), SendError> {
        let wire = &mut self.wire;
        self.tcp
            .send(connection, bytes, now, &mut |packet| wire.send(packet))
    }

    fn reset(&mut self, connection: u32) {
        let wire = &mut self.wire;
        self.tcp.reset(connection, &mut |packet| wire.send(packet));
    }

    /// Reads a packet into `buffer`, at its arrival `now`. None if there is no packet.
    fn receive<'p>(
        &mut self,
        buffer: &'p mut [u8],
        now: impl FnOnce() -> Time,
    ) -> Option<(Time, Option<Arrival<'p>>)> {
        let length = match self.wire.link.receive(buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            // Without an interface, connections time out.
            Err(_) => {
                self.is_readable = false;
                return None;
            }
        };
        let (now, wire) = (now(), &mut self.wire);
        let packet = buffer.get(..length).unwrap_or_default();
        let arrival = self
            .tcp
            .receive(packet, now, &mut |packet| wire.send(packet));
        Some((now, arrival))
    }

    /// The figures of its TCP, and its SYN retransmits.
    pub(super) fn figures(&self) -> (UserspaceFigures, u64) {
        let counters = self.tcp.counters();
        let figures = UserspaceFigures {
            packets_sent: counters.sent.saturating_sub(self.wire.refused),
            packets_received: counters.received,
            retransmitted: counters.retransmits,
            bad_checksums: counters.bad_checksums,
            keepalives_answered: counters.keepalives,
        };
        (figures, counters.syn_retransmits)
    }
}

impl<N: Net, S: Observer> Load<N, S> {
    /// Opens the idle connections by `tcp`, whose packets go through `link`. `tcp` has as many connections as the load
    /// has idle ones. Events of the link are those of [`Source::PACKETS`](crate::net::Source::PACKETS).
    pub fn use_userspace_tcp(&mut self, tcp: UserspaceTcp, link: impl PacketLink + 'static) {
        let tester = &mut self.tester;
        let link = Box::new(link);
        tester.userspace = Some(Box::new(Userspace {
            tcp,
            wire: Wire { link, refused: 0 },
            is_readable: true,
            established: 0,
            unanswered: 0,
            partial: HashMap::new(),
            output: Vec::new(),
            buffer: vec![0; PACKET_BUFFER],
        }));
        if has_replies(&tester.config) {
            let window = tester.config.window;
            tester.connector.use_proofs(window);
        }
    }
}

/// Whether a server replies to a message on an idle connection.
fn has_replies(config: &Config) -> bool {
    use super::script::Part;
    let script = config.script.as_deref();
    script.is_none_or(|script| script.has_reply(Part::Message))
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// Whether this connection is in user space.
    pub(super) fn is_in_userspace(&self, number: u32) -> bool {
        self.userspace.is_some() && number >= self.config.active
    }

    /// The number of connections that are established, or connecting by kernel sockets.
    pub(super) fn held<N: Net>(&self, reactor: &Loop<N, C>) -> usize {
        let userspace = self.userspace.as_ref();
        reactor.len() + userspace.map_or(0, |userspace| userspace.established as usize)
    }

    /// When packets or timers of userspace TCP are to be handled even without an event.
    pub(super) fn userspace_wakes_at(&self) -> Option<Time> {
        let userspace = self.userspace.as_ref()?;
        if userspace.is_readable {
            return Some(Time::ZERO);
        }
        userspace.tcp.next_deadline()
    }

    /// A packet has arrived.
    pub(super) fn on_packets_readable(&mut self) {
        if let Some(userspace) = &mut self.userspace {
            userspace.is_readable = true;
        }
    }

    /// Handles the packets that have arrived, and the timers. Called once per iteration.
    pub(super) fn step_userspace<N: Net>(&mut self, reactor: &mut Loop<N, C>) {
        if let Some(mut userspace) = self.userspace.take() {
            self.receive_packets(&mut userspace, reactor);
            self.expire_userspace(&mut userspace, reactor.net.now());
            self.userspace = Some(userspace);
        }
    }

    fn receive_packets<N: Net>(&mut self, userspace: &mut Userspace, reactor: &mut Loop<N, C>) {
        if !userspace.is_readable {
            return;
        }
        self.waits.count_event();
        let mut buffer = std::mem::take(&mut userspace.buffer);
        for _ in 0..PACKETS_PER_ITERATION {
            let arrival = userspace.receive(&mut buffer, || reactor.net.now());
            let Some((now, arrival)) = arrival else {
                break;
            };
            if let Some(arrival) = arrival {
                self.on_arrival(userspace, arrival, now);
            }
        }
        userspace.buffer = buffer;
    }

    fn expire_userspace(&mut self, userspace: &mut Userspace, now: Time) {
        loop {
            let Userspace { tcp, wire, .. } = userspace;
            let Some((connection, ended)) = tcp.expire(now, &mut |packet| wire.send(packet)) else {
                return;
            };
            let number = self.config.active + connection;
            self.on_userspace_ended(userspace, number, ended, now);
        }
    }

    fn on_arrival(&mut self, userspace: &mut Userspace, arrival: Arrival<'_>, now: Time) {
        let number = self.config.active + arrival.connection;
        if arrival.established {
            self.on_userspace_established(userspace, number, now);
        }
        if !arrival.bytes.is_empty() {
            self.on_userspace_input(userspace, number, arrival.bytes, now);
        }
        if let Some(ended) = arrival.ended {
            self.on_userspace_ended(userspace, number, ended, now);
        }
    }

    /// Calls the session of a connection and sends its output. Returns how much of the input is consumed; none if the
    /// connection has ended.
    fn call_session(
        &mut self,
        userspace: &mut Userspace,
        number: u32,
        call: Call<'_>,
        now: Time,
    ) -> Option<usize> {
        let mut output = std::mem::take(&mut userspace.output);
        let (mut is_open, consumed) = self.run_session(number, call, &mut output, now);
        if is_open && !output.is_empty() {
            let index = number - self.config.active;
            is_open = userspace.send(index, &output, now).is_ok();
        }
        userspace.output = output;
        self.process_userspace_replies(userspace, number, now);
        if !is_open {
            self.end_userspace(userspace, number, now);
        }
        is_open.then_some(consumed)
    }

    /// Calls the session of a connection. Returns whether the connection stays open, and how much of the input is consumed.
    fn run_session<'i>(
        &mut self,
        number: u32,
        call: Call<'i>,
        output: &'i mut Vec<u8>,
        now: Time,
    ) -> (bool, usize) {
        let mut outbox = Outbox::new(output, usize::MAX);
        let id = ConnectionId {
            slot: number,
            serial: 1,
        };
        let context = Context {
            tag: number,
            ..Context::new(id, now, self.client())
        };
        let mut consumed = 0;
        match call {
            Call::Open => EchoSession.open(context, &mut outbox),
            Call::Receive(input) => consumed = EchoSession.receive(input, context, &mut outbox),
            Call::End(rest) => EchoSession.end(rest, context, &mut outbox),
        }
        // Output that is a part of the input is copied.
        outbox.buffer();
        (outbox.is_ordinary(), consumed)
    }
}

/// A method of the session, with its input.
#[derive(Clone, Copy)]
enum Call<'i> {
    Open,
    Receive(&'i [u8]),
    End(&'i [u8]),
}
