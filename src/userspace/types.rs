//! What the caller passes, and what it gets.

use super::State;
use std::time::Duration;

/// Time limits of all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// From the first SYN to its SYN-ACK.
    pub connect: Duration,
    /// From the first transmission of bytes or a FIN to the acknowledgment of any of them.
    pub unacknowledged: Duration,
}

/// What a packet changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'p> {
    /// The index of the connection.
    pub connection: u32,
    /// Whether this packet was the SYN-ACK that established the connection.
    pub established: bool,
    /// The bytes of the peer, in order, each once. They are acknowledged.
    pub bytes: &'p [u8],
    /// Whether this packet ended the connection, and how.
    pub ended: Option<Ended>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server answered the SYN with RST.
    Refused,
    /// No SYN-ACK arrived within the time limit.
    TimedOut,
    /// The server reset the established connection.
    Reset,
    /// The server sent FIN. The client has answered it with its FIN.
    Fin,
    /// Bytes or a FIN were not acknowledged within the time limit.
    Unacknowledged,
    /// The server has acknowledged the FIN of [`UserspaceTcp::close`](super::UserspaceTcp::close), and has sent its FIN, or has not within the time
    /// limit.
    Closed,
}

/// Why bytes were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The connection is not established.
    NotEstablished,
    /// More than [`MAX_UNACKNOWLEDGED`](super::MAX_UNACKNOWLEDGED) bytes would be unacknowledged.
    TooMuch,
    /// More than 512 MB were sent on this connection: its 8 bytes cannot count further.
    Exhausted,
}

/// The variables of a connection (RFC 9293, section 3.3.1), for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variables {
    /// The state.
    pub state: State,
    /// SND.UNA: the oldest unacknowledged sequence number.
    pub snd_una: u32,
    /// SND.NXT: the next sequence number to send.
    pub snd_nxt: u32,
    /// RCV.NXT: the next sequence number of the server.
    pub rcv_nxt: u32,
}
