//! The segments that a connection sends.

use super::packet::{Control, Outgoing};
use super::table::State;
use super::{SendPacket, UserspaceTcp};

impl UserspaceTcp {
    /// SND.UNA: the oldest unacknowledged sequence number.
    pub(super) fn snd_una(&self, connection: u32) -> u32 {
        let offset = self.entry(connection).offset();
        self.initial_sequence_number(connection)
            .wrapping_add(offset)
    }

    /// SND.NXT: the next sequence number to send.
    pub(super) fn snd_nxt(&self, connection: u32) -> u32 {
        self.snd_una(connection)
            .wrapping_add(self.in_flight.length(connection))
    }

    fn emit(&mut self, connection: u32, segment: Outgoing<'_>, send: SendPacket<'_>) {
        self.counters.sent += 1;
        send(self.emitter.emit(connection, segment));
    }

    pub(super) fn send_syn(&mut self, connection: u32, send: SendPacket<'_>) {
        let segment = Outgoing {
            control: Control::Syn,
            seq: self.snd_una(connection),
            ack: None,
            bytes: &[],
        };
        self.emit(connection, segment, send);
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`
    pub(super) fn send_ack(&mut self, connection: u32, send: SendPacket<'_>) {
        let segment = Outgoing {
            control: Control::None,
            seq: self.snd_nxt(connection),
            ack: Some(self.entry(connection).rcv_nxt),
            bytes: &[],
        };
        self.emit(connection, segment, send);
    }

    /// An acknowledgment because of a segment that may be forged (RFC 5961).
    pub(super) fn send_challenge(&mut self, connection: u32, send: SendPacket<'_>) {
        self.counters.challenges += 1;
        self.send_ack(connection, send);
    }

    pub(super) fn send_rst(
        &mut self,
        connection: u32,
        seq: u32,
        ack: Option<u32>,
        send: SendPacket<'_>,
    ) {
        self.counters.resets_sent += 1;
        let segment = Outgoing {
            control: Control::Rst,
            seq,
            ack,
            bytes: &[],
        };
        self.emit(connection, segment, send);
    }

    /// Sends the bytes in flight that follow the first `skip`, and the FIN in flight.
    pub(super) fn send_in_flight(&mut self, connection: u32, skip: usize, send: SendPacket<'_>) {
        let una = self.snd_una(connection);
        let ack = Some(self.entry(connection).rcv_nxt);
        let Some(in_flight) = self.in_flight.of(connection) else {
            return;
        };
        let mut begin = skip;
        loop {
            let rest = &in_flight.bytes[begin.min(in_flight.bytes.len())..];
            let bytes = &rest[..rest.len().min(self.max_segment_size)];
            let is_last = bytes.len() == rest.len();
            let control = match (is_last, in_flight.fin) {
                (true, true) => Control::Fin,
                (true, false) => Control::Psh,
                (false, _) => Control::None,
            };
            if bytes.is_empty() && control != Control::Fin {
                return;
            }
            // At most `MAX_UNACKNOWLEDGED`.
            let offset = u32::try_from(begin).unwrap_or(u32::MAX);
            let segment = Outgoing {
                control,
                seq: una.wrapping_add(offset),
                ack,
                bytes,
            };
            self.counters.sent += 1;
            send(self.emitter.emit(connection, segment));
            begin += bytes.len();
            if is_last {
                return;
            }
        }
    }

    /// Sends again all that is in flight on a connection.
    pub(super) fn retransmit(&mut self, connection: u32, send: SendPacket<'_>) {
        if self.entry(connection).state() == State::SynSent {
            self.counters.syn_retransmits += 1;
            self.send_syn(connection, send);
        } else if self.in_flight.length(connection) > 0 {
            self.counters.retransmits += 1;
            self.send_in_flight(connection, 0, send);
        }
    }
}
