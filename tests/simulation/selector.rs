//! The selector of each host: registrations, edges and the events that a wait returns.
//!
//! Two variants. The epoll variant raises an edge for each arrival, and a short read proves that the socket is empty.
//! The weak variant raises an edge only after a call has returned EAGAIN, which is all that mio guarantees. In both, an
//! event reports the full readiness of its socket at the time of the wait, not only the readiness that raised the edge;
//! the weak variant may leave out the surplus.

use crate::network::{MILLISECOND, Network, SocketId};
use echoloop::net::{Key, Readiness, Ready, Signal, Source};
use std::collections::VecDeque;

/// The hosts, one program each: the server, and the program under test with all clients.
pub const SERVER: usize = 0;
pub const CLIENTS: usize = 1;

/// The selector of a new process of the server during an upgrade (`two_processes.rs`).
pub const SUCCESSOR: usize = 2;

/// State of a host's selector that belongs to no socket.
#[derive(Debug, Default)]
pub struct Host {
    pub signals: VecDeque<Signal>,
    signal_pending: bool,
    /// A packet has arrived at its link.
    packet_pending: bool,
    /// The program sleeps in its wait until this time; `u64::MAX`: without a timeout.
    pub asleep_until: Option<u64>,
    /// The last wait had a timeout of zero: the program has work left.
    pub is_busy: bool,
    /// Keys of closed connections.
    stale: Vec<Key>,
    /// The current wait fails with EINTR.
    is_interrupted: bool,
}

/// Registration of one socket with a selector, and the events reported for it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Host, key, and whether writable readiness is watched.
    registered: Option<(usize, Key, bool)>,
    read_armed: bool,
    write_armed: bool,
    /// Readiness of the event that the next wait reports.
    pending: Readiness,
    /// Events reported, less the calls that returned EAGAIN since. Invariant: a program calls only if this is above zero.
    pub may_read: u32,
    pub may_write: u32,
    /// An event with [`Readiness::DRAIN`] was reported: the program must read until EAGAIN.
    pub drain: bool,
}

impl Watch {
    pub fn key(&self) -> Option<Key> {
        self.registered.map(|(_, key, _)| key)
    }

    /// A read has shown that the socket is empty.
    pub fn on_read_drained(&mut self) {
        self.may_read = self.may_read.saturating_sub(1);
    }

    /// A registration with the readiness of the socket: as `EPOLL_CTL_ADD` does, it reports what is ready now.
    pub fn registered(host: usize, key: Key, writable: bool, level: Readiness) -> Watch {
        Watch {
            registered: Some((host, key, writable)),
            read_armed: !level.contains(Readiness::READABLE),
            write_armed: writable && !level.contains(Readiness::WRITABLE),
            pending: level.difference(Readiness::DRAIN),
            ..Watch::default()
        }
    }

    /// Continues at another host, with the permissions to call that another process had.
    pub fn take_over(&mut self, host: usize, other: &Watch) {
        self.registered = self
            .registered
            .map(|(_, key, writable)| (host, key, writable));
        self.may_read = self.may_read.max(other.may_read);
        self.may_write = self.may_write.max(other.may_write);
        self.drain |= other.drain;
    }

    /// Input, FIN or an error has arrived: raises an edge if one is due.
    fn on_readable(&mut self, weak: bool) {
        if self.registered.is_some() && (self.read_armed || !weak) {
            self.read_armed = false;
            self.pending |= Readiness::READABLE;
        }
    }

    /// Output space has become available: raises an edge if one is due.
    fn on_writable(&mut self) {
        if self.write_armed && self.watches_writable() {
            self.write_armed = false;
            self.pending |= Readiness::WRITABLE;
        }
    }

    fn is_registered_at(&self, host: usize) -> bool {
        self.registered.is_some_and(|(at, _, _)| at == host)
    }

    fn watches_writable(&self) -> bool {
        self.registered.is_some_and(|(_, _, writable)| writable)
    }

    /// A program that waits again has handled all reported events; one permission to call remains at most.
    fn on_wait(&mut self) {
        self.may_read = self.may_read.min(1);
        self.may_write = self.may_write.min(1);
    }
}

impl Network {
    pub fn signal(&mut self, host: usize, signal: Signal) {
        self.hosts[host].signals.push_back(signal);
        self.hosts[host].signal_pending = true;
    }

    /// A packet has arrived at the link of a program.
    pub fn notify_packet(&mut self, host: usize) {
        self.hosts[host].packet_pending = true;
    }

    /// Ends the current wait with EINTR; the next one reports the pending events.
    pub fn interrupt_wait(&mut self, host: usize) {
        self.hosts[host].is_interrupted = true;
        self.hosts[host].asleep_until = None;
    }

    pub fn register(&mut self, host: usize, id: SocketId, key: Key, writable: bool) {
        let level = self.level(id, writable);
        let watch = Watch::registered(host, key, writable, level);
        let old = &mut self.sockets[id].watch;
        let (may_read, may_write, drain) = (old.may_read, old.may_write, old.drain);
        *old = Watch {
            may_read,
            may_write,
            drain,
            ..watch
        };
    }

