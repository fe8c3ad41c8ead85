//! The ring that holds the last events of a network.

use super::super::{AcceptError, Ending, Key, Ready, Time};
use super::{Opening, TraceEvent, TraceKind};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// The most peer addresses that are kept; further connections have none.
const MAX_PEERS: usize = 65_536;

/// The largest number of a stream that can be recorded: the most file descriptors that Linux allows by default.
const MAX_NUMBER: usize = 1 << 20;

/// The last events of a network.
pub struct Ring {
    events: Vec<TraceEvent>,
    /// The index of the oldest event, once all places are used.
    oldest: usize,
    capacity: usize,
    dropped: u64,
    clock: Box<dyn Fn() -> Time>,
    /// By the number of its stream: the serial number of each connection; 0: none.
    serials: Vec<u32>,
    /// A connection that was accepted or started, and is not registered yet.
    unregistered: Option<Unregistered>,
    peers: HashMap<u32, SocketAddr>,
    /// Connections in `peers` that have closed, in this order.
    closed: VecDeque<u32>,
}

struct Unregistered {
    number: u32,
    start: Time,
    nanos: u64,
    peer: SocketAddr,
    opening: Opening,
}

impl Ring {
    pub(super) fn new(capacity: usize, clock: Box<dyn Fn() -> Time>) -> Ring {
        Ring {
            events: Vec::new(),
            oldest: 0,
            capacity: capacity.max(1),
            dropped: 0,
            clock,
            serials: Vec::new(),
            unregistered: None,
            peers: HashMap::new(),
            closed: VecDeque::new(),
        }
    }

    /// The events, the oldest first.
    pub fn events(&self) -> impl Iterator<Item = TraceEvent> {
        let (newer, older) = self.events.split_at(self.oldest);
        older.iter().chain(newer).copied()
    }

    /// The number of events that were dropped, all of them older than those in the ring.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The address of the peer of a connection, if it was recorded.
    #[must_use]
    pub fn peer(&self, serial: u32) -> Option<SocketAddr> {
        self.peers.get(&serial).copied()
    }

    /// Removes all events.
    pub fn clear(&mut self) {
        self.events.clear();
        (self.oldest, self.dropped) = (0, 0);
    }

    #[inline]
    pub(super) fn time(&self) -> Time {
        (self.clock)()
    }

    #[inline]
    fn push(&mut self, time: Time, nanos: u64, serial: u32, kind: TraceKind) {
        let event = TraceEvent::with_nanos(time, nanos, serial, kind);
        if self.events.len() < self.capacity {
            self.events.push(event);
            return;
        }
        if let Some(place) = self.events.get_mut(self.oldest) {
            *place = event;
        }
        self.dropped += 1;
        self.oldest += 1;
        if self.oldest == self.capacity {
            self.oldest = 0;
        }
    }

    fn last_mut(&mut self) -> Option<&mut TraceEvent> {
        let last = self.oldest.checked_sub(1);
        match last {
            Some(last) => self.events.get_mut(last),
            None => self.events.last_mut(),
        }
    }

    /// Records an event without a duration.
    pub(super) fn push_now(&mut self, serial: u32, kind: TraceKind) {
        self.push(self.time(), 0, serial, kind);
    }

    /// Records a call that has just ended, on the stream with this number.
    #[inline]
    pub(super) fn record_call(&mut self, number: u32, start: Time, kind: TraceKind) {
        let serial = self.serial(number);
        if serial != 0 {
            self.push(start, self.nanos_since(start), serial, kind);
        }
    }

    #[inline]
    fn nanos_since(&self, start: Time) -> u64 {
        let now = self.time().as_nanos();
        now.saturating_sub(start.as_nanos())
    }

    #[inline]
    fn serial(&self, number: u32) -> u32 {
        self.serials.get(number as usize).copied().unwrap_or(0)
    }

