//! A TCP client in user space (RFC 9293) for very many idle connections: packets in, packets out.
//!
//! A connection is 8 bytes. Its address, port and initial sequence number follow from its index. What is in flight
//! (a SYN, unacknowledged bytes, a FIN) has further state until it is acknowledged. There is no clock, no file
//! descriptor and no thread here: time is an argument, and packets go through a function of the caller.
//!
//! Limits: at most [`MAX_UNACKNOWLEDGED`] bytes in flight on a connection, no reassembly (segments that arrive early
//! are dropped, and the peer retransmits them), no window scaling, no selective acknowledgments, no timestamps.
//!
//! A reading path: [`receive`](UserspaceTcp::receive) follows the order of RFC 9293, section 3.10.7.

mod acceptable;
mod counters;
mod endpoints;
mod in_flight;
mod output;
mod packet;
mod receive;
mod sequence;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod unacknowledged;

pub use counters::Counters;
pub use endpoints::{DifferentFamilies, Endpoints, PORTS_PER_ADDRESS};
pub use table::State;
pub use types::{Arrival, Ended, SendError, Timers, Variables};

pub use crate::memory::OutOfMemory;
use crate::time::Time;
use in_flight::InFlight;
use packet::Emitter;
use table::{Connection, MAX_OFFSET};

/// The most unacknowledged bytes of a connection: one segment of an MTU of 1,280 bytes and less.
pub const MAX_UNACKNOWLEDGED: usize = 1200;

/// A function that sends a packet.
pub type SendPacket<'a> = &'a mut dyn FnMut(&[u8]);

/// A TCP client with a fixed number of connections to one server.
#[derive(Debug)]
pub struct UserspaceTcp {
    endpoints: Endpoints,
    secret: u64,
    timers: Timers,
    connections: Vec<Connection>,
    in_flight: InFlight,
    /// The most bytes of a segment: the smallest MSS of the server.
    max_segment_size: usize,
    emitter: Emitter,
    counters: Counters,
}

impl UserspaceTcp {
    /// A client with this number of connections, all closed: at most the capacity of `endpoints`. `secret` makes the
    /// initial sequence numbers hard to guess (RFC 6528).
    ///
    /// # Errors
    ///
    /// If there is no memory for 8 bytes per connection.
    pub fn new(
        endpoints: Endpoints,
        connections: u32,
        secret: u64,
        timers: Timers,
    ) -> Result<UserspaceTcp, OutOfMemory> {
        debug_assert!(u64::from(connections) <= endpoints.capacity());
        Ok(UserspaceTcp {
            endpoints,
            secret,
            timers,
            connections: table::new_table(connections)?,
            in_flight: InFlight::default(),
            max_segment_size: MAX_UNACKNOWLEDGED,
            emitter: Emitter::new(endpoints),
            counters: Counters::default(),
        })
    }

