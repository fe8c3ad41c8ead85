//! Who is told of what: the selector of each host, in one of two worlds.
//!
//! In the weak world an edge is owed only after a call has blocked, which is all that mio promises. In the other it is
//! as with epoll: an edge for each arrival, and a short read has emptied the socket. In both an event says all that its
//! socket is ready for when it is given out, and not what it was caused by; in the weak one, what is not owed may be
//! left out.

use crate::world::{MILLISECOND, SocketId, World};
use echoloop::net::{Key, Readiness, Ready, Signal, Source};
use std::collections::VecDeque;

/// Which program: the server, or the one with many clients.
pub const SERVER: usize = 0;
pub const CLIENTS: usize = 1;

/// What a host's selector knows beside the sockets.
#[derive(Debug, Default)]
pub struct Host {
    pub signals: VecDeque<Signal>,
    signal_pending: bool,
    /// It sleeps until then; `u64::MAX`: until something is ready.
    pub asleep_until: Option<u64>,
    /// Its last wait was not to sleep, since it had something to do.
    pub is_busy: bool,
    /// Keys of connections that have been closed.
    stale: Vec<Key>,
    /// The wait that it is in fails with EINTR.
    is_interrupted: bool,
}

/// What is watched for at one end, and what its owner has been told.
#[derive(Debug, Default)]
pub struct Watch {
    registered: Option<(usize, Key, bool)>,
    read_armed: bool,
    write_armed: bool,
    /// What an event is owed for.
    pending: Readiness,
    /// So many events said so, and so many calls have blocked less: only above zero may a call be made.
    pub may_read: u32,
    pub may_write: u32,
    /// An event said to read until it blocks.
    pub drain: bool,
}

impl Watch {
    pub fn key(&self) -> Option<Key> {
        self.registered.map(|(_, key, _)| key)
    }

    /// A read has told that nothing more is there.
    pub fn reads_no_more(&mut self) {
        self.may_read = self.may_read.saturating_sub(1);
    }

    fn is_of(&self, host: usize) -> bool {
        self.registered.is_some_and(|(own, _, _)| own == host)
    }

    fn asks_for_room(&self) -> bool {
        self.registered.is_some_and(|(_, _, writable)| writable)
    }

    /// A program that waits again has heeded all that it was told, and knows no more of it than that it was so.
    fn was_heeded(&mut self) {
        self.may_read = self.may_read.min(1);
        self.may_write = self.may_write.min(1);
    }
}

impl World {
    pub fn signal(&mut self, host: usize, signal: Signal) {
        self.hosts[host].signals.push_back(signal);
        self.hosts[host].signal_pending = true;
    }

    /// A program's wait ends with EINTR, and the next one reports what is ready.
    pub fn interrupt_wait(&mut self, host: usize) {
        self.hosts[host].is_interrupted = true;
        self.hosts[host].asleep_until = None;
    }

    pub fn register(&mut self, host: usize, id: SocketId, key: Key, writable: bool) {
        self.sockets[id].watch.registered = Some((host, key, writable));
        let level = self.level(id);
        let watch = &mut self.sockets[id].watch;
        watch.read_armed = !level.contains(Readiness::READABLE);
        watch.write_armed = writable && !level.contains(Readiness::WRITABLE);
        watch.pending = level.difference(Readiness::DRAIN);
    }

    /// What an event says of an end as it stands. As epoll has it: of the end of a connection it tells also who has not
    /// asked (EPOLLHUP), and of room only who has.
    fn level(&self, id: SocketId) -> Readiness {
        let end = &self.sockets[id];
        let is_hung_up = end.is_hung_up();
        let room = end.was_established && (end.fin_sent || self.is_writable(id));
        let drain = end.fin_arrived || is_hung_up || end.has_urgent_mark();
        Readiness::READABLE.when(end.is_readable())
            | Readiness::WRITABLE.when(is_hung_up || (room && end.watch.asks_for_room()))
            | Readiness::DRAIN.when(drain && !self.weak)
    }

    pub fn deregister(&mut self, id: SocketId) {
        if let Some((host, key, _)) = self.sockets[id].watch.registered.take() {
            self.hosts[host].stale.push(key);
        }
    }

    /// A read blocked: an edge is owed for what comes.
    pub fn arm_read(&mut self, id: SocketId) {
        let weak = self.weak;
        let watch = &mut self.sockets[id].watch;
        watch.read_armed = true;
        if weak {
            // What has been seen is not told of any more.
            watch.pending = watch.pending.difference(Readiness::READABLE);
        }
        watch.reads_no_more();
        // An event may be told and not yet heeded; what it says still counts then.
        watch.drain &= watch.may_read > 0;
        if self.sockets[id].is_readable() {
            self.readable(id);
        }
    }

    /// A write blocked: an edge is owed when there is room.
    pub fn arm_write(&mut self, id: SocketId) {
        let watch = &mut self.sockets[id].watch;
        watch.may_write = watch.may_write.saturating_sub(1);
        self.asks_for_an_edge(id);
    }