    /// The current readiness of a socket. As with epoll, hang-up is reported without being requested (EPOLLHUP), output
    /// space only if it is watched.
    pub fn level(&self, id: SocketId, watches_writable: bool) -> Readiness {
        let socket = &self.sockets[id];
        let is_hung_up = socket.is_hung_up();
        let has_space = socket.was_established && (socket.fin_sent || self.is_writable(id));
        let drain = socket.fin_arrived || is_hung_up || socket.has_urgent_mark();
        Readiness::READABLE.when(socket.is_readable())
            | Readiness::WRITABLE.when(is_hung_up || (has_space && watches_writable))
            | Readiness::DRAIN.when(drain && !self.weak)
    }

    pub fn deregister(&mut self, id: SocketId) {
        if let Some((host, key, _)) = self.sockets[id].watch.registered.take() {
            self.hosts[host].stale.push(key);
        }
    }

    /// A read returned EAGAIN: the next arrival raises an edge.
    pub fn arm_read(&mut self, id: SocketId) {
        let weak = self.weak;
        let watch = &mut self.sockets[id].watch;
        watch.read_armed = true;
        if weak {
            // Input that was already read is no longer reported.
            watch.pending = watch.pending.difference(Readiness::READABLE);
        }
        watch.on_read_drained();
        // A reported event that is not yet handled keeps its DRAIN.
        watch.drain &= watch.may_read > 0;
        if self.sockets[id].is_readable() {
            self.notify_readable(id);
        }
    }

    /// A write returned EAGAIN: the next output space raises an edge.
    pub fn arm_write(&mut self, id: SocketId) {
        let watch = &mut self.sockets[id].watch;
        watch.may_write = watch.may_write.saturating_sub(1);
        self.request_writable_edge(id);
    }

    /// A program found no output space: the next space raises an edge (`SOCK_NOSPACE`).
    pub fn request_writable_edge(&mut self, id: SocketId) {
        self.sockets[id].watch.write_armed = true;
        if self.is_writable(id) {
            self.notify_writable(id);
        }
    }

    /// Bytes, FIN or an error have arrived: raises an edge if one is due.
    pub fn notify_readable(&mut self, id: SocketId) {
        let weak = self.weak;
        let socket = &mut self.sockets[id];
        socket.watch.on_readable(weak);
        if let Some(successor) = &mut socket.successor {
            successor.on_readable(weak);
        }
    }

    /// Output space has become available: raises an edge if one is due.
    pub fn notify_writable(&mut self, id: SocketId) {
        let socket = &mut self.sockets[id];
        socket.watch.on_writable();
        if let Some(successor) = &mut socket.successor {
            successor.on_writable();
        }
    }

    /// Whether a wait would return an event.
    pub fn is_anything_ready(&self, host: usize) -> bool {
        let mut watches = self.sockets.iter().map(|socket| &socket.watch);
        let server = host == SERVER;
        self.hosts[host].signal_pending
            || self.hosts[host].packet_pending
            || (server && self.listeners.iter().any(|listener| listener.pending))
            || watches.any(|watch| watch.is_registered_at(host) && watch.pending != Readiness::NONE)
    }

    /// As epoll_wait(2): fills `ready`, or puts the program to sleep if there is no event.
    pub fn wait(&mut self, host: usize, timeout: Option<u64>, ready: &mut Vec<Ready>) {
        self.check_not_frozen(host);
        self.tally.waits += 1;
        self.hosts[host].is_busy = timeout == Some(0);
        ready.clear();
        let watches = self.sockets.iter_mut().map(|socket| &mut socket.watch);
        for watch in watches.filter(|watch| watch.is_registered_at(host)) {
            watch.on_wait();
        }
        let is_interrupted = std::mem::take(&mut self.hosts[host].is_interrupted);
        if is_interrupted || self.fault(self.faults.wait_interrupted) {
            return;
        }
        self.collect(host, ready);
        if ready.is_empty() && timeout != Some(0) {
            let late = self.rng.between(0, self.faults.late_wake_ms) * MILLISECOND;
            let until = timeout.map_or(u64::MAX, |timeout| {
                self.now.saturating_add(timeout).saturating_add(late)
            });
            self.hosts[host].asleep_until = Some(until);
            return;
        }
        self.apply_batch_faults(host, ready);
        for event in ready {
            self.trace(1, event.key.to_u64());
            self.on_event_reported(host, *event);
        }
    }