    /// Sends the SYN of a connection. No effect if the connection is open; after its end it can be opened again.
    pub fn connect(&mut self, connection: u32, now: Time, send: SendPacket<'_>) {
        if self.entry(connection).state().is_open() {
            return;
        }
        // The FIN of LAST-ACK may be in flight.
        self.end(connection);
        let entry = self.entry_mut(connection);
        // The sequence numbers continue after those of the previous connection of the same address and port.
        if entry.offset() > MAX_OFFSET / 2 {
            entry.set_offset(0);
        }
        entry.set_state(State::SynSent);
        let limit = self.timers.connect;
        self.in_flight.entry(connection, now, limit).syn = true;
        self.send_syn(connection, send);
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// If the connection is not established, or too many of its bytes are unacknowledged.
    pub fn send(
        &mut self,
        connection: u32,
        bytes: &[u8],
        now: Time,
        send: SendPacket<'_>,
    ) -> Result<(), SendError> {
        if !self.is_established(connection) {
            return Err(SendError::NotEstablished);
        }
        let unacknowledged = self.in_flight.length(connection) as usize;
        if unacknowledged + bytes.len() > MAX_UNACKNOWLEDGED {
            return Err(SendError::TooMuch);
        }
        // Enough remains for these bytes, a FIN and the SYN of the next connection.
        if self.entry(connection).offset() as usize + 2 * MAX_UNACKNOWLEDGED > MAX_OFFSET as usize {
            return Err(SendError::Exhausted);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let limit = self.timers.unacknowledged;
        let in_flight = self.in_flight.entry(connection, now, limit);
        in_flight.bytes.extend_from_slice(bytes);
        self.send_in_flight(connection, unacknowledged, send);
        Ok(())
    }

    /// Retransmits what is due. Returns a connection that ended by a timeout; `None`: nothing more is due.
    pub fn expire(&mut self, now: Time, send: SendPacket<'_>) -> Option<(u32, Ended)> {
        while let Some(connection) = self.in_flight.due(now) {
            let in_flight = self.in_flight.of(connection);
            if in_flight.is_some_and(|in_flight| in_flight.has_timed_out(now)) {
                if let Some(ended) = self.give_up(connection) {
                    return Some((connection, ended));
                }
            } else {
                self.retransmit(connection, send);
                self.in_flight.back_off(connection, now);
            }
        }
        None
    }

    fn give_up(&mut self, connection: u32) -> Option<Ended> {
        let state = self.entry(connection).state();
        self.end(connection);
        match state {
            State::SynSent => Some(Ended::TimedOut),
            State::FinWait2 => Some(Ended::Closed),
            State::LastAck => None,
            _ => Some(Ended::Unacknowledged),
        }
    }

    /// When [`expire`](UserspaceTcp::expire) has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.in_flight.next_deadline()
    }

    /// Whether the connection is established, and neither side has sent FIN.
    #[must_use]
    pub fn is_established(&self, connection: u32) -> bool {
        self.entry(connection).state() == State::Established
    }

    /// The number of connections with an unacknowledged SYN, unacknowledged bytes or an unfinished close.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Resets a connection with RST. No end is reported.
    pub fn reset(&mut self, connection: u32, send: SendPacket<'_>) {
        let state = self.entry(connection).state();
        // RFC 9293, section 3.10.5: no RST in SYN-SENT, and none after both sides have sent FIN.
        if matches!(
            state,
            State::Established | State::FinWait1 | State::FinWait2
        ) {
            let seq = self.snd_nxt(connection);
            let ack = self.entry(connection).rcv_nxt;
            self.send_rst(connection, seq, Some(ack), send);
        }
        self.end(connection);
    }

    /// Closes an established connection with FIN. Its end is reported: [`Ended::Closed`] with the FIN of the server, or
    /// if that FIN does not arrive within the time limit; another end if the server resets it or does not answer. Bytes
    /// that arrive until then are reported. No effect on a connection that is not established.
    pub fn close(&mut self, connection: u32, now: Time, send: SendPacket<'_>) {
        if self.is_established(connection) {
            self.send_fin(connection, State::FinWait1, now, send);
        }
    }

    fn send_fin(&mut self, connection: u32, state: State, now: Time, send: SendPacket<'_>) {
        let limit = self.timers.unacknowledged;
        let in_flight = self.in_flight.entry(connection, now, limit);
        let skip = in_flight.bytes.len();
        in_flight.fin = true;
        self.entry_mut(connection).set_state(state);
        self.send_in_flight(connection, skip, send);
    }

    /// The allocated bytes: 8 for each connection, and those for what is in flight.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.connections.capacity() * size_of::<Connection>() + self.in_flight.memory()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The variables of a connection.
    #[must_use]
    pub fn variables(&self, connection: u32) -> Variables {
        let entry = self.entry(connection);
        Variables {
            state: entry.state(),
            snd_una: self.snd_una(connection),
            snd_nxt: self.snd_nxt(connection),
            rcv_nxt: entry.rcv_nxt,
        }
    }

    /// Closes a connection and drops what it has in flight, whose sequence numbers remain used.
    fn end(&mut self, connection: u32) {
        let length = self.in_flight.remove(connection);
        let entry = self.entry_mut(connection);
        entry.acknowledge(length);
        entry.set_state(State::Closed);
    }

    fn is_connection(&self, connection: u32) -> bool {
        (connection as usize) < self.connections.len()
    }

    fn initial_sequence_number(&self, connection: u32) -> u32 {
        let mixed = sequence::mix(self.secret ^ sequence::mix(u64::from(connection) + 1));
        u32::try_from(mixed >> 32).unwrap_or_default()
    }

    fn entry(&self, connection: u32) -> Connection {
        self.connections[connection as usize]
    }

    fn entry_mut(&mut self, connection: u32) -> &mut Connection {
        &mut self.connections[connection as usize]
    }
}
