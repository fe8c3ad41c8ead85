//! Where a connection stands, and what it has asked of its loop.

use super::CloseReason;

/// Where a connection stands. The map is at the top of `connection.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Begun from here; the handshake is under way.
    Connecting,
    /// Given up before it stood: whatever was to be said, there is nobody to hear it.
    CalledOff,
    /// Reads, and answers.
    Open,
    /// Our FIN is sent, and the peer is listened to until its own.
    HalfClosed,
    /// The server stops: reads what the peer has sent already, answers it, and drains. So many of its turns may
    /// still use up their budget; then it is a flood.
    Leaving(u8),
    /// Flushes what is owed, and then sends FIN, or ends without one where that would be a receipt
    /// ([`FIN_IS_RECEIPT`](crate::protocol::Session::FIN_IS_RECEIPT)). Reads no more.
    Draining(CloseReason),
    /// The peer's FIN has been read, and there is more to be said ([`speak_on`](super::Connection::speak_on)).
    HeardOut,
    /// The peer's FIN has been read: flushes what is owed, and closes.
    Ended(CloseReason),
    /// The peer's FIN has been read, and what came before it is a record that waits to be taken.
    HandingOver(CloseReason),
    /// Our FIN is sent: reads and drops what still comes, for at most [`LINGER`](super::LINGER). To close at once, with
    /// input unread, would send RST and destroy bytes that are still on their way to the peer (RFC 1122, 4.2.2.13;
    /// RFC 9293, 3.10.4).
    Lingering(CloseReason),
}

/// What a connection has asked of its loop already, so that it does not ask twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks(u8);

impl Marks {
    /// Its stream is watched for room for output: once asked for, that stays for life.
    pub(super) const WATCHES_WRITABLE: Marks = Marks(1);
    /// It stands among those who wait for memory.
    pub(super) const WAITS_FOR_MEMORY: Marks = Marks(2);
    /// All has been said that ever will be: when it has gone, FIN follows it.
    pub(super) const SAID_ALL: Marks = Marks(4);
    /// Memory is scarce, and the kernel would not take an answer now: it is read again when there is room.
    pub(super) const WAITS_FOR_ROOM: Marks = Marks(8);
    /// The peer's FIN does not end it: there may be more to say.
    pub(super) const SPEAKS_ON: Marks = Marks(16);
    /// It stands among those whose record waits to be taken.
    pub(super) const WAITS_FOR_TAKER: Marks = Marks(32);

    /// Sets a mark; false if it was set already.
    pub(super) fn set(&mut self, mark: Marks) -> bool {
        let is_new = self.0 & mark.0 == 0;
        self.0 |= mark.0;
        is_new
    }

    pub(super) fn has(self, mark: Marks) -> bool {
        self.0 & mark.0 != 0
    }

    pub(super) fn clear(&mut self, mark: Marks) {
        self.0 &= !mark.0;
    }
}
