//! Which segments and acknowledgments are acceptable (RFC 9293, section 3.4; RFC 5961, section 5), and the answer to
//! those that are not.

use super::packet::{Segment, WINDOW};
use super::sequence::distance;
use super::{SendPacket, UserspaceTcp};

impl UserspaceTcp {
    /// Whether the segment has a sequence number in the receive window (section 3.4, table 6).
    pub(super) fn is_acceptable(&self, connection: u32, segment: &Segment<'_>) -> bool {
        let rcv_nxt = self.entry(connection).rcv_nxt;
        let most = u32::from(WINDOW) - 1;
        let is_in_window = |seq| distance(rcv_nxt, seq, most).is_some();
        let last = segment.seq.wrapping_add(segment.length().saturating_sub(1));
        is_in_window(segment.seq) || is_in_window(last)
    }

    /// Acknowledges a duplicate, a keepalive probe (RFC 9293, section 3.8.4) or a segment outside of the window.
    pub(super) fn answer_unacceptable(
        &mut self,
        connection: u32,
        segment: &Segment<'_>,
        send: SendPacket<'_>,
    ) {
        if segment.rst {
            self.counters.invalid_resets += 1;
            return;
        }
        let before = self.entry(connection).rcv_nxt.wrapping_sub(1);
        let is_probe = segment.seq == before && segment.bytes.len() <= 1 && !segment.fin;
        if segment.syn {
            self.counters.duplicate_syn_acks += 1;
            // The server has not received the acknowledgment of its SYN-ACK, nor bytes, which acknowledge it too.
            if self.in_flight.length(connection) > 0 {
                self.send_in_flight(connection, 0, send);
                return;
            }
        } else if is_probe {
            self.counters.keepalives += 1;
        } else if segment.length() > 0 {
            self.counters.duplicates += 1;
        }
        self.send_ack(connection, send);
    }

    /// Whether the server can have sent this acknowledgment: not of bytes that were not sent, and not older than the
    /// largest window, which is not scaled (RFC 5961, section 5).
    pub(super) fn is_acceptable_ack(&self, connection: u32, ack: u32) -> bool {
        let oldest = self.snd_una(connection).wrapping_sub(u32::from(u16::MAX));
        let most = self.snd_nxt(connection).wrapping_sub(oldest);
        distance(oldest, ack, most).is_some()
    }
}
