//! Arrival of a segment, in the order of RFC 9293, section 3.10.7, with the stricter checks of RFC 5961.

use super::packet::{self, Dropped, Segment};
use super::sequence::{distance, is_before};
use super::table::State;
use super::{Arrival, Ended, SendPacket, UserspaceTcp};
use crate::time::Time;

/// The assumed MSS of a peer without that option (RFC 9293, section 3.7.1).
const DEFAULT_MSS_IPV4: usize = 536;
const DEFAULT_MSS_IPV6: usize = 1220;

/// The least MSS: a smaller one, which no network needs, would multiply the packets.
const LEAST_MSS: usize = 64;

impl UserspaceTcp {
    /// Processes one packet. `None`: it is no segment of these connections, or it changed nothing that concerns the
    /// caller. It was answered if RFC 9293 requires that.
    pub fn receive<'p>(
        &mut self,
        packet: &'p [u8],
        now: Time,
        send: SendPacket<'_>,
    ) -> Option<Arrival<'p>> {
        self.counters.received += 1;
        let (connection, segment) = match packet::parse(packet, &self.endpoints) {
            Ok((connection, segment)) if self.is_connection(connection) => (connection, segment),
            Ok(_) | Err(Dropped::NotOurs) => {
                self.counters.not_ours += 1;
                return None;
            }
            Err(Dropped::BadChecksum) => {
                self.counters.bad_checksums += 1;
                return None;
            }
        };
        let mut arrival = Arrival {
            connection,
            established: false,
            bytes: &[],
            ended: None,
        };
        match self.entry(connection).state() {
            State::Closed => self.receive_closed(connection, &segment, send),
            State::SynSent => self.receive_syn_sent(&mut arrival, &segment, send),
            _ => self.receive_synchronized(&mut arrival, &segment, now, send),
        }
        let has_news = arrival.established || !arrival.bytes.is_empty() || arrival.ended.is_some();
        has_news.then_some(arrival)
    }

    /// Section 3.10.7.1: the state CLOSED.
    fn receive_closed(&mut self, connection: u32, segment: &Segment<'_>, send: SendPacket<'_>) {
        if segment.rst {
            self.counters.invalid_resets += 1;
            return;
        }
        if let Some(ack) = segment.ack {
            self.send_rst(connection, ack, None, send);
        } else {
            let end = segment.seq.wrapping_add(segment.length());
            self.send_rst(connection, 0, Some(end), send);
        }
    }

    /// Section 3.10.7.3: the state SYN-SENT. A SYN without ACK (a simultaneous open) is dropped: servers send none.
    fn receive_syn_sent(
        &mut self,
        arrival: &mut Arrival<'_>,
        segment: &Segment<'_>,
        send: SendPacket<'_>,
    ) {
        let connection = arrival.connection;
        // First, check the ACK bit: only the SYN can be acknowledged.
        let Some(ack) = segment.ack else {
            return;
        };
        if ack != self.snd_nxt(connection) {
            if segment.rst {
                self.counters.invalid_resets += 1;
            } else {
                self.reset_previous(connection, segment, ack, send);
            }
            return;
        }
        // Second, check the RST bit.
        if segment.rst {
            self.end(connection);
            arrival.ended = Some(Ended::Refused);
            return;
        }
        // Fourth, check the SYN bit. Bytes of the segment are not acknowledged: the server sends them again.
        if segment.syn {
            self.establish(connection, segment);
            self.send_ack(connection, send);
            arrival.established = true;
        }
        // Fifth: a segment without SYN and RST is dropped.
    }

    /// The server has a previous connection of the same address and port: the RST ends that, and a SYN that arrives
    /// after it opens the connection. The answer to a SYN is an ACK alone (RFC 5961); bytes and FIN were sent before the
    /// SYN arrived.
    fn reset_previous(
        &mut self,
        connection: u32,
        segment: &Segment<'_>,
        ack: u32,
        send: SendPacket<'_>,
    ) {
        self.send_rst(connection, ack, None, send);
        if segment.length() == 0 && self.in_flight.repeat(connection) {
            self.counters.reused += 1;
            // Not a retransmit: no packet was lost.
            self.send_syn(connection, send);
        }
    }

    fn establish(&mut self, connection: u32, segment: &Segment<'_>) {
        let default = if self.endpoints.server().is_ipv4() {
            DEFAULT_MSS_IPV4
        } else {
            DEFAULT_MSS_IPV6
        };
        let size = segment.max_segment_size().map_or(default, usize::from);
        // The connections have one server, and no bytes for an MSS each: the smallest applies to all.
        self.max_segment_size = self.max_segment_size.min(size.max(LEAST_MSS));
        let length = self.in_flight.remove(connection);
        let entry = self.entry_mut(connection);
        entry.rcv_nxt = segment.seq.wrapping_add(1);
        entry.acknowledge(length);
        entry.set_state(State::Established);
    }

    /// Section 3.10.7.4: the other states.
    fn receive_synchronized<'p>(
        &mut self,
        arrival: &mut Arrival<'p>,
        segment: &Segment<'p>,
        now: Time,
        send: SendPacket<'_>,
    ) {
        let connection = arrival.connection;
        // First, check the sequence number.
        if !self.is_acceptable(connection, segment) {
            self.answer_unacceptable(connection, segment, send);
            return;
        }
        // Second, check the RST bit.
        if segment.rst {
            arrival.ended = self.receive_rst(connection, segment, send);
            return;
        }
        // Third, check security: there is none. Fourth, check the SYN bit (RFC 5961, section 4).
        if segment.syn {
            self.send_challenge(connection, send);
            return;
        }
        // Fifth, check the ACK bit.
        let Some(ack) = segment.ack else {
            return;
        };
        if !self.is_acceptable_ack(connection, ack) {
            self.send_challenge(connection, send);
            return;
        }
        arrival.ended = self.receive_ack(connection, ack, now);
        // Sixth, check the URG bit: urgent bytes are bytes. Seventh, process the bytes; eighth, check the FIN bit.
        self.receive_bytes_and_fin(arrival, segment, now, send);
    }

    /// A RST in the window is valid at RCV.NXT only (RFC 5961, section 3).
    fn receive_rst(
        &mut self,
        connection: u32,
        segment: &Segment<'_>,
        send: SendPacket<'_>,
    ) -> Option<Ended> {
        let entry = self.entry(connection);
        if segment.seq != entry.rcv_nxt {
            self.counters.invalid_resets += 1;
            self.send_challenge(connection, send);
            return None;
        }
        self.end(connection);
        // The end of the others has been reported.
        entry.state().is_open().then_some(Ended::Reset)
    }

    /// Removes what is acknowledged from what is in flight.
    fn receive_ack(&mut self, connection: u32, ack: u32, now: Time) -> Option<Ended> {
        let una = self.snd_una(connection);
        let length = self.in_flight.length(connection);
        // Not after SND.NXT: the acknowledgment is acceptable. Before SND.UNA: a duplicate, ignored.
        let acknowledged = distance(una, ack, length).filter(|length| *length > 0)?;
        let limit = self.timers.unacknowledged;
        self.in_flight
            .acknowledge(connection, acknowledged, now, limit);
        self.entry_mut(connection).acknowledge(acknowledged);
        if acknowledged < length {
            return None;
        }
        // All is acknowledged: in these states, also the FIN.
        match self.entry(connection).state() {
            State::FinWait1 => {
                self.entry_mut(connection).set_state(State::FinWait2);
                // The timers of the wait for the FIN of the server.
                self.in_flight.entry(connection, now, limit);
                None
            }
            State::Closing => {
                self.entry_mut(connection).set_state(State::TimeWait);
                Some(Ended::Closed)
            }
            State::LastAck => {
                self.entry_mut(connection).set_state(State::Closed);
                None
            }
            _ => None,
        }
    }

    /// Delivers the bytes that are the next ones, and acknowledges them. Bytes after a gap are dropped with a duplicate
    /// acknowledgment: the server sends them again.
    fn receive_bytes_and_fin<'p>(
        &mut self,
        arrival: &mut Arrival<'p>,
        segment: &Segment<'p>,
        now: Time,
        send: SendPacket<'_>,
    ) {
        let connection = arrival.connection;
        let entry = self.entry(connection);
        let can_receive = matches!(
            entry.state(),
            State::Established | State::FinWait1 | State::FinWait2
        );
        if segment.length() == 0 || !can_receive {
            return;
        }
        if is_before(entry.rcv_nxt, segment.seq) {
            self.counters.out_of_order += 1;
            self.send_ack(connection, send);
            return;
        }
        let received = entry.rcv_nxt.wrapping_sub(segment.seq) as usize;
        arrival.bytes = segment.bytes.get(received..).unwrap_or_default();
        let end = segment.seq.wrapping_add(segment.length());
        self.entry_mut(connection).rcv_nxt = end;
        if segment.fin {
            arrival.ended = self.receive_fin(connection, now, send);
        } else {
            self.send_ack(connection, send);
        }
    }

    /// The server has sent all of its bytes. An established connection is closed from this side too.
    fn receive_fin(&mut self, connection: u32, now: Time, send: SendPacket<'_>) -> Option<Ended> {
        let (state, ended) = match self.entry(connection).state() {
            State::Established => {
                self.send_fin(connection, State::LastAck, now, send);
                return Some(Ended::Fin);
            }
            State::FinWait1 => (State::Closing, None),
            _ => {
                self.in_flight.remove(connection);
                (State::TimeWait, Some(Ended::Closed))
            }
        };
        self.entry_mut(connection).set_state(state);
        self.send_ack(connection, send);
        ended
    }
}
