//! Two processes that have the same sockets, as during an upgrade: file descriptors of both, and a selector of each.
//!
//! A socket is closed, with FIN or RST, when its last file descriptor is closed. From the freeze to the take-over or the
//! rollback no process makes a call on a socket of the server, other than to register it; each such call is checked.

use crate::network::{Network, SocketId};
use crate::selector::{SERVER, SUCCESSOR, Watch};
use crate::socket::Socket;
use echoloop::net::{Key, Source};
use std::time::Duration;

impl Network {
    /// The server stops its event loop.
    pub fn freeze(&mut self) {
        let former = self.frozen_at.replace(self.now);
        assert!(former.is_none(), "two upgrades at a time");
        self.hosts[SERVER].asleep_until = None;
        self.trace(9, 0);
    }

    /// Checks that a program that makes a call may do so.
    pub fn check_not_frozen(&self, host: usize) {
        assert!(
            self.frozen_at.is_none() || host != SERVER,
            "a call between the freeze and the take-over"
        );
        assert_ne!(host, SUCCESSOR, "a call before the take-over");
    }

    /// Checks that a call on a socket may be made.
    pub fn check_call(&self, id: SocketId) {
        let socket = &self.sockets[id];
        assert!(
            self.frozen_at.is_none() || !socket.is_server_side,
            "a call on a socket between the freeze and the take-over: {socket:?}"
        );
    }

    /// Registers a socket with the selector of the new process: what is ready now is reported, as are later edges.
    pub fn register_with_successor(&mut self, id: SocketId, key: Key, writable: bool) {
        let level = self.level(id, writable);
        let watch = Watch::registered(SUCCESSOR, key, writable, level);
        let former = self.sockets[id].successor.replace(Box::new(watch));
        assert!(former.is_none(), "registered twice");
    }

    /// Registers a listener with the selector of the new process.
    pub fn register_listener_of_successor(&mut self, index: usize, source: Source) {
        assert_eq!(source, Source::listener(u32::try_from(index).unwrap()));
        let listener = &mut self.listeners[index];
        let former = listener.successor.replace(!listener.queue.is_empty());
        assert!(former.is_none(), "registered twice");
    }

    /// The new process continues with its selector; the old one is to be dropped.
    pub fn take_over(&mut self) {
        for socket in &mut self.sockets {
            if let Some(watch) = socket.successor.take() {
                let old = std::mem::replace(&mut socket.watch, *watch);
                socket.watch.take_over(SERVER, &old);
            } else {
                let is_served = socket.is_server_side && !socket.closed;
                assert!(!is_served, "not handed over: {socket:?}");
            }
        }
        for listener in self
            .listeners
            .iter_mut()
            .filter(|listener| !listener.closed)
        {
            let pending = listener.successor.take().expect("handed over");
            listener.pending = pending;
            listener.armed = !pending;
        }
        self.hosts[SERVER] = std::mem::take(&mut self.hosts[SUCCESSOR]);
        self.thaw();
        self.tally.upgrades += 1;
        self.trace(9, 1);
    }

    /// The new process has ended, and the old one continues with its own selector.
    pub fn roll_back(&mut self) {
        for socket in &mut self.sockets {
            socket.successor = None;
        }
        for listener in &mut self.listeners {
            listener.successor = None;
        }
        self.hosts[SUCCESSOR] = Default::default();
        self.thaw();
        self.tally.upgrades_failed += 1;
        self.trace(9, 2);
    }

    fn thaw(&mut self) {
        let frozen_at = self.frozen_at.take().expect("frozen");
        let pause = Duration::from_nanos(self.now - frozen_at);
        self.longest_pause = self.longest_pause.max(pause);
        let (now, least_timeout) = (self.now, self.least_timeout);
        let quiet = |socket: &&mut Socket| now >= socket.last_io_at.saturating_add(least_timeout);
        for socket in self.sockets.iter_mut().filter(quiet) {
            // At its deadline, the server reads once more; later, if it has queued work for the connection.
            socket.watch.may_read = socket.watch.may_read.max(1);
        }
    }

    /// Checks that no other process has a file descriptor: only then a close sends FIN or RST at once.
    pub fn check_single_owner(&self) {
        for socket in self.open() {
            assert_eq!(socket.fds, 1, "file descriptors of {socket:?}");
        }
        let mut listeners = self.listeners.iter();
        assert!(
            listeners.all(|listener| listener.fds == usize::from(!listener.closed)),
            "file descriptors of the listeners: {:?}",
            self.listeners
        );
    }
}
