//! The system calls of the programs under test: their results, injected faults, and the checks made on every call.

use crate::network::{MILLISECOND, Network, SocketId};
use crate::selector::SERVER;
use echoloop::connection::testing::LINGER;
use std::io;
use std::time::Duration;

impl Network {
    /// poll(2) on a listener. If the accept queue is empty, the next connection causes an edge.
    pub fn has_waiting(&mut self, index: usize) -> bool {
        self.check_not_frozen(SERVER);
        let listener = &mut self.listeners[index];
        listener.armed |= listener.queue.is_empty();
        !listener.queue.is_empty()
    }

    /// accept(2): returns the server's socket and the number of the client's address.
    pub fn accept(&mut self, index: usize) -> io::Result<(SocketId, u8)> {
        self.check_not_frozen(SERVER);
        if self.is_exhausted() {
            self.tally.exhausted += 1;
            const EMFILE: i32 = 24;
            const ENOBUFS: i32 = 105;
            let errno = self.rng.one_of(&[EMFILE, ENOBUFS]);
            return Err(io::Error::from_raw_os_error(errno));
        }
        let Some(client) = self.listeners[index].queue.pop_front() else {
            self.listeners[index].armed = true;
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if self.fault(self.faults.accept_aborted) {
            self.tally.aborted += 1;
            self.receive_reset(client);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.listeners[index].accepted += 1;
        self.arrive_during_drain();
        let id = self.sockets[client].peer.expect("created by the handshake");
        let socket = &mut self.sockets[id];
        socket.is_server_side = true;
        socket.last_io_at = self.now;
        socket.accepted_at = self.now;
        socket.acknowledged_at = self.now;
        socket.watch.may_write = 1;
        let source = socket.source;
        self.trace(2, id as u64);
        Ok((id, source))
    }

    fn is_exhausted(&mut self) -> bool {
        if self.faults.fds_exhausted == 0 {
            // The phase without faults has begun.
            return false;
        }
        if self.now >= self.exhausted_until && self.fault(self.faults.fds_exhausted) {
            let milliseconds = self.rng.between(0, self.faults.fds_exhausted_ms);
            self.exhausted_until = self.now + milliseconds * MILLISECOND;
        }
        self.now < self.exhausted_until
    }

    /// read(2) by a program under test.
    pub fn program_read(&mut self, id: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_call(id);
        let (now, least_timeout, stopping) = (self.now, self.least_timeout, self.stopping);
        let socket = &mut self.sockets[id];
        assert!(
            socket.was_established,
            "read before the connection was established: {socket:?}"
        );
        let has_edge =
            socket.watch.may_read > 0 || socket.fin_sent || socket.closure_reported || stopping;
        if !has_edge {
            assert!(
                socket.may_read_at_deadline(now, least_timeout),
                "read without an edge since the last EAGAIN: {socket:?}"
            );
            // At a deadline the program may read until EAGAIN, as after an edge.
            socket.watch.may_read = 1;
        }
        if self.fault(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // No EAGAIN is injected once the program has seen that the connection is closed: a read then drains the queue.
        if !self.sockets[id].closure_reported && self.fault(self.faults.read_blocks) {
            self.sockets[id].had_false_eagain = true;
            self.sockets[id].false_read_eagain_at = Some(now);
            self.arm_read(id);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let unread = self.sockets[id].receive_queue.len();
        let mut max = buffer.len();
        if self.weak && unread > 1 && self.fault(self.faults.partial_read) {
            max = max.min(1 + self.rng.index(unread));
        }
        let pending_before = self.sockets[id].server_pending_output();
        let result = self.read(id, &mut buffer[..max]);
        let outcome = result.as_ref().map_or(u64::MAX, |count| *count as u64);
        self.trace(3, outcome);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.arm_read(id),
            Err(_) => {}
            Ok(count) => self.after_read(id, *count, buffer.len(), pending_before),
        }
        result
    }

    fn after_read(&mut self, id: SocketId, count: usize, requested: usize, pending_before: u64) {
        let now = self.now;
        let weak = self.weak;
        let socket = &mut self.sockets[id];
        socket.read_in_iteration += count;
        if count < requested && count > 0 && !weak && !socket.watch.drain {
            socket.watch.on_read_drained();
        }
        if count == 0 || (socket.is_server_side && socket.fin_sent) {
            return;
        }
        socket.record_io(now);
        if !socket.is_server_side {
            return;
        }
        if pending_before == 0 && !socket.is_layered() {
            socket.set_pending_since(now);
            socket.peak_pending = 0;
        }
        let pending = socket.pending_output();
        socket.peak_pending = socket.peak_pending.max(pending);
        let limit = self.max_pending;
        assert!(
            pending <= limit as u64,
            "{pending} bytes of pending output exceed the limit of {limit}"
        );
    }

    /// send(2) by a program under test.
    pub fn program_write(&mut self, id: SocketId, bytes: &[u8]) -> io::Result<usize> {
        self.check_call(id);
        let (now, least_timeout) = (self.now, self.least_timeout);
        let socket = &mut self.sockets[id];
        assert!(
            socket.was_established,
            "write before the connection was established: {socket:?}"
        );
        assert!(!socket.fin_sent, "write after FIN was sent");
        if socket.watch.may_write == 0 {
            assert!(
                socket.may_write_at_deadline(now, least_timeout),
                "write without an edge since the last EAGAIN: {socket:?}"
            );
            socket.watch.may_write = 1;
        }
        if self.fault(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some(error) = self.sockets[id].write_error() {
            self.sockets[id].closure_reported = true;
            return Err(error);
        }
        let is_full = self.send_space(id) == 0;
        if is_full || self.fault(self.faults.write_blocks) {
            if !is_full {
                self.sockets[id].false_write_eagain_at = Some(now);
            }
            self.arm_write(id);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut offered = bytes;
        if offered.len() > 1 && self.fault(self.faults.partial_write) {
            offered = &offered[..1 + self.rng.index(offered.len() - 1)];
        }
        let count = self.send(id, offered);
        let socket = &mut self.sockets[id];
        socket.record_io(self.now);
        socket.set_pending_since(self.now);
        self.trace(4, count as u64);
        Ok(count)
    }

    /// poll(2) for output by a program under test. If the socket is not writable, an edge follows when it is.
    pub fn program_poll_writable(&mut self, id: SocketId) -> bool {
        self.check_call(id);
        if self.sockets[id].is_over() {
            return true;
        }
        if self.is_writable(id) && !self.fault(self.faults.write_blocks) {
            return true;
        }
        self.request_writable_edge(id);
        false
    }

    /// shutdown(2) with `SHUT_WR` by a program under test.
    pub fn program_shutdown_write(&mut self, id: SocketId) -> io::Result<()> {
        self.check_call(id);
        if self.sockets[id].is_over() {
            self.sockets[id].closure_reported = true;
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.trace(5, id as u64);
        self.check_no_pending_output(id);
        let socket = &self.sockets[id];
        assert!(
            !socket.is_server_side || self.has_read_input(socket),
            "FIN sent before the received input was answered: {socket:?}"
        );
        self.send_fin(id);
        Ok(())
    }

    /// The server sends every pending byte before FIN. With raw echo, bytes read and bytes written are then equal.
    fn check_no_pending_output(&self, id: SocketId) {
        let socket = &self.sockets[id];
        if socket.is_server_side && !socket.reset_arrived {
            let is_flushed = socket.pending_output() == 0 || self.is_input_flood(socket);
            assert!(is_flushed, "FIN sent with output pending: {socket:?}");
        }
    }

    /// After its FIN the server waits for the peer's FIN for [`LINGER`].
    fn check_lingered(&self, id: SocketId) {
        let socket = &self.sockets[id];
        let waited = Duration::from_nanos(self.now - socket.fin_at);
        let is_before_deadline = self.drained_by.is_none_or(|by| self.now < by);
        let peer_is_gone = socket.fin_arrived || socket.reset_arrived;
        if socket.fin_sent && is_before_deadline && !peer_is_gone {
            assert!(
                waited >= LINGER,
                "closed before the linger time was over: {socket:?}"
            );
        }
    }

    /// A drain resets no connection if no connection has pending output: FIN is sent in time.
    fn check_drain_reset(&self, id: SocketId, reset: bool) {
        // A connection closed in this iteration may have held the memory that other connections waited for.
        let mut just_closed = self.closed.iter().map(|id| &self.sockets[*id]);
        let no_output_pending = self
            .open()
            .all(|socket| socket.server_pending_output() == 0)
            && just_closed.all(|socket| socket.pending_output() == 0);
        let faults = &self.faults;
        let has_no_alloc_faults =
            faults.buffer_alloc_fails + faults.queue_alloc_fails + faults.epoll_add_fails == 0;
        let socket = &self.sockets[id];
        // Without file descriptors, the server may accept a connection only when the time of the drain is over.
        let was_accepted_late = self.drained_by.is_some_and(|by| socket.accepted_at >= by);
        // A connection that had pending output until this iteration may be left with unread input.
        let is_over = self.drained_by.is_some_and(|by| self.now >= by);
        let read_before = socket.read - socket.read_in_iteration as u64;
        let was_sent_late = is_over && read_before > socket.written_before;
        // The server may evict a connection with an incomplete message.
        let may_be_reset = was_accepted_late
            || was_sent_late
            || socket.has_message_script()
            || self.fin_is_receipt
            || self.was_paused_in_drain();
        if self.stopping && reset && has_no_alloc_faults && no_output_pending && !may_be_reset {
            assert!(
                socket.reset_arrived,
                "reset during the drain without a cause: {socket:?}"
            );
        }
    }

    /// close(2) by a program under test.
    pub fn program_close(&mut self, id: SocketId, reset: bool) {
        self.check_call(id);
        self.trace(6, id as u64);
        assert!(!self.sockets[id].closed, "closed twice");
        if self.sockets[id].fds > 1 {
            // Another process has the socket, so the kernel sends neither FIN nor RST.
            self.deregister(id);
            return;
        }
        if !reset && !self.sockets[id].fin_sent {
            self.check_no_pending_output(id);
        }
        if self.sockets[id].is_server_side {
            self.check_lingered(id);
            let was_refused = self.sockets[id].watch.key().is_none();
            if was_refused {
                assert!(reset, "refused with FIN: {:?}", self.sockets[id]);
            } else {
                self.check_drain_reset(id, reset);
            }
            self.closed.push(id);
            self.sockets[id].was_refused = was_refused;
            self.sockets[id].send_space_at_close = self.send_space(id);
        }
        self.deregister(id);
        self.close(id, reset);
    }

    /// Whether epoll_ctl(2) fails with ENOMEM.
    pub fn registration_fails(&mut self) -> bool {
        self.fault(self.faults.epoll_add_fails)
    }

    /// `SO_ERROR`, read by a program under test.
    pub fn program_take_error(&mut self, id: SocketId) -> Option<io::Error> {
        self.check_call(id);
        let error = self.sockets[id].take_error();
        self.sockets[id].closure_reported |= error.is_some();
        error
    }

    /// getpeername(2): whether the socket has a peer. The kernel forgets the address once the connection is closed.
    pub fn program_has_peer(&self, id: SocketId) -> bool {
        self.sockets[id].was_established && !self.sockets[id].is_over()
    }
}