    /// Somebody has found no room: an edge is owed when there is some (`SOCK_NOSPACE`).
    pub fn asks_for_an_edge(&mut self, id: SocketId) {
        self.sockets[id].watch.write_armed = true;
        if self.is_writable(id) {
            self.writable(id);
        }
    }

    /// Something has arrived.
    pub fn readable(&mut self, id: SocketId) {
        let weak = self.weak;
        let watch = &mut self.sockets[id].watch;
        if watch.registered.is_some() && (watch.read_armed || !weak) {
            watch.read_armed = false;
            watch.pending |= Readiness::READABLE;
        }
    }

    /// There is room at the other end.
    pub fn writable(&mut self, id: SocketId) {
        let watch = &mut self.sockets[id].watch;
        if watch.write_armed && watch.asks_for_room() {
            watch.write_armed = false;
            watch.pending |= Readiness::WRITABLE;
        }
    }

    /// Whether anything would be ready.
    pub fn is_anything_ready(&self, host: usize) -> bool {
        let mut watches = self.sockets.iter().map(|end| &end.watch);
        let server = host == SERVER;
        self.hosts[host].signal_pending
            || (server && self.listeners.iter().any(|listener| listener.pending))
            || watches.any(|watch| watch.is_of(host) && watch.pending != Readiness::NONE)
    }

    /// As a program's wait: what is ready, or nothing, and then the program is asleep.
    pub fn wait(&mut self, host: usize, timeout: Option<u64>, ready: &mut Vec<Ready>) {
        self.tally.waits += 1;
        self.hosts[host].is_busy = timeout == Some(0);
        ready.clear();
        let watches = self.sockets.iter_mut().map(|end| &mut end.watch);
        for watch in watches.filter(|watch| watch.is_of(host)) {
            watch.was_heeded();
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
        self.distort(host, ready);
        for event in ready {
            self.trace(1, event.key.to_u64());
            self.tell(host, *event);
        }
    }

    fn collect(&mut self, host: usize, ready: &mut Vec<Ready>) {
        for index in 0..self.sockets.len() {
            if self.sockets[index].watch.is_of(host) {
                self.collect_end(index, ready);
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
        self.collect_spurious(host, ready);
    }

    fn collect_end(&mut self, index: SocketId, ready: &mut Vec<Ready>) {
        let Some(key) = self.sockets[index].watch.key() else {
            return;
        };
        let owed = std::mem::take(&mut self.sockets[index].watch.pending);
        if owed == Readiness::NONE {
            return;
        }
        let mut readiness = self.level(index);
        self.rearm(index, owed, readiness);
        let surplus = readiness.difference(owed);
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

    /// What is not so any more is not told, and so an edge for it is owed again.
    fn rearm(&mut self, index: SocketId, owed: Readiness, level: Readiness) {
        let gone = owed.difference(level);
        let watch = &mut self.sockets[index].watch;
        watch.read_armed |= gone.contains(Readiness::READABLE);
        watch.write_armed |= gone.contains(Readiness::WRITABLE);
        // Whoever looks and finds no room is told when there is some (SOCK_NOSPACE).
        watch.write_armed |= watch.asks_for_room() && !level.contains(Readiness::WRITABLE);
    }

    /// An event without a cause, for anybody who is registered.
    fn collect_spurious(&mut self, host: usize, ready: &mut Vec<Ready>) {
        if !self.fault(self.faults.spurious) {
            return;
        }
        let watches = self.sockets.iter().map(|end| &end.watch);
        let watches = watches.filter(|watch| watch.is_of(host));
        let keys: Vec<Key> = watches.filter_map(Watch::key).collect();
        if !keys.is_empty() {
            let key = self.rng.one_of(&keys);
            let readiness = self.rng.one_of(&[Readiness::READABLE, Readiness::WRITABLE]);
            ready.push(Ready { key, readiness });
        }
    }

    /// Does to a batch of events what a selector, and what came before in the batch, may do to it.
    fn distort(&mut self, host: usize, ready: &mut Vec<Ready>) {
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
                self.put_back(host, event);
            }
        }
    }

    /// An event that did not fit comes with a later wait.
    fn put_back(&mut self, host: usize, event: Ready) {
        match event.key.source() {
            Some(Source::SIGNALS) => self.hosts[host].signal_pending = true,
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

    /// A program is told of an event.
    fn tell(&mut self, host: usize, event: Ready) {
        if let Some(watch) = self.watch_of(host, event.key) {
            watch.may_read += u32::from(event.readiness.contains(Readiness::READABLE));
            watch.may_write += u32::from(event.readiness.contains(Readiness::WRITABLE));
            watch.drain |= event.readiness.contains(Readiness::DRAIN);
        }
    }

    fn watch_of(&mut self, host: usize, key: Key) -> Option<&mut Watch> {
        let mut watches = self.sockets.iter_mut().map(|end| &mut end.watch);
        watches.find(|watch| watch.is_of(host) && watch.key() == Some(key))
    }
}

fn source_ready(source: Source) -> Ready {
    Ready {
        key: Key::of_source(source),
        readiness: Readiness::READABLE,
    }
}
