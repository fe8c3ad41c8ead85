//! The simulated world: time, sockets, and what becomes ready when.
//!
//! Bytes arrive as they are sent; what makes life hard are the faults, and the edges: in the weak world an edge is
//! owed only after a call has blocked, which is all that mio promises. What must hold whenever the server does
//! something is asserted where it does it.

use crate::faults::Faults;
use crate::rng::{Rng, mix};
use echoloop::net::{Key, Readiness, Ready, Signal, Source};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Names an end of a connection.
pub type EndId = usize;

pub const MILLISECOND: u64 = 1_000_000;

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    pub peer: Option<EndId>,
    /// What has arrived and was not read.
    pub arrived: VecDeque<u8>,
    /// How much may have arrived unread.
    pub window: usize,
    /// Where in the stream of arriving bytes urgent marks are: positions counted from the first byte.
    urgent: VecDeque<u64>,
    pub fin_arrived: bool,
    pub reset_arrived: bool,
    /// The reset was told once; after that, reads find the end.
    reset_told: bool,
    pub fin_sent: bool,
    pub closed: bool,
    /// Bytes read and written at this end.
    pub read: u64,
    pub written: u64,
    /// How many bytes were read when FIN was sent.
    pub read_before_fin: u64,
    registered: Option<(Key, bool)>,
    read_armed: bool,
    write_armed: bool,
    pending: Readiness,
}

impl End {
    fn new(window: usize) -> End {
        End {
            peer: None,
            arrived: VecDeque::new(),
            window,
            urgent: VecDeque::new(),
            fin_arrived: false,
            reset_arrived: false,
            reset_told: false,
            fin_sent: false,
            closed: false,
            read: 0,
            written: 0,
            read_before_fin: 0,
            registered: None,
            read_armed: false,
            write_armed: false,
            pending: Readiness::NONE,
        }
    }

    fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.fin_arrived || self.reset_arrived
    }

    fn room(&self) -> usize {
        self.window.saturating_sub(self.arrived.len())
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
struct Listener {
    queue: VecDeque<EndId>,
    armed: bool,
    pending: bool,
    closed: bool,
}

/// What a run has seen, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub waits: u64,
    pub faults: u64,
}

