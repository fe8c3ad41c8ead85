//! Messages from a protocol to its connections, outside the replies of their sessions.

use std::fmt;
use std::sync::Arc;

/// Identifies a connection by its slot and its serial number, for example to address a [`Message`] to it.
///
/// The id of a closed connection identifies no other connection, until 2^32 more connections have been accepted. Events,
/// deadlines and queues carry ids: the serial of a closed connection does not match that of its slot, so its id resolves
/// to nothing. This one comparison prevents all stale-event bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// The index of the slot of the connection.
    pub slot: u32,
    /// The serial number of the connection, as `#17` in the log; never 0.
    pub serial: u32,
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
        let id = ConnectionId {
            slot: 3,
            serial: 17,
        };
        assert_eq!(id.to_string(), "#17");
    }

    #[test]
    fn messages_to_several_receivers_share_their_bytes() {
        let bytes: Arc<[u8]> = Arc::from(*b"hello");
        let first = Message::new(ConnectionId { slot: 0, serial: 1 }, Arc::clone(&bytes));
        let second = Message::new(ConnectionId { slot: 1, serial: 2 }, bytes).then_close();
        assert!(Arc::ptr_eq(&first.bytes, &second.bytes));
        assert!(!first.closes && second.closes);
    }
}
