//! The ends of connections, and what passes between them: as the kernel's TCP does it, which the contract test holds
//! both to.

use crate::selector::Watch;
use crate::send_queue::SendQueue;
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
    /// How much may have arrived unread.
    receive_buffer: usize,
    /// What is left of the window that was announced to the peer.
    pub window: usize,
    /// What was written here and is not acknowledged.
    pub send_queue: SendQueue,
    /// Where in the stream of arriving bytes the urgent mark is, counted from the first byte. A new one takes the place
    /// of the last.
    pub urgent: Option<u64>,
    pub fin_arrived: bool,
    /// The peer has reset the connection, or it was never let in.
    pub reset_arrived: bool,
    /// What the next call tells of the end, and only that one.
    error: Option<ErrorKind>,
    /// The program has sent FIN; it may still be behind unacknowledged bytes.
    pub fin_sent: bool,
    /// It has arrived at the peer.
    pub fin_acknowledged: bool,
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
    /// The most that has been owed at once since nothing was.
    pub most_owed: u64,
    pub fin_at: u64,
    /// FIN was sent before the peer's had arrived.
    pub fin_was_first: bool,
    /// When a byte of this end was last acknowledged, or the connection was accepted or begun.
    pub acknowledged_at: u64,
    /// When a byte last arrived from the peer, or the connection was begun.
    pub received_at: u64,
    /// How much a write would have taken when the end was closed.
    pub room_when_closed: usize,
    /// It was accepted and closed, and never listened to.
    pub was_refused: bool,
    /// What had been read, written, and what had arrived, when the server was told to stop.
    pub read_when_stopped: u64,
    pub written_when_stopped: u64,
    pub arrived_when_stopped: u64,
    /// A call was made to block although something was there, since the server was told to stop.
    pub deceived: bool,
    /// When a read last failed with EAGAIN although there was input, and a write although there was room.
    pub read_deceived_at: Option<u64>,
    pub write_deceived_at: Option<u64>,
    /// When the server last read or wrote here without an edge, because a deadline had passed.
    pub looked_at: u64,
    /// What `moved_at` and `owed_since` were at the latest of the times before.
    moved_before: u64,
    owed_before: u64,
    /// Bytes read in this iteration of the server's loop, and what had been written before it.
    pub read_in_iteration: usize,
    pub written_before: u64,
    /// After FIN it has used up its budget in an iteration in which no further turn was granted, so it is read again only
    /// at an event or at its deadline.
    pub turn_refused: bool,
    /// What the peer says to this end, if it is not bytes that all come back.
    pub speech: Option<Rc<Speech>>,
    /// A write, an attempt to send FIN or `SO_ERROR` has reported that the connection is over.
    pub end_reported: bool,
    pub watch: Watch,
}

impl End {
    /// An end that nobody has answered yet.
    pub fn new(receive_buffer: usize, source: u8, now: u64) -> End {
        End {
            receive_buffer,
            window: receive_buffer,
            source,
            moved_at: now,
            acknowledged_at: now,
            received_at: now,
            ..End::default()
        }
    }

    /// Nothing passes either way any more, because of a reset or since FIN has passed both ways (TCP's state CLOSED).
    pub fn is_over(&self) -> bool {
        self.reset_arrived || (self.fin_acknowledged && self.fin_arrived)
    }

    /// Both have sent FIN, though the peer may not have got it yet, or there was a reset (EPOLLHUP).
    pub fn is_hung_up(&self) -> bool {
        self.reset_arrived || (self.fin_sent && self.fin_arrived)
    }

    pub fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.fin_arrived || self.reset_arrived
    }

    /// Whether the program may read without an edge now: nothing has moved here for a whole timeout.
    pub fn may_read_at_deadline(&mut self, now: u64, least_timeout: u64) -> bool {
        let at_once = self.moved_at == now;
        let since = if at_once {
            self.moved_before
        } else {
            self.moved_at
        };
        self.is_deadline(since, now, least_timeout)
    }

    /// Whether it may write without an edge: the peer has taken nothing for a whole timeout.
    pub fn may_write_at_deadline(&mut self, now: u64, least_timeout: u64) -> bool {
        let at_once = self.owed_since == now;
        let since = if at_once {
            self.owed_before
        } else {
            self.owed_since
        };
        self.is_deadline(since, now, least_timeout)
    }

    /// A byte is read or written at this end. At a deadline a write may be behind a read that is not, or the reverse:
    /// so the time before is known as well.
    pub fn moves(&mut self, now: u64) {
        if self.moved_at != now {
            self.moved_before = self.moved_at;
        }
        self.moved_at = now;
    }

    /// The time of what is owed starts.
    pub fn owes_since(&mut self, now: u64) {
        if self.owed_since != now {
            self.owed_before = self.owed_since;
        }
        self.owed_since = now;
    }

    fn is_deadline(&mut self, since: u64, now: u64, least_timeout: u64) -> bool {
        let is_quiet = now >= since.saturating_add(least_timeout);
        // Where the kernel reports progress, the next look comes after an eighth of the timeout.
        let looks_again = now >= self.looked_at.saturating_add(least_timeout / 8);
        // One look may take several calls at the same time.
        let may = now == self.looked_at || (is_quiet && looks_again);
        if may {
            self.looked_at = now;
        }
        may
    }

    /// The peer's FIN is the next thing that a read would find.
    pub fn is_at_fin(&self) -> bool {
        self.arrived.is_empty() && self.fin_arrived
    }

    pub fn room(&self) -> usize {
        self.receive_buffer.saturating_sub(self.arrived.len())
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
        self.send_queue.discard();
    }
}

impl World {
    pub fn read(&mut self, id: EndId, buffer: &mut [u8]) -> io::Result<usize> {
        let end = &mut self.ends[id];
        if end.arrived.is_empty() {
            return end.read_nothing();
        }
        let before_mark = end.bytes_before_mark();
        let count = buffer.len().min(end.arrived.len()).min(before_mark);
        let (front, back) = end.arrived.as_slices();
        let from_front = count.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..count].copy_from_slice(&back[..count - from_front]);
        end.arrived.drain(..count);
        end.read += count as u64;
        end.urgent = end.urgent.filter(|mark| *mark >= end.read);
        self.announce_window(id);
        Ok(count)
    }

    pub fn fin(&mut self, id: EndId) {
        if self.ends[id].is_over() {
            return;
        }
        let now = self.now;
        let end = &mut self.ends[id];
        end.fin_sent = true;
        end.fin_at = now;
        end.fin_was_first = !end.fin_arrived;
        if end.is_hung_up() {
            self.readable(id);
        }
        self.transmit(id);
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
            self.ends[id].send_queue.discard();
            self.reset_arrives(peer);
        } else if !fin_sent {
            self.fin(id);
        }
    }

    /// A reset arrives. What has come before it can still be read; what was not acknowledged is discarded.
    pub fn reset_arrives(&mut self, id: EndId) {
        let end = &mut self.ends[id];
        if end.is_over() {
            return;
        }
        // TCP's state CLOSE-WAIT, and no other.
        let waits_for_close = end.fin_arrived && !end.fin_sent;
        self.comes_to_its_end(
            id,
            if waits_for_close {
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