#[derive(Debug)]
pub struct World {
    pub now: u64,
    pub rng: Rng,
    pub faults: Faults,
    /// Whether an edge is owed only after a call has blocked.
    pub weak: bool,
    pub ends: Vec<End>,
    listeners: Vec<Listener>,
    pub signals: VecDeque<Signal>,
    signal_pending: bool,
    /// Until when descriptors are exhausted.
    exhausted_until: u64,
    /// The server sleeps; `u64::MAX`: until something is ready.
    pub asleep_until: Option<u64>,
    stale: Vec<Key>,
    pub tally: Tally,
    digest: u64,
    /// Bytes that one connection may be owed.
    pub max_pending: usize,
    /// Buffers of this size are given to connections.
    pub window: usize,
    /// Server ends that are open.
    pub open: usize,
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
            signals: VecDeque::new(),
            signal_pending: false,
            exhausted_until: 0,
            asleep_until: None,
            stale: Vec::new(),
            tally: Tally::default(),
            digest: 0,
            max_pending: usize::MAX,
            window: 0,
            open: 0,
        }
    }

    /// Adds to the digest of all that happened.
    pub fn trace(&mut self, what: u64, about: u64) {
        self.digest = mix(self.digest ^ mix(what) ^ about.rotate_left(32)).wrapping_add(self.now);
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    fn fault(&mut self, per_mille: u64) -> bool {
        let strikes = per_mille > 0 && self.rng.chance(per_mille);
        self.tally.faults += u64::from(strikes);
        strikes
    }

    pub fn signal(&mut self, signal: Signal) {
        self.signals.push_back(signal);
        self.signal_pending = true;
    }

    // Events.

    fn readable(&mut self, id: EndId) {
        let weak = self.weak;
        let end = &mut self.ends[id];
        if end.registered.is_some() && (end.read_armed || !weak) {
            end.read_armed = false;
            end.pending |= Readiness::READABLE;
        }
    }

    fn writable(&mut self, id: EndId) {
        let end = &mut self.ends[id];
        if end.write_armed && end.registered.is_some_and(|(_, writable)| writable) {
            end.write_armed = false;
            end.pending |= Readiness::WRITABLE;
        }
    }

    /// An event without a cause, for anybody who is registered.
    fn collect_spurious(&mut self, ready: &mut Vec<Ready>) {
        let ends = self.ends.iter();
        let keys: Vec<Key> = ends.filter_map(|end| Some(end.registered?.0)).collect();
        if !keys.is_empty() && self.fault(self.faults.spurious) {
            let key = self.rng.one_of(&keys);
            let readiness = self.rng.one_of(&[Readiness::READABLE, Readiness::WRITABLE]);
            ready.push(Ready { key, readiness });
        }
    }

    /// What is ready now, with all that a selector may do to the order and the number of events.
    fn collect(&mut self, ready: &mut Vec<Ready>) {
        for index in 0..self.ends.len() {
            self.collect_end(index, ready);
        }
        self.collect_spurious(ready);
        for index in 0..self.listeners.len() {
            if std::mem::take(&mut self.listeners[index].pending) {
                let source = Source::listener(u32::try_from(index).unwrap());
                let key = Key::of_source(source);
                let readiness = Readiness::READABLE;
                ready.push(Ready { key, readiness });
            }
        }
        if std::mem::take(&mut self.signal_pending) {
            let key = Key::of_source(Source::SIGNALS);
            let readiness = Readiness::READABLE;
            ready.push(Ready { key, readiness });
        }
    }

    fn collect_end(&mut self, index: EndId, ready: &mut Vec<Ready>) {
        let end = &mut self.ends[index];
        let Some((key, _)) = end.registered else {
            return;
        };
        let mut readiness = std::mem::take(&mut end.pending);
        let sticky = end.fin_arrived || end.reset_arrived || !end.urgent.is_empty();
        if readiness == Readiness::NONE {
            return;
        }
        if sticky && !self.weak && readiness.contains(Readiness::READABLE) {
            readiness |= Readiness::DRAIN;
        }
        let both = Readiness::READABLE | Readiness::WRITABLE;
        if readiness.contains(both) && self.fault(self.faults.split) {
            let writable = Readiness::WRITABLE;
            ready.push(Ready {
                key,
                readiness: readiness.without(writable),
            });
            readiness = writable;
        }
        ready.push(Ready { key, readiness });
    }

    /// As the server's wait: what is ready, or nothing and the server is asleep.
    pub fn wait(&mut self, timeout: Option<u64>, ready: &mut Vec<Ready>) {
        self.tally.waits += 1;
        ready.clear();
        if self.fault(self.faults.wait_interrupted) {
            return;
        }
        self.collect(ready);
        if ready.is_empty() && timeout != Some(0) {
            let late = self.rng.between(0, self.faults.late_wake_ms) * MILLISECOND;
            let until = timeout.map_or(u64::MAX, |timeout| {
                self.now.saturating_add(timeout).saturating_add(late)
            });
            self.asleep_until = Some(until);
            return;
        }
        if self.fault(self.faults.stale)
            && let Some(&key) = self.stale.last()
        {
            let readiness = Readiness::READABLE | Readiness::WRITABLE | Readiness::DRAIN;
            ready.push(Ready { key, readiness });
        }
        if self.faults.shuffle {
            self.rng.shuffle(ready);
        }
        if self.faults.batch > 0 {
            self.put_back(ready.split_off(ready.len().min(self.faults.batch)));
        }
        for event in ready {
            self.trace(1, event.key.to_u64());
        }
    }

    /// Events that did not fit come with a later wait.
    fn put_back(&mut self, events: Vec<Ready>) {
        for event in events {
            match event.key.source() {
                Some(Source::SIGNALS) => self.signal_pending = true,
                Some(source) => self.listeners[source.0 as usize - 1].pending = true,
                None => {
                    let key = event.key;
                    let mut ends = self.ends.iter_mut();
                    if let Some(end) =
                        ends.find(|end| end.registered.is_some_and(|(own, _)| own == key))
                    {
                        end.pending |= event.readiness;
                    }
                }
            }
        }
    }

    /// Whether anything would be ready.
    pub fn is_anything_ready(&self) -> bool {
        let ends = self.ends.iter();
        self.signal_pending
            || self.listeners.iter().any(|listener| listener.pending)
            || ends
                .filter(|end| end.registered.is_some())
                .any(|end| end.pending != Readiness::NONE)
    }

    // The server's calls.

    pub fn listen(&mut self) -> usize {
        self.listeners.push(Listener {
            armed: true,
            ..Listener::default()
        });
        self.listeners.len() - 1
    }

    pub fn close_listener(&mut self, index: usize) {
        self.listeners[index].closed = true;
        self.listeners[index].pending = false;
        for id in std::mem::take(&mut self.listeners[index].queue) {
            self.reset_arrives(id);
        }
    }

    pub fn accept(&mut self, index: usize) -> io::Result<EndId> {
        use io::ErrorKind;
        if self.now < self.exhausted_until || self.fault(self.faults.exhausted) {
            if self.now >= self.exhausted_until {
                let milliseconds = self.rng.between(0, self.faults.exhausted_ms);
                self.exhausted_until = self.now + milliseconds * MILLISECOND;
            }
            const EMFILE: i32 = 24;
            const ENOBUFS: i32 = 105;
            let errno = self.rng.one_of(&[EMFILE, ENOBUFS]);
            return Err(io::Error::from_raw_os_error(errno));
        }
        let Some(client) = self.listeners[index].queue.pop_front() else {
            self.listeners[index].armed = true;
            return Err(ErrorKind::WouldBlock.into());
        };
        if self.fault(self.faults.accept_aborted) {
            self.reset_arrives(client);
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let id = self.ends[client].peer.expect("made when it connected");
        self.open += 1;
        self.trace(2, id as u64);
        Ok(id)
    }

    pub fn register(&mut self, id: EndId, key: Key, writable: bool) {
        let room = self.peer_room(id);
        let end = &mut self.ends[id];
        end.registered = Some((key, writable));
        end.read_armed = !end.is_readable();
        end.pending = Readiness::READABLE.when(end.is_readable());
        end.write_armed = writable && room == 0;
        end.pending |= Readiness::WRITABLE.when(writable && room > 0);
    }

    fn peer_room(&self, id: EndId) -> usize {
        let peer = self.ends[id].peer;
        peer.map_or(0, |peer| self.ends[peer].room())
    }

    pub fn server_read(&mut self, id: EndId, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fault(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.fault(self.faults.read_blocks) {
            self.ends[id].read_armed = true;
            if self.ends[id].is_readable() {
                self.readable(id);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut most = buffer.len();
        if self.weak && self.ends[id].arrived.len() > 1 && self.fault(self.faults.partial_read) {
            most = most.min(1 + self.rng.index(self.ends[id].arrived.len()));
        }
        let result = self.read(id, &mut buffer[..most]);
        let end = &mut self.ends[id];
        match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => end.read_armed = true,
            _ => {}
        }
        let owed = end.read - end.written;
        assert!(
            end.fin_sent || owed <= self.max_pending as u64,
            "{owed} bytes owed, allowed are {}",
            self.max_pending
        );
        let outcome = result.as_ref().map_or(u64::MAX, |count| *count as u64);
        self.trace(3, outcome);
        result
    }

    pub fn server_write(&mut self, id: EndId, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.ends[id].fin_sent, "bytes written behind a FIN");
        if self.fault(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.ends[id].reset_arrived {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.peer_room(id) == 0 || self.fault(self.faults.write_blocks) {
            self.ends[id].write_armed = true;
            if self.peer_room(id) > 0 {
                self.writable(id);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut offered = bytes;
        if offered.len() > 1 && self.fault(self.faults.partial_write) {
            offered = &offered[..1 + self.rng.index(offered.len() - 1)];
        }
        let count = self.send(id, offered);
        self.trace(4, count as u64);
        Ok(count)
    }

    pub fn server_fin(&mut self, id: EndId) -> io::Result<()> {
        if self.ends[id].reset_arrived {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.trace(5, id as u64);
        self.check_nothing_owed(id);
        self.fin(id);
        Ok(())
    }

    /// What was read is sent before FIN: for raw echo, the two counts are equal.
    fn check_nothing_owed(&self, id: EndId) {
        let end = &self.ends[id];
        if !end.reset_arrived {
            assert_eq!(
                end.read, end.written,
                "FIN before all that was read was sent"
            );
        }
    }

    pub fn server_close(&mut self, id: EndId, reset: bool) {
        self.trace(6, id as u64);
        assert!(!self.ends[id].closed, "closed twice");
        self.open -= 1;
        if !reset && !self.ends[id].fin_sent {
            self.check_nothing_owed(id);
        }
        if let Some((key, _)) = self.ends[id].registered.take() {
            self.stale.push(key);
        }
        self.close(id, reset);
    }

    // What both ends can do.

    /// Connects to a listener; false if its queue is full or it is closed.
    pub fn connect(&mut self, index: usize) -> io::Result<EndId> {
        const BACKLOG: usize = 16;
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
            let mut end = End::new(self.window);
            end.peer = Some(peer);
            self.ends.push(end);
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
        let count = buffer
            .len()
            .min(end.arrived.len())
            .min(end.bytes_before_mark());
        for (place, byte) in buffer.iter_mut().zip(end.arrived.drain(..count)) {
            *place = byte;
        }
        end.read += count as u64;
        while end.urgent.front().is_some_and(|mark| *mark < end.read) {
            end.urgent.pop_front();
        }
        if let Some(peer) = end.peer {
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
        if !self.ends[peer].closed {
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
        let end = &mut self.ends[id];
        end.fin_sent = true;
        end.read_before_fin = end.read;
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
    fn reset_arrives(&mut self, id: EndId) {
        let end = &mut self.ends[id];
        end.reset_arrived = true;
        end.arrived.clear();
        end.urgent.clear();
        self.readable(id);
        let end = &mut self.ends[id];
        end.write_armed = true;
        self.writable(id);
    }
}
