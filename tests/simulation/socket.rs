//! The sockets of connections and the TCP between them. The contract tests check the same behaviour on the kernel.

use crate::client_script::ClientScript;
use crate::network::{Network, SocketId};
use crate::selector::Watch;
use crate::send_queue::SendQueue;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// The socket at one end of a connection.
#[derive(Debug, Default)]
pub struct Socket {
    /// The socket at the other end; `None` until the handshake is complete.
    pub peer: Option<SocketId>,
    /// The handshake was completed; the connection may have been closed since.
    pub was_established: bool,
    /// Bytes received and not read.
    pub receive_queue: VecDeque<u8>,
    /// The size of the receive queue in bytes.
    receive_buffer: usize,
    /// The unused part of the receive window announced to the peer.
    pub window: usize,
    /// Bytes written and not acknowledged.
    pub send_queue: SendQueue,
    /// The position of the urgent mark in the received stream. A new mark replaces the previous one.
    pub urgent: Option<u64>,
    pub fin_arrived: bool,
    /// The peer has reset the connection, or the connection attempt has failed.
    pub reset_arrived: bool,
    /// The pending socket error (`SO_ERROR`): reported by the next call, once.
    error: Option<ErrorKind>,
    /// The program has shut down the send direction. FIN may still be queued after unacknowledged bytes.
    pub fin_sent: bool,
    /// FIN has arrived at the peer.
    pub fin_acknowledged: bool,
    pub closed: bool,
    /// Bytes read and written by the program.
    pub read: u64,
    pub written: u64,
    /// The server has accepted this socket.
    pub is_server_side: bool,
    /// The number of the client's address.
    pub source: u8,
    /// When the program last read or wrote a byte, or accepted or requested the connection.
    pub last_io_at: u64,
    /// When output became pending, or when a part of it was last written.
    pub pending_since: u64,
    /// The largest amount of pending output since there was none.
    pub peak_pending: u64,
    pub fin_at: u64,
    /// FIN was sent before the peer's FIN arrived.
    pub fin_was_first: bool,
    /// The server closes it since it was idle, once the kernel has accepted its last output.
    pub ends_idle: bool,
    /// When the server accepted it.
    pub accepted_at: u64,
    /// When a byte was last acknowledged by the peer, or the connection was accepted or requested.
    pub acknowledged_at: u64,
    /// When a byte was last received from the peer, or the connection was requested.
    pub received_at: u64,
    /// The number of bytes a write would have accepted when the socket was closed.
    pub send_space_at_close: usize,
    /// The server accepted the connection and closed it without registering it.
    pub was_refused: bool,
    /// Bytes read, written and received when the server was told to stop.
    pub read_when_stopped: u64,
    pub written_when_stopped: u64,
    pub arrived_when_stopped: u64,
    /// Since the server was told to stop, a read has failed with an injected EAGAIN.
    pub had_false_eagain: bool,
    /// When a read or a write last failed with an injected EAGAIN.
    pub false_read_eagain_at: Option<u64>,
    pub false_write_eagain_at: Option<u64>,
    /// When the handshake of the session is to be complete: then the server reads without an edge.
    pub handshake_due: Option<u64>,
    /// When the program last read or wrote without an edge, because a deadline had passed.
    pub deadline_io_at: u64,
    /// The values of `last_io_at` and `pending_since` before the current time.
    previous_io_at: u64,
    previous_pending_since: u64,
    /// Bytes read in this iteration of the server, and bytes written before it.
    pub read_in_iteration: usize,
    pub written_before: u64,
    /// After FIN the connection used up its budget in an iteration in which requeueing failed for lack of memory. It is
    /// read again only at an event or at its deadline.
    pub requeue_refused: bool,
    /// What the client sends to this socket and which replies are due.
    pub script: Option<Rc<ClientScript>>,
    /// A write, a shutdown or `SO_ERROR` has reported that the connection is closed.
    pub closure_reported: bool,
    pub watch: Watch,
    /// The registration with the selector of a new process during an upgrade.
    pub successor: Option<Box<Watch>>,
    /// The file descriptors of a program's socket, in all processes.
    pub fds: usize,
}