    /// Records a wait that has just ended.
    pub(super) fn record_wait(&mut self, start: Time, timeout: Option<Duration>, ready: &[Ready]) {
        let end = self.time();
        let is_empty_poll = timeout == Some(Duration::ZERO) && ready.is_empty();
        if is_empty_poll
            && let Some(last) = self.last_mut()
            && last.kind == TraceKind::Woke(0)
        {
            // A loop that polls without sleeping would fill the ring with its polls.
            last.time = end;
            return;
        }
        let timeout = timeout.map_or(u32::MAX, |timeout| {
            u32::try_from(timeout.as_micros())
                .map_or(u32::MAX - 1, |micros| micros.min(u32::MAX - 1))
        });
        self.push(start, 0, 0, TraceKind::Wait(timeout));
        let count = u32::try_from(ready.len()).unwrap_or(u32::MAX);
        self.push(end, 0, 0, TraceKind::Woke(count));
        for Ready { key, readiness } in ready {
            let kind = TraceKind::Ready {
                readiness: *readiness,
                source: key.source().map_or(0, |source| source.0),
            };
            self.push(end, 0, key.serial, kind);
        }
    }

    /// Records an attempt to accept.
    pub(super) fn record_accept(
        &mut self,
        start: Time,
        accepted: Result<(u32, SocketAddr), &AcceptError>,
    ) {
        let nanos = self.nanos_since(start);
        let failed = match accepted {
            Ok((number, peer)) => {
                self.unregistered = Some(Unregistered {
                    number,
                    start,
                    nanos,
                    peer,
                    opening: Opening::Accepted,
                });
                return;
            }
            Err(AcceptError::Empty) => TraceKind::AcceptEmpty,
            Err(AcceptError::Exhausted(_)) => TraceKind::AcceptExhausted,
            Err(AcceptError::ThisConnection(error) | AcceptError::Fatal(error)) => {
                TraceKind::AcceptFailed(error.kind())
            }
        };
        self.push(start, nanos, 0, failed);
    }

    /// Records the start of a connection to `target`.
    pub(super) fn record_connect(&mut self, start: Time, number: u32, target: SocketAddr) {
        self.unregistered = Some(Unregistered {
            number,
            start,
            nanos: self.nanos_since(start),
            peer: target,
            opening: Opening::Connecting,
        });
    }

    /// Records that a stream was registered.
    pub(super) fn record_open(&mut self, number: u32, key: Key) {
        let index = number as usize;
        if index >= MAX_NUMBER {
            return;
        }
        if index >= self.serials.len() {
            self.serials.resize((index + 1).next_power_of_two(), 0);
        }
        self.serials[index] = key.serial;
        match self.unregistered.take_if(|opened| opened.number == number) {
            Some(opened) => {
                self.keep_peer(key.serial, opened.peer);
                let kind = TraceKind::Opened(opened.opening);
                self.push(opened.start, opened.nanos, key.serial, kind);
            }
            None => self.push_now(key.serial, TraceKind::Opened(Opening::TakenOver)),
        }
    }

    fn keep_peer(&mut self, serial: u32, peer: SocketAddr) {
        if self.peers.len() >= MAX_PEERS
            && let Some(closed) = self.closed.pop_front()
        {
            self.peers.remove(&closed);
        }
        if self.peers.len() < MAX_PEERS {
            self.peers.insert(serial, peer);
        }
    }

    /// Records that a stream is closed.
    pub(super) fn record_close(&mut self, number: u32, ending: Ending) {
        let serial = self.serial(number);
        if serial == 0 {
            if self
                .unregistered
                .take_if(|opened| opened.number == number)
                .is_some()
            {
                self.push_now(0, TraceKind::Refused);
            }
            return;
        }
        self.serials[number as usize] = 0;
        if self.peers.contains_key(&serial) {
            self.closed.push_back(serial);
        }
        self.push_now(serial, TraceKind::Closed(ending));
    }
}
