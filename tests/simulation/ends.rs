//! The ends of connections, and what passes between them: as the kernel's TCP does it, which the contract test holds
//! both to.

use crate::selector::Watch;
use crate::speech::Speech;
use crate::world::{EndId, World};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// One end of a connection.
#[derive(Debug, Default)]
pub struct End {
    /// The other end; there is none while, or if, nobody has answered.
    pub peer: Option<EndId>,
    /// The handshake is done, whatever has come after it.
    pub stood: bool,
    /// What has arrived and was not read.
    pub arrived: VecDeque<u8>,
    /// Since when something has been there that was not read, while there is.
    pub unread_since: u64,
    /// How much may have arrived unread.
    window: usize,
    /// Where in the stream of arriving bytes the urgent mark is, counted from the first byte. A new one takes the place
    /// of the last.
    urgent: Option<u64>,
    pub fin_arrived: bool,
    /// The peer has reset the connection, or it was never let in.
    pub reset_arrived: bool,
    /// What the next call tells of the end, and only that one.
    error: Option<ErrorKind>,
    pub fin_sent: bool,
    pub closed: bool,
    /// Bytes read and written at this end.
    pub read: u64,
    pub written: u64,
    /// Whether this is the server's end, and was accepted.
    pub is_servers: bool,
    /// The number of the address that it comes from.
    pub source: u8,
    /// When a byte was last read or written at this end, or the connection was accepted or begun.
    pub moved_at: u64,
    /// When the first of what is owed was read, or the last of it that has gone was written.
    pub owed_since: u64,
    pub fin_at: u64,
    /// When there was room at the other end again, and how much there was when this one was closed.
    pub room_since: u64,
    pub room_when_closed: usize,
    /// It was accepted and closed, and never listened to.
    pub was_refused: bool,
    /// What had been read, and what had arrived, when the server was told to stop.
    pub read_when_stopped: u64,
    pub arrived_when_stopped: u64,
    /// A call was made to block although something was there, since the server was told to stop.
    pub deceived: bool,
    /// When a read last failed with EAGAIN although there was input, and a write although there was room.
    pub read_deceived_at: Option<u64>,
    pub write_deceived_at: Option<u64>,
    /// When the server last read or wrote here without an edge, because a deadline had passed.
    pub looked_at: u64,
    /// Bytes read in this iteration of the server's loop, and what had been written before it.
    pub read_in_iteration: usize,
    pub written_before: u64,
    /// What the peer says to this end, if it is not bytes that all come back.
    pub speech: Option<Rc<Speech>>,
    /// A write, or an attempt to send FIN, has told that it is over.
    pub told_by_write: bool,
    pub watch: Watch,
}

impl End {
    /// An end that nobody has answered yet.
    pub fn new(window: usize, source: u8, now: u64) -> End {
        End {
            window,
            source,
            moved_at: now,
            ..End::default()
        }
    }

    /// Nothing passes either way any more, because of a reset or since both have sent FIN (TCP's state CLOSED).
    pub fn is_over(&self) -> bool {
        self.reset_arrived || (self.fin_sent && self.fin_arrived)
    }

