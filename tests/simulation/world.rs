//! The simulated world: time, sockets, and what passes between them.
//!
//! Bytes arrive as they are sent; what makes life hard are the faults, and the edges (`selector.rs`). The calls that
//! programs under test make are in `calls.rs`, with what must hold whenever they make them.

use crate::faults::Faults;
use crate::rng::{Rng, mix};
use crate::selector::{Host, Watch};
use echoloop::net::{Signal, Source};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Names an end of a connection.
pub type EndId = usize;

pub const MILLISECOND: u64 = 1_000_000;

/// Connections that may wait to be accepted.
const BACKLOG: usize = 16;

/// One end of a connection.
#[derive(Debug, Default)]
pub struct End {
    pub peer: Option<EndId>,
    /// What has arrived and was not read.
    pub arrived: VecDeque<u8>,
    /// How much may have arrived unread.
    window: usize,
    /// Where in the stream of arriving bytes urgent marks are: positions counted from the first byte.
    pub urgent: VecDeque<u64>,
    pub fin_arrived: bool,
    pub reset_arrived: bool,
    /// The reset was told once; after that, reads find the end.
    reset_told: bool,
    pub fin_sent: bool,
    pub closed: bool,
    /// Bytes read and written at this end.
    pub read: u64,
    pub written: u64,
    /// Whether this is the server's end, and was accepted.
    pub is_servers: bool,
    /// The number of the address that it comes from.
    pub source: u8,
    /// When a byte was last read or written at this end, or the connection was accepted.
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
    read_when_stopped: u64,
    arrived_when_stopped: u64,
    /// A call was made to block although something was there, since the server was told to stop.
    pub deceived: bool,
    pub watch: Watch,
}

impl End {
    pub fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.fin_arrived || self.reset_arrived
    }

    fn room(&self) -> usize {
        self.window.saturating_sub(self.arrived.len())
    }

    /// What an echo server has read here and not yet written.
    pub fn owed(&self) -> u64 {
        self.read - self.written
    }

    /// A read before the mark stops at it; one that begins at it goes on past it (`SO_OOBINLINE`).
    fn bytes_before_mark(&self) -> usize {
        let marks = self.urgent.iter();
        let ahead = marks.map(|mark| mark - self.read).find(|ahead| *ahead > 0);
        ahead.map_or(usize::MAX, |ahead| usize::try_from(ahead).unwrap())
    }
}

/// The server's listening socket.
#[derive(Debug, Default)]
pub struct Listener {
    pub queue: VecDeque<EndId>,
    pub armed: bool,
    pub pending: bool,
    pub closed: bool,
}

/// What a run has seen, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub waits: u64,
    pub faults: u64,
    /// Connections that failed when they were accepted, and attempts to accept for which nothing was left.
    pub aborted: u64,
    pub exhausted: u64,
}

#[derive(Debug)]
pub struct World {
    pub now: u64,
    pub rng: Rng,
    pub faults: Faults,
    /// Whether an edge is owed only after a call has blocked.
    pub weak: bool,
    pub ends: Vec<End>,
    pub listeners: Vec<Listener>,
    pub hosts: [Host; 2],
    /// Until when descriptors are exhausted.
    pub exhausted_until: u64,
    pub tally: Tally,
    digest: u64,
    /// Bytes that one connection may be owed.
    pub max_pending: usize,
    /// Buffers of this size are given to connections.
    pub window: usize,
    /// The server has been told to stop: it may look for input without an event.
    pub stopping: bool,
    /// The server's ends that were closed, since this was last emptied.
    pub closed: Vec<EndId>,
    /// The time before time last went on: what is due now may be so since then.
    pub before: u64,
    /// Bytes that one connection may read in a turn.
    pub budget: usize,
    /// When a drain is over that has begun.
    pub drained_by: Option<u64>,
}

pub type SharedWorld = Rc<RefCell<World>>;

impl World {
    pub fn new(rng: Rng, faults: Faults, weak: bool) -> World {
        World {
            now: 0,
            rng,
            faults,
            weak,
            ends: Vec::new(),
            listeners: Vec::new(),
            hosts: Default::default(),
            exhausted_until: 0,
            tally: Tally::default(),
            digest: 0,
            max_pending: usize::MAX,
            window: 65_536,
            stopping: false,
            closed: Vec::new(),
            before: 0,
            budget: usize::MAX,
            drained_by: None,
        }
    }