impl Socket {
    /// A socket whose handshake is not complete.
    pub fn new(receive_buffer: usize, source: u8, now: u64) -> Socket {
        Socket {
            receive_buffer,
            window: receive_buffer,
            source,
            last_io_at: now,
            ends_idle: false,
            accepted_at: 0,
            acknowledged_at: now,
            received_at: now,
            ..Socket::default()
        }
    }

    /// The connection is closed: reset, or FIN was sent and received (TCP's CLOSED and TIME-WAIT).
    pub fn is_over(&self) -> bool {
        self.reset_arrived || (self.fin_acknowledged && self.fin_arrived)
    }

    /// EPOLLHUP: FIN was sent (it may still be queued) and received, or the connection was reset.
    pub fn is_hung_up(&self) -> bool {
        self.reset_arrived || (self.fin_sent && self.fin_arrived)
    }

    pub fn is_readable(&self) -> bool {
        !self.receive_queue.is_empty() || self.fin_arrived || self.reset_arrived
    }

    /// Whether the program may read without an edge now: no byte was read or written for a whole timeout.
    pub fn may_read_at_deadline(&mut self, now: u64, least_timeout: u64) -> bool {
        if self.handshake_due.is_some_and(|due| due <= now) {
            return true;
        }
        self.is_deadline(self.io_before(now), now, least_timeout)
    }

    /// When the program last read or wrote a byte before this time, which is the current one.
    pub fn io_before(&self, now: u64) -> u64 {
        if self.last_io_at == now {
            self.previous_io_at
        } else {
            self.last_io_at
        }
    }

    /// Whether the program may write without an edge now: no pending output was written for a whole timeout.
    pub fn may_write_at_deadline(&mut self, now: u64, least_timeout: u64) -> bool {
        let is_current = self.pending_since == now;
        let since = if is_current {
            self.previous_pending_since
        } else {
            self.pending_since
        };
        self.is_deadline(since, now, least_timeout)
    }

    /// Records that a byte was read or written. The previous time is kept too: at a deadline, a read and a write follow
    /// each other at the same time.
    pub fn record_io(&mut self, now: u64) {
        if self.last_io_at != now {
            self.previous_io_at = self.last_io_at;
        }
        self.last_io_at = now;
    }

    /// Restarts the time for which output has been pending.
    pub fn set_pending_since(&mut self, now: u64) {
        if self.pending_since != now {
            self.previous_pending_since = self.pending_since;
        }
        self.pending_since = now;
    }

    fn is_deadline(&mut self, since: u64, now: u64, least_timeout: u64) -> bool {
        let is_quiet = now >= since.saturating_add(least_timeout);
        // If the kernel reports progress, the connection is checked again after an eighth of the timeout.
        let is_recheck = now >= self.deadline_io_at.saturating_add(least_timeout / 8);
        // One check may make several calls.
        let may = now == self.deadline_io_at || (is_quiet && is_recheck);
        if may {
            self.deadline_io_at = now;
        }
        may
    }

    /// The next read returns 0, because the peer has sent FIN.
    pub fn is_at_fin(&self) -> bool {
        self.receive_queue.is_empty() && self.fin_arrived
    }

    /// The free space in the receive queue.
    pub fn receive_space(&self) -> usize {
        self.receive_buffer.saturating_sub(self.receive_queue.len())
    }

    /// Bytes that the server has to send for the input it has read.
    pub fn pending_output(&self) -> u64 {
        match self.script.as_deref() {
            // A reply that is due only at FIN is checked by the client.
            Some(script @ ClientScript::Messages(_)) => script
                .reply_bytes_due(self.read, false)
                .saturating_sub(self.written),
            Some(ClientScript::Layered) => 0,
            Some(ClientScript::Raw) | None => self.read - self.written,
        }
    }

    /// Whether the client sends messages, because of which the server may close the connection.
    pub fn has_message_script(&self) -> bool {
        self.is_layered() || matches!(self.script.as_deref(), Some(ClientScript::Messages(_)))
    }

    /// Whether the client sends records of the layer, so that the pending output is unknown here.
    pub fn is_layered(&self) -> bool {
        matches!(self.script.as_deref(), Some(ClientScript::Layered))
    }

