//! The connections: 8 bytes each.

use super::OutOfMemory;

/// The states of RFC 9293, section 3.3.2, of a client that never stays half-closed: it answers a FIN with its FIN, and
/// so passes CLOSE-WAIT. It does not listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No connection.
    Closed,
    /// The SYN is in flight.
    SynSent,
    /// Both sides can send.
    Established,
    /// The own FIN is in flight.
    FinWait1,
    /// The own FIN is acknowledged; that of the peer has not arrived.
    FinWait2,
    /// Both sides have sent FIN; the own is in flight.
    Closing,
    /// The peer sent FIN first; the own is in flight.
    LastAck,
    /// Both sides have acknowledged the FIN of the other. The state needs no timer, since it takes no further memory:
    /// it lasts until the connection is opened again.
    TimeWait,
}

impl State {
    /// Whether the end of the connection is still to be reported.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, State::Closed | State::LastAck | State::TimeWait)
    }
}

const STATES: [State; 8] = [
    State::Closed,
    State::SynSent,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

const STATE_BITS: u32 = 3;

/// The largest offset of SND.UNA: 29 bits.
pub(super) const MAX_OFFSET: u32 = u32::MAX >> STATE_BITS;

/// The state of a connection with nothing in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Connection {
    /// RCV.NXT: the next sequence number of the peer.
    pub(super) rcv_nxt: u32,
    /// The state in 3 bits, and SND.UNA in 29: its offset from the initial sequence number, which follows from the index
    /// of the connection. Unless something is in flight, it is also SND.NXT.
    state_and_offset: u32,
}

const _: () = assert!(size_of::<Connection>() == 8);

impl Connection {
    pub(super) fn state(self) -> State {
        STATES[(self.state_and_offset & ((1 << STATE_BITS) - 1)) as usize]
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.state_and_offset = self.offset() << STATE_BITS | u32::from(state as u8);
    }

    pub(super) fn offset(self) -> u32 {
        self.state_and_offset >> STATE_BITS
    }

    pub(super) fn set_offset(&mut self, offset: u32) {
        debug_assert!(offset <= MAX_OFFSET);
        self.state_and_offset = offset << STATE_BITS | u32::from(self.state() as u8);
    }

    /// Advances SND.UNA.
    pub(super) fn acknowledge(&mut self, length: u32) {
        self.set_offset(self.offset() + length);
    }
}

/// All connections, closed at first.
pub(super) fn new_table(connections: u32) -> Result<Vec<Connection>, OutOfMemory> {
    let count = usize::try_from(connections).map_err(|_| OutOfMemory)?;
    let mut table = Vec::new();
    table.try_reserve_exact(count).map_err(|_| OutOfMemory)?;
    table.resize(count, Connection::default());
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_offset_do_not_change_each_other() {
        let mut connection = Connection::default();
        assert_eq!(connection.state(), State::Closed);
        for state in STATES {
            for offset in [0, 1, 12_345_678, MAX_OFFSET] {
                connection.set_state(state);
                connection.set_offset(offset);
                assert_eq!((connection.state(), connection.offset()), (state, offset));
                connection.set_state(State::TimeWait);
                connection.set_state(state);
                assert_eq!((connection.state(), connection.offset()), (state, offset));
            }
        }
        connection.set_offset(5);
        connection.acknowledge(7);
        assert_eq!(connection.offset(), 12);
    }
}
