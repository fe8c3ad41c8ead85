//! The state of a connection as plain data, for a process that takes over its socket.

use super::buffers::Buffers;
use super::state::{RX, Rx, State, TX, Tx};
use super::{Classes, CloseReason, Connection, Flags, Pool};
use crate::memory::OutOfMemory;
use crate::net::{Key, Readiness, Time};
use crate::protocol::Session;
use crate::reactor::SavedSlot;
use std::fmt::Debug;

/// The state of a connection beside its socket and its session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedConnection {
    /// Bytes read from the peer.
    pub bytes_in: u64,
    /// Bytes that the kernel has accepted.
    pub bytes_out: u64,
    /// The receive side and the send side of the state, as numbers.
    pub state: (u8, u8),
    /// Why the connection closes, once that is decided, as a number.
    pub reason: u8,
    /// Events that the connection has not handled.
    pub readiness: u8,
    /// Facts about the connection.
    pub flags: u8,
    /// Output that the kernel has not accepted.
    pub output: Vec<u8>,
    /// Input that the session has not consumed.
    pub input: Vec<u8>,
    /// The bytes that the peer had acknowledged at the last check, and a time in nanoseconds since which that has not
    /// changed.
    pub acknowledged: Option<(u64, u64)>,
}

/// A larger count is rejected, so that none overflows later: a byte in each nanosecond of two years.
pub(crate) const MAX_COUNT: u64 = 1 << 56;

/// Whether the handshake of a saved connection is in progress: its deadline is that of the handshake.
pub(crate) fn is_handshaking(slot: &SavedSlot) -> bool {
    slot.class == Classes::HANDSHAKE.number()
}

impl State {
    fn to_numbers(self) -> (u8, u8) {
        (self.rx as u8, self.tx as u8)
    }

    fn from_numbers((rx, tx): (u8, u8)) -> Option<State> {
        let rx = *RX.get(usize::from(rx))?;
        let tx = *TX.get(usize::from(tx))?;
        Some(State { rx, tx })
    }
}

impl<S: Session> Connection<S> {
    /// The state of the connection; its session is not saved.
    pub(crate) fn save(&self, pool: &Pool) -> SavedConnection {
        let buffers = pool.buffers.get(self.buffers);
        let output = buffers.map_or(&[][..], |buffers| buffers.output.as_slice());
        let input = buffers.map_or(&[][..], |buffers| buffers.input.as_slice());
        let acknowledged = buffers.and_then(|buffers| buffers.acknowledged);
        SavedConnection {
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            state: self.state.to_numbers(),
            reason: self.reason as u8,
            readiness: self.readiness.bits(),
            flags: self.flags.difference(Flags::QUEUES).bits(),
            output: output.to_vec(),
            input: input.to_vec(),
            acknowledged: acknowledged.map(|(bytes, since)| (bytes, since.as_nanos())),
        }
    }

    /// All of the connection that another process must continue with, read without [`save`](Connection::save). For tests: a
    /// field that is added is compared as well, unless it is excepted here.
    #[doc(hidden)]
    pub fn kept_state(&self, pool: &Pool) -> impl PartialEq + Debug + use<S> {
        let Connection {
            bytes_in,
            bytes_out,
            buffers,
            tag: _,
            state,
            drain_iterations,
            reason,
            readiness,
            flags,
            session: _,
        } = self;
        let buffers = pool.buffers.get(*buffers).map(|buffers| {
            let Buffers {
                output,
                input,
                acknowledged,
                // Connections whose sessions hold bytes are not saved.
                session: _,
                counted: _,
                link,
            } = buffers;
            let contents = [output.as_slice(), input.as_slice()].map(<[u8]>::to_vec);
            (contents, *acknowledged, link.kind())
        });
        let counts = (*bytes_in, *bytes_out, *drain_iterations);
        let bits = (readiness.bits(), flags.bits());
        (counts, *state, *reason, bits, buffers)
    }

    /// A connection in a saved state, with a new session; its buffers follow with
    /// [`restore_buffers`](Connection::restore_buffers). `None` if the state is invalid.
    pub(crate) fn restore(saved: &SavedConnection, session: S) -> Option<Self> {
        let state = State::from_numbers(saved.state)?;
        let flags = Flags::from_bits(saved.flags)?;
        let mut connection = Connection::in_state(state, flags, session);
        connection.bytes_in = saved.bytes_in;
        connection.bytes_out = saved.bytes_out;
        connection.reason = CloseReason::from_number(saved.reason)?;
        connection.readiness = Readiness::from_bits(saved.readiness)?;
        let has_output = flags.contains(Flags::PENDING_OUTPUT);
        let is_valid = state.is_restorable()
            && (state.rx != Rx::RecordPending || S::FIN_IS_RECEIPT)
            && has_output != saved.output.is_empty()
            && saved.bytes_in.max(saved.bytes_out) < MAX_COUNT;
        is_valid.then_some(connection)
    }

    /// Restores the buffers of a connection, which has this key now.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(crate) fn restore_buffers(
        &mut self,
        saved: &SavedConnection,
        pool: &mut Pool,
        key: Key,
    ) -> Result<(), OutOfMemory> {
        if !saved.output.is_empty() || !saved.input.is_empty() {
            let buffers = pool.hold(&mut self.buffers, key);
            let buffers = buffers.map_err(|_| OutOfMemory)?;
            buffers.output.push(&saved.output)?;
            buffers.input.push(&saved.input)?;
            let since = |nanoseconds| Time::from_nanos(nanoseconds);
            buffers.acknowledged = saved.acknowledged.map(|(bytes, at)| (bytes, since(at)));
        }
        self.account(pool);
        Ok(())
    }

    /// Whether the socket is watched for output space.
    pub(crate) fn watches_writable(&self) -> bool {
        self.flags.contains(Flags::WATCHES_WRITABLE)
    }
}

impl State {
    /// Whether a server that does not drain has connections in this state. Only clients are half-open or half-closed.
    fn is_restorable(self) -> bool {
        match self.rx {
            Rx::Open => self.tx == Tx::Open,
            Rx::Discard => self.tx != Tx::Open,
            Rx::AtEof | Rx::RecordPending => self.tx == Tx::FinQueued,
            Rx::Connecting | Rx::UntilDrained | Rx::Cancelled => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process reads these numbers.
    #[test]
    fn states_have_fixed_numbers() {
        for (number, rx) in (0..).zip(RX) {
            assert_eq!(rx as u8, number, "{rx:?}");
        }
        for (number, tx) in (0..).zip(TX) {
            assert_eq!(tx as u8, number, "{tx:?}");
        }
        assert_eq!(State::OPEN.to_numbers(), (1, 0));
        let lingering = State::from_numbers((3, 2));
        assert!(lingering.is_some_and(State::is_lingering));
        assert_eq!(
            (State::from_numbers((7, 0)), State::from_numbers((1, 3))),
            (None, None)
        );
    }
}