    /// Pending output of a server socket that has not sent FIN; 0 for other sockets.
    pub fn server_pending_output(&self) -> u64 {
        if self.is_server_side && !self.fin_sent {
            self.pending_output()
        } else {
            0
        }
    }

    /// Takes the pending socket error (`SO_ERROR`).
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take().map(io::Error::from)
    }

    /// The result of a read from an empty receive queue. After FIN, a reset is not reported.
    fn read_empty(&mut self) -> io::Result<usize> {
        if self.fin_arrived {
            return Ok(0);
        }
        match self.take_error() {
            Some(error) => Err(error),
            None if self.reset_arrived => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// The error of a write to a closed connection: the pending socket error first, then EPIPE.
    pub fn write_error(&mut self) -> Option<io::Error> {
        let broken = self.is_over().then(|| ErrorKind::BrokenPipe.into());
        self.take_error().or(broken)
    }

    pub fn has_urgent_mark(&self) -> bool {
        self.urgent.is_some()
    }

    /// Bytes up to the urgent mark: a read before the mark stops there, a read that starts at it continues past it
    /// (`SO_OOBINLINE`).
    fn bytes_before_mark(&self) -> usize {
        let ahead = self.urgent.map(|mark| mark - self.read);
        let ahead = ahead.filter(|ahead| *ahead > 0);
        ahead.map_or(usize::MAX, |ahead| usize::try_from(ahead).unwrap())
    }

    /// Closes the connection with an error. Bytes in the receive queue can still be read.
    fn abort(&mut self, error: ErrorKind) {
        self.reset_arrived = true;
        self.error = Some(error);
        self.send_queue.discard();
    }
}

impl Network {
    pub fn read(&mut self, id: SocketId, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = &mut self.sockets[id];
        if socket.receive_queue.is_empty() {
            return socket.read_empty();
        }
        let before_mark = socket.bytes_before_mark();
        let count = buffer
            .len()
            .min(socket.receive_queue.len())
            .min(before_mark);
        let (front, back) = socket.receive_queue.as_slices();
        let from_front = count.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..count].copy_from_slice(&back[..count - from_front]);
        socket.receive_queue.drain(..count);
        socket.read += count as u64;
        socket.urgent = socket.urgent.filter(|mark| *mark >= socket.read);
        self.advertise_window(id);
        Ok(count)
    }

    /// Queues FIN after the unacknowledged bytes.
    pub fn send_fin(&mut self, id: SocketId) {
        if self.sockets[id].is_over() {
            return;
        }
        let now = self.now;
        let socket = &mut self.sockets[id];
        socket.fin_sent = true;
        socket.fin_at = now;
        socket.fin_was_first = !socket.fin_arrived;
        if socket.is_hung_up() {
            self.notify_readable(id);
        }
        self.transmit(id);
    }

    /// Closes a socket. If input is unread, the close is a reset (RFC 9293, 3.10.4).
    pub fn close(&mut self, id: SocketId, reset: bool) {
        let socket = &mut self.sockets[id];
        socket.closed = true;
        if socket.is_over() {
            return;
        }
        let unread = !socket.receive_queue.is_empty();
        let fin_sent = socket.fin_sent;
        let Some(peer) = socket.peer else { return };
        if reset || unread {
            self.sockets[id].send_queue.discard();
            self.receive_reset(peer);
        } else if !fin_sent {
            self.send_fin(id);
        }
    }

    /// Receives a reset: received bytes can still be read, unacknowledged bytes are discarded.
    pub fn receive_reset(&mut self, id: SocketId) {
        let socket = &mut self.sockets[id];
        if socket.is_over() {
            return;
        }
        // In CLOSE-WAIT, and in no other state, a reset is reported as EPIPE.
        let is_in_close_wait = socket.fin_arrived && !socket.fin_sent;
        self.fail_connection(
            id,
            if is_in_close_wait {
                ErrorKind::BrokenPipe
            } else {
                ErrorKind::ConnectionReset
            },
        );
    }

    /// Closes a connection with an error and reports the socket as readable and writable.
    pub fn fail_connection(&mut self, id: SocketId, error: ErrorKind) {
        self.sockets[id].abort(error);
        self.notify_readable(id);
        self.notify_writable(id);
    }
}