    pub fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.fin_arrived || self.reset_arrived
    }

    /// Whether the program may read without an edge now: nothing has moved here for a whole timeout.
    pub fn may_read_at_deadline(&mut self, now: u64, least_timeout: u64) -> bool {
        self.is_deadline(self.moved_at, now, least_timeout)
    }

    /// Whether it may write without an edge: the peer has taken nothing for a whole timeout.
    pub fn may_write_at_deadline(&mut self, now: u64, least_timeout: u64) -> bool {
        self.is_deadline(self.owed_since, now, least_timeout)
    }

    fn is_deadline(&mut self, since: u64, now: u64, least_timeout: u64) -> bool {
        let quiet_since = since.max(self.looked_at);
        // One look may take several calls at the same time.
        let may = now == self.looked_at || now >= quiet_since.saturating_add(least_timeout);
        if may {
            self.looked_at = now;
        }
        may
    }

    pub fn room(&self) -> usize {
        self.window.saturating_sub(self.arrived.len())
    }

    /// What is due for what the server has read here, and not yet written.
    pub fn owed(&self) -> u64 {
        match self.speech.as_deref() {
            // The last of the answers may be due only since the peer's FIN; the peer sees to that.
            Some(speech @ Speech::Written(_)) => {
                speech.due(self.read, false).saturating_sub(self.written)
            }
            Some(Speech::Raw) | None => self.read - self.written,
        }
    }

    /// Whether the server may end it of itself, for what was said to it.
    pub fn may_be_ended(&self) -> bool {
        matches!(self.speech.as_deref(), Some(Speech::Written(_)))
    }

    /// What is owed, at an end where that has a meaning.
    pub fn owed_if_servers(&self) -> u64 {
        if self.is_servers && !self.fin_sent {
            self.owed()
        } else {
            0
        }
    }

    /// What the socket has to say for itself, once (`SO_ERROR`).
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take().map(io::Error::from)
    }

    /// What a read says where no byte is. Behind FIN no reset is told of.
    fn read_nothing(&mut self) -> io::Result<usize> {
        if self.fin_arrived {
            return Ok(0);
        }
        match self.take_error() {
            Some(error) => Err(error),
            None if self.reset_arrived => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Why a write fails, if it does whatever the room: what there is to tell, and from then on EPIPE.
    pub fn write_error(&mut self) -> Option<io::Error> {
        let broken = self.is_over().then(|| ErrorKind::BrokenPipe.into());
        self.take_error().or(broken)
    }

    pub fn has_urgent_mark(&self) -> bool {
        self.urgent.is_some()
    }

    /// A read before the mark stops at it; one that begins at it goes on past it (`SO_OOBINLINE`).
    fn bytes_before_mark(&self) -> usize {
        let ahead = self.urgent.map(|mark| mark - self.read);
        let ahead = ahead.filter(|ahead| *ahead > 0);
        ahead.map_or(usize::MAX, |ahead| usize::try_from(ahead).unwrap())
    }

    /// It is over: from now on only what has arrived can be had.
    fn ends_with(&mut self, error: ErrorKind) {
        self.reset_arrived = true;
        self.error = Some(error);
    }
}

impl World {
    /// How much the other end can take.
    pub fn peer_room(&self, id: EndId) -> usize {
        let peer = self.ends[id].peer;
        peer.map_or(0, |peer| self.ends[peer].room())
    }

    pub fn read(&mut self, id: EndId, buffer: &mut [u8]) -> io::Result<usize> {
        let end = &mut self.ends[id];
        if end.arrived.is_empty() {
            return end.read_nothing();
        }
        let was_full = end.room() == 0;
        let before_mark = end.bytes_before_mark();
        let count = buffer.len().min(end.arrived.len()).min(before_mark);
        let (front, back) = end.arrived.as_slices();
        let from_front = count.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..count].copy_from_slice(&back[..count - from_front]);
        end.arrived.drain(..count);
        end.read += count as u64;
        end.urgent = end.urgent.filter(|mark| *mark >= end.read);
        if let Some(peer) = end.peer {
            if was_full {
                self.ends[peer].room_since = self.now;
            }
            self.writable(peer);
        }
        Ok(count)
    }

    /// Sends as much as there is room for at the other end.
    pub fn send(&mut self, id: EndId, bytes: &[u8]) -> usize {
        let Some(peer) = self.ends[id].peer else {
            return 0;
        };
        if self.ends[id].is_over() {
            return 0;
        }
        let count = bytes.len().min(self.ends[peer].room());
        self.ends[id].written += count as u64;
        if self.ends[peer].closed {
            // Nobody is there any more: that is what a reset says (RFC 9293, 3.10.7.1).
            self.reset_arrives(id);
        } else if count > 0 {
            let now = self.now;
            let peers_end = &mut self.ends[peer];
            if peers_end.arrived.is_empty() {
                peers_end.unread_since = now;
            }
            peers_end.arrived.extend(&bytes[..count]);
            self.readable(peer);
        }
        count
    }

    /// Marks the next byte that is sent as urgent.
    pub fn mark_urgent(&mut self, id: EndId) {
        let at = self.ends[id].written;
        if let Some(peer) = self.ends[id].peer {
            self.ends[peer].urgent = Some(at);
        }
    }

    pub fn fin(&mut self, id: EndId) {
        if self.ends[id].is_over() {
            return;
        }
        let now = self.now;
        let end = &mut self.ends[id];
        end.fin_sent = true;
        end.fin_at = now;
        if end.is_over() {
            // That it has come to its end is news too.
            self.readable(id);
        }
        if let Some(peer) = self.ends[id].peer {
            self.ends[peer].fin_arrived = true;
            self.readable(peer);
        }
    }

    /// Closes an end. With input unread that is a reset, whatever was meant (RFC 9293, 3.10.4).
    pub fn close(&mut self, id: EndId, reset: bool) {
        let end = &mut self.ends[id];
        end.closed = true;
        if end.is_over() {
            return;
        }
        let unread = !end.arrived.is_empty();
        let fin_sent = end.fin_sent;
        let Some(peer) = end.peer else { return };
        if reset || unread {
            self.reset_arrives(peer);
        } else if !fin_sent {
            self.fin(id);
        }
    }

    /// A reset arrives. What has come before it can still be read.
    pub fn reset_arrives(&mut self, id: EndId) {
        let end = &mut self.ends[id];
        if end.is_over() {
            return;
        }
        let has_fin = end.fin_arrived;
        self.comes_to_its_end(
            id,
            if has_fin {
                ErrorKind::BrokenPipe
            } else {
                ErrorKind::ConnectionReset
            },
        );
    }

    /// A connection is over, with an error to tell.
    pub fn comes_to_its_end(&mut self, id: EndId, error: ErrorKind) {
        self.ends[id].ends_with(error);
        self.readable(id);
        self.writable(id);
    }
}