    /// Adds to the digest of all that happened.
    pub fn trace(&mut self, what: u64, about: u64) {
        self.digest = mix(self.digest ^ mix(what) ^ about.rotate_left(32)).wrapping_add(self.now);
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether a fault strikes that does so this many times in a thousand.
    pub fn fault(&mut self, per_mille: u64) -> bool {
        let strikes = per_mille > 0 && self.rng.chance(per_mille);
        self.tally.faults += u64::from(strikes);
        strikes
    }

    /// The server's ends that are open.
    pub fn open(&self) -> impl Iterator<Item = &End> {
        self.ends.iter().filter(|end| end.is_servers && !end.closed)
    }

    /// The server is told to stop, and has this long to drain.
    pub fn stop(&mut self, drain_timeout: u64) {
        self.stopping = true;
        self.drained_by = Some(self.now + drain_timeout);
        for end in &mut self.ends {
            end.read_when_stopped = end.read;
            end.arrived_when_stopped = end.read + end.arrived.len() as u64;
            end.deceived = false;
        }
        self.signal(Signal::Terminate);
    }

    /// Whether all that had arrived when the server was told to stop has been read, or a whole budget of it.
    pub fn has_heard_out(&self, end: &End) -> bool {
        !self.stopping
            || end.deceived
            || end.read >= end.arrived_when_stopped
            || end.read - end.read_when_stopped >= self.budget as u64
    }

    pub fn listen(&mut self, source: Source) -> usize {
        let index = self.listeners.len();
        assert_eq!(source, Source::listener(u32::try_from(index).unwrap()));
        self.listeners.push(Listener {
            armed: true,
            ..Listener::default()
        });
        index
    }

    pub fn close_listener(&mut self, index: usize) {
        self.listeners[index].closed = true;
        self.listeners[index].pending = false;
        let queue = std::mem::take(&mut self.listeners[index].queue);
        let could_accept = self.faults.exhausted == 0;
        assert!(
            queue.is_empty() || !could_accept,
            "the queue is reset, not taken in"
        );
        for client in queue {
            self.reset_arrives(client);
        }
    }

    /// Connects to a listener.
    pub fn connect(&mut self, index: usize, source: u8) -> io::Result<EndId> {
        let listener = &self.listeners[index];
        if listener.closed {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if listener.queue.len() >= BACKLOG {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let client = self.ends.len();
        let server = client + 1;
        for peer in [server, client] {
            self.ends.push(End {
                peer: Some(peer),
                window: self.window,
                source,
                ..End::default()
            });
        }
        let weak = self.weak;
        let listener = &mut self.listeners[index];
        listener.queue.push_back(client);
        if listener.armed || !weak {
            listener.armed = false;
            listener.pending = true;
        }
        Ok(client)
    }

    /// How much the other end can take.
    pub fn peer_room(&self, id: EndId) -> usize {
        let peer = self.ends[id].peer;
        peer.map_or(0, |peer| self.ends[peer].room())
    }

    pub fn read(&mut self, id: EndId, buffer: &mut [u8]) -> io::Result<usize> {
        let end = &mut self.ends[id];
        if end.arrived.is_empty() {
            if end.reset_arrived && !end.reset_told {
                end.reset_told = true;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if end.fin_arrived || end.reset_arrived {
                return Ok(0);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let was_full = end.room() == 0;
        let before_mark = end.bytes_before_mark();
        let count = buffer.len().min(end.arrived.len()).min(before_mark);
        for (place, byte) in buffer.iter_mut().zip(end.arrived.drain(..count)) {
            *place = byte;
        }
        end.read += count as u64;
        while end.urgent.front().is_some_and(|mark| *mark < end.read) {
            end.urgent.pop_front();
        }
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
        let count = bytes.len().min(self.ends[peer].room());
        self.ends[id].written += count as u64;
        if self.ends[peer].closed {
            // Nobody is there any more: that is what a reset says (RFC 9293, 3.10.7.1).
            self.reset_arrives(id);
        } else if count > 0 {
            self.ends[peer].arrived.extend(&bytes[..count]);
            self.readable(peer);
        }
        count
    }

    /// Marks the next byte that is sent as urgent.
    pub fn mark_urgent(&mut self, id: EndId) {
        let at = self.ends[id].written;
        if let Some(peer) = self.ends[id].peer {
            self.ends[peer].urgent.push_back(at);
        }
    }

    pub fn fin(&mut self, id: EndId) {
        let now = self.now;
        let end = &mut self.ends[id];
        end.fin_sent = true;
        end.fin_at = now;
        if let Some(peer) = end.peer {
            self.ends[peer].fin_arrived = true;
            self.readable(peer);
        }
    }

    /// Closes an end. With input unread that is a reset, whatever was meant (RFC 9293, 3.10.4).
    pub fn close(&mut self, id: EndId, reset: bool) {
        let end = &mut self.ends[id];
        end.closed = true;
        let unread = !end.arrived.is_empty();
        let fin_sent = end.fin_sent;
        let Some(peer) = end.peer else { return };
        if reset || unread {
            self.reset_arrives(peer);
        } else if !fin_sent {
            self.fin(id);
        }
    }

    /// A reset arrives, and destroys what was on its way.
    pub fn reset_arrives(&mut self, id: EndId) {
        let end = &mut self.ends[id];
        end.reset_arrived = true;
        end.arrived.clear();
        end.urgent.clear();
        self.readable(id);
        self.writable_after_reset(id);
    }
}
