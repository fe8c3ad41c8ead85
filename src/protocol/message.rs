//! Messages from a protocol to its connections, outside the replies of their sessions.

use std::fmt;
use std::sync::Arc;

/// Identifies a connection, to address a [`Message`] to it.
///
/// The id of a closed connection identifies no other connection, until 2^32 more connections have been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    slot: u32,
    serial: u32,
}

impl ConnectionId {
    /// The id of the connection with this slot and serial number. A server gives ids to its connections; this is for
    /// tests of a session.
    #[inline]
    #[must_use]
    pub const fn new(slot: u32, serial: u32) -> ConnectionId {
        ConnectionId { slot, serial }
    }

    /// The index of the slot of the connection.
    #[inline]
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// The serial number of the connection, as `#17` in the log.
    #[inline]
    #[must_use]
    pub const fn serial(self) -> u32 {
        self.serial
    }
}

/// As in the log: `#17`.
impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.serial)
    }
}

/// Output for any connection of the server; see [`Protocol::next_message`](super::Protocol::next_message).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The receiver.
    pub to: ConnectionId,
    /// The output. Messages to several receivers can share it.
    pub bytes: Arc<[u8]>,
    /// Whether the connection closes with FIN after the output.
    pub closes: bool,
}

impl Message {
    /// A message to the connection `to`.
    pub fn new(to: ConnectionId, bytes: impl Into<Arc<[u8]>>) -> Message {
        Message {
            to,
            bytes: bytes.into(),
            closes: false,
        }
    }

    /// The message, after which the connection closes with FIN.
    #[must_use]
    pub fn then_close(self) -> Message {
        Message {
            closes: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_displayed_as_in_the_log() {
        let id = ConnectionId::new(3, 17);
        assert_eq!((id.slot(), id.serial()), (3, 17));
        assert_eq!(id.to_string(), "#17");
    }

    #[test]
    fn messages_to_several_receivers_share_their_bytes() {
        let bytes: Arc<[u8]> = Arc::from(*b"hello");
        let first = Message::new(ConnectionId::new(0, 1), Arc::clone(&bytes));
        let second = Message::new(ConnectionId::new(1, 2), bytes).then_close();
        assert!(Arc::ptr_eq(&first.bytes, &second.bytes));
        assert!(!first.closes && second.closes);
    }
}