    fn collect(&mut self, host: usize, ready: &mut Vec<Ready>) {
        for index in 0..self.sockets.len() {
            if self.sockets[index].watch.is_registered_at(host) {
                self.collect_socket(index, ready);
            }
        }
        if host == SERVER {
            for index in 0..self.listeners.len() {
                if std::mem::take(&mut self.listeners[index].pending) {
                    let source = Source::listener(u32::try_from(index).unwrap());
                    ready.push(source_ready(source));
                }
            }
        }
        if std::mem::take(&mut self.hosts[host].signal_pending) {
            ready.push(source_ready(Source::SIGNALS));
        }
        if std::mem::take(&mut self.hosts[host].packet_pending) {
            ready.push(source_ready(Source::PACKETS));
        }
        self.collect_spurious(host, ready);
    }

    fn collect_socket(&mut self, index: SocketId, ready: &mut Vec<Ready>) {
        let Some(key) = self.sockets[index].watch.key() else {
            return;
        };
        let due = std::mem::take(&mut self.sockets[index].watch.pending);
        if due == Readiness::NONE {
            return;
        }
        let writable = self.sockets[index].watch.watches_writable();
        let mut readiness = self.level(index, writable);
        self.rearm(index, due, readiness);
        let surplus = readiness.difference(due);
        if self.weak
            && surplus != Readiness::NONE
            && self.fault(self.faults.extra_readiness_withheld)
        {
            readiness = readiness.difference(surplus);
        }
        let both = Readiness::READABLE | Readiness::WRITABLE;
        if readiness.contains(both) && self.fault(self.faults.split) {
            let writable = Readiness::WRITABLE;
            ready.push(Ready {
                key,
                readiness: readiness.difference(writable),
            });
            readiness = writable;
        }
        if readiness != Readiness::NONE {
            ready.push(Ready { key, readiness });
        }
    }

    /// Readiness that has gone before the wait is not reported; its next occurrence raises an edge again.
    fn rearm(&mut self, index: SocketId, due: Readiness, level: Readiness) {
        let gone = due.difference(level);
        let watch = &mut self.sockets[index].watch;
        watch.read_armed |= gone.contains(Readiness::READABLE);
        watch.write_armed |= gone.contains(Readiness::WRITABLE);
        // A poll that finds no output space makes the next space raise an edge (SOCK_NOSPACE).
        watch.write_armed |= watch.watches_writable() && !level.contains(Readiness::WRITABLE);
    }

    /// Adds a spurious event for a random registered socket.
    fn collect_spurious(&mut self, host: usize, ready: &mut Vec<Ready>) {
        if !self.fault(self.faults.spurious) {
            return;
        }
        let watches = self.sockets.iter().map(|socket| &socket.watch);
        let watches = watches.filter(|watch| watch.is_registered_at(host));
        let keys: Vec<Key> = watches.filter_map(Watch::key).collect();
        if !keys.is_empty() {
            let key = self.rng.one_of(&keys);
            let readiness = self.rng.one_of(&[Readiness::READABLE, Readiness::WRITABLE]);
            ready.push(Ready { key, readiness });
        }
    }

    /// Applies faults to a batch of events: a stale key, another order, a smaller batch.
    fn apply_batch_faults(&mut self, host: usize, ready: &mut Vec<Ready>) {
        if !self.hosts[host].stale.is_empty() && self.fault(self.faults.stale) {
            let index = self.rng.index(self.hosts[host].stale.len());
            let key = self.hosts[host].stale[index];
            let readiness = Readiness::READABLE | Readiness::WRITABLE | Readiness::DRAIN;
            ready.push(Ready { key, readiness });
        }
        if self.faults.shuffle {
            self.rng.shuffle(ready);
        }
        if self.faults.batch > 0 {
            for event in ready.split_off(ready.len().min(self.faults.batch)) {
                self.requeue(host, event);
            }
        }
    }

    /// An event that does not fit into the batch is reported by a later wait.
    fn requeue(&mut self, host: usize, event: Ready) {
        match event.key.source() {
            Some(Source::SIGNALS) => self.hosts[host].signal_pending = true,
            Some(Source::PACKETS) => self.hosts[host].packet_pending = true,
            Some(source) => {
                let index = source.listener_index().unwrap() as usize;
                self.listeners[index].pending = true;
            }
            None => {
                if let Some(watch) = self.watch_of(host, event.key) {
                    watch.pending |= event.readiness.difference(Readiness::DRAIN);
                }
            }
        }
    }

    /// Counts a reported event as permission to call.
    fn on_event_reported(&mut self, host: usize, event: Ready) {
        if let Some(watch) = self.watch_of(host, event.key) {
            watch.may_read += u32::from(event.readiness.contains(Readiness::READABLE));
            watch.may_write += u32::from(event.readiness.contains(Readiness::WRITABLE));
            watch.drain |= event.readiness.contains(Readiness::DRAIN);
        }
    }

    fn watch_of(&mut self, host: usize, key: Key) -> Option<&mut Watch> {
        let mut watches = self.sockets.iter_mut().map(|socket| &mut socket.watch);
        watches.find(|watch| watch.is_registered_at(host) && watch.key() == Some(key))
    }
}

fn source_ready(source: Source) -> Ready {
    Ready {
        key: Key::of_source(source),
        readiness: Readiness::READABLE,
    }
}
