//! The kernel's send buffer of each socket, as in Linux TCP, and the receive window of its peer.
//!
//! A write appends to the send queue. As many bytes as the peer's window allows are transmitted at once. They are
//! acknowledged when they reach the peer's receive buffer, whether or not the peer's program reads them. So the send
//! queue holds exactly the unacknowledged bytes, and none of them is in flight. FIN follows the last byte. A closed
//! socket keeps transmitting (an orphan); RST in either direction discards the queue.

mod tests;

use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SocketId};
use crate::rng::{Rng, mix};
use crate::socket::Socket;
use echoloop::net::Progress;
use echoloop::reactor::TICK;
use std::collections::VecDeque;
use std::time::Duration;

/// The longest interval between two retransmissions, in nanoseconds.
const RETRANSMIT_INTERVAL: u64 = 100 * MILLISECOND;

/// TCP parameters of both kernels, drawn once per seed. By default there are no send buffers, and every read updates
/// the window.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Size of each send buffer in bytes. 0: none, a write goes directly into the peer's receive buffer.
    pub send_buffer: usize,
    /// `TCP_NOTSENT_LOWAT` of tcp(7), in bytes.
    pub notsent_lowat: usize,
    /// The receiver sends a window update when the window has grown by half of the receive buffer or by this many bytes,
    /// whichever is less (silly window avoidance: RFC 9293, 3.8.6.2.2). 0: on every growth.
    pub segment: usize,
    /// `sock_diag` is missing, so progress cannot be queried.
    pub hides_progress: bool,
    /// Chance per thousand that reported progress is false, while there are faults ([`Faults::progress_hidden`]).
    pub progress_hidden: u64,
    /// Reported progress of a connection with pending output is always false: retransmissions are acknowledged that
    /// carry no new byte.
    pub retransmits: bool,
}

impl Default for Kernel {
    fn default() -> Kernel {
        Kernel {
            send_buffer: 0,
            notsent_lowat: usize::MAX,
            segment: 0,
            hides_progress: false,
            progress_hidden: 0,
            retransmits: false,
        }
    }
}

impl Kernel {
    /// Draws the parameters for a run in which at most `step` bytes pass at once, and the faults of reported progress.
    /// Draws from a copy of the generator, so that all other draws stay the same.
    pub fn draw(rng: &Rng, step: usize, faults: &mut Faults) -> Kernel {
        let mut rng = Rng::new(mix(rng.clone().next() ^ 0x5E4D_B0FF));
        let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap();
        faults.progress_hidden = match rng.between(0, 2) {
            0 => 0,
            1 => rng.magnitude(900),
            _ => rng.between(0, 900),
        };
        let drawn = Kernel {
            // Much smaller or larger buffers only make the run longer.
            send_buffer: size(&mut rng, 300_000).clamp(1 + step / 8, 1 + 100 * step),
            notsent_lowat: size(&mut rng, 200_000).max(1),
            segment: size(&mut rng, 70_000),
            hides_progress: rng.chance(100),
            progress_hidden: faults.progress_hidden,
            retransmits: false,
        };
        let retransmits = rng.chance(200);
        let [is_unbuffered, has_lowat, has_steps] =
            [250, 700, 700].map(|chance| rng.chance(chance));
        Kernel {
            send_buffer: if is_unbuffered { 0 } else { drawn.send_buffer },
            notsent_lowat: if has_lowat {
                drawn.notsent_lowat
            } else {
                usize::MAX
            },
            segment: if has_steps { drawn.segment } else { 0 },
            retransmits,
            ..drawn
        }
    }

    /// The smallest growth of the window that causes a window update, for a receive buffer of this size.
    pub fn window_step(&self, receive_buffer: usize) -> usize {
        self.segment.min(receive_buffer / 2).max(1)
    }

    /// How many more bytes the kernel accepts when the peer's window has space for `window` bytes.
    fn send_space(&self, unacknowledged: usize, window: usize) -> usize {
        if self.send_buffer == 0 {
            return window;
        }
        // As the kernel's sk_stream_memory_free.
        let unsent = unacknowledged;
        if unsent >= self.notsent_lowat {
            return 0;
        }
        let until_lowat = (self.notsent_lowat - unsent).saturating_add(window);
        (self.send_buffer.saturating_sub(unacknowledged)).min(until_lowat)
    }

    /// Whether poll(2) reports POLLOUT: a third of the buffer is free, and the unsent bytes are below half of the lowat
    /// (the kernel's `sk_stream_is_writeable`, and `tcp_stream_memory_free` with `wake`).
    fn is_writable(&self, unacknowledged: usize, window: usize) -> bool {
        if self.send_buffer == 0 {
            return window > 0;
        }
        let is_below_lowat = unacknowledged < self.notsent_lowat.div_ceil(2);
        let free = self.send_buffer.saturating_sub(unacknowledged);
        is_below_lowat && free > 0 && free >= unacknowledged / 2
    }
}

/// The unacknowledged bytes of an socket.
#[derive(Debug, Default)]
pub struct SendQueue {
    bytes: VecDeque<u8>,
    /// Stream position of the last urgent byte that is not yet transmitted.
    urgent: Option<u64>,
}

impl SendQueue {
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Discards all bytes after a reset.
    pub fn discard(&mut self) {
        *self = SendQueue::default();
    }
}

impl Network {
    /// How many bytes a write accepts now.
    pub fn send_space(&self, id: SocketId) -> usize {
        let socket = &self.sockets[id];
        if !socket.was_established {
            return 0;
        }
        self.kernel
            .send_space(socket.send_queue.len(), self.peer_window(id))
    }

    /// Whether poll(2) reports POLLOUT. If it does not, a write may still accept bytes, but no edge is raised.
    pub fn is_writable(&self, id: SocketId) -> bool {
        let socket = &self.sockets[id];
        let unacknowledged = socket.send_queue.len();
        socket.was_established
            && self
                .kernel
                .is_writable(unacknowledged, self.peer_window(id))
    }

    /// What is left of the window that the peer has advertised.
    fn peer_window(&self, id: SocketId) -> usize {
        let peer = self.sockets[id].peer;
        peer.map_or(0, |peer| self.sockets[peer].window)
    }

    /// Sends as many bytes as there is space for; returns their number.
    pub fn send(&mut self, id: SocketId, bytes: &[u8]) -> usize {
        if self.sockets[id].is_over() {
            return 0;
        }
        let count = bytes.len().min(self.send_space(id));
        let socket = &mut self.sockets[id];
        socket.written += count as u64;
        socket.send_queue.bytes.extend(&bytes[..count]);
        self.transmit(id);
        count
    }

    /// Marks the next byte that is sent as urgent.
    pub fn mark_urgent(&mut self, id: SocketId) {
        let socket = &mut self.sockets[id];
        socket.send_queue.urgent = Some(socket.written);
    }

    /// After a read: advertises the larger window if it has grown by a step, and transmits the peer's unsent bytes.
    pub fn advertise_window(&mut self, id: SocketId) {
        let Some(peer) = self.sockets[id].peer else {
            return;
        };
        let window = self.sockets[id].receive_space();
        let step = self.kernel.window_step(self.window);
        if window < self.sockets[id].window + step {
            return;
        }
        self.sockets[id].window = window;
        self.transmit(peer);
        if self.is_writable(peer) {
            self.notify_writable(peer);
        }
    }

    /// Transmits as many bytes as the peer's window allows, and FIN after the last byte.
    pub fn transmit(&mut self, id: SocketId) {
        let Some(peer) = self.sockets[id].peer else {
            return;
        };
        if self.sockets[id].is_over() || self.sockets[peer].reset_arrived {
            return;
        }
        let count = self.sockets[id]
            .send_queue
            .len()
            .min(self.sockets[peer].window);
        if count > 0 && self.sockets[peer].closed {
            // The peer's socket no longer exists, so its kernel answers with RST (RFC 9293, 3.10.7.1).
            self.sockets[peer].send_queue.discard();
            self.receive_reset(id);
            return;
        }
        if count > 0 {
            self.deliver(id, peer, count);
        }
        self.transmit_fin(id, peer);
    }

    fn deliver(&mut self, id: SocketId, peer: SocketId, count: usize) {
        let now = self.now;
        let socket = &mut self.sockets[id];
        let bytes: Vec<u8> = socket.send_queue.bytes.drain(..count).collect();
        let transmitted = socket.written - socket.send_queue.len() as u64;
        let urgent = socket.send_queue.urgent.take_if(|mark| *mark < transmitted);
        socket.acknowledged_at = now;
        let receiver = &mut self.sockets[peer];
        receiver.receive_queue.extend(bytes);
        receiver.window -= count;
        receiver.received_at = now;
        receiver.urgent = urgent.or(receiver.urgent);
        self.notify_readable(peer);
    }

    /// Transmits FIN if it is due. FIN needs window space like a byte, except without a send buffer.
    fn transmit_fin(&mut self, id: SocketId, peer: SocketId) {
        let socket = &self.sockets[id];
        let has_space = self.sockets[peer].window > 0 || self.kernel.send_buffer == 0;
        let is_due = socket.fin_sent && !socket.fin_acknowledged && socket.send_queue.len() == 0;
        if !is_due || !has_space {
            return;
        }
        self.sockets[id].fin_acknowledged = true;
        if self.sockets[id].is_over() {
            // The end of the connection raises an edge at the sender, too.
            self.notify_readable(id);
        }
        self.sockets[peer].fin_arrived = true;
        self.notify_readable(peer);
    }

    /// For a connection without progress since `start`: how long it has waited, and how long it may at most. Progress
    /// that the kernel reports at a deadline extends the wait: bytes acknowledged, and if `idle`, also bytes received.
    pub fn stall_and_limit(
        &self,
        socket: &Socket,
        start: u64,
        timeout: Option<Duration>,
        idle: bool,
    ) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(self.now - then);
        let reported = if idle {
            socket.acknowledged_at.max(socket.received_at)
        } else {
            socket.acknowledged_at
        };
        let is_false = self.kernel.progress_hidden > 0 || self.kernel.retransmits && !idle;
        let may_be_hidden = is_false && socket.send_queue.len() > 0;
        if self.kernel.hides_progress || (reported <= start && !may_be_hidden) {
            return (since(start), timeout);
        }
        // The server checks again after an eighth of the timeout. False progress may be reported repeatedly, with a
        // falling chance; the first check may come after a pause of the whole process.
        let (timeouts, pause) = match may_be_hidden {
            true => (4, self.longest_pause),
            false => (1, Duration::ZERO),
        };
        let most = timeout.map(|timeout| timeouts * timeout + timeout / 8 + TICK + pause);
        (since(start.max(reported)), most)
    }

    /// As `sock_diag`, by a program under test: the connection's progress at this socket.
    pub fn program_progress(&mut self, id: SocketId) -> Option<Progress> {
        self.check_call(id);
        let socket = &self.sockets[id];
        if self.kernel.hides_progress || !socket.was_established || socket.is_over() {
            return None;
        }
        let unacknowledged = socket.send_queue.len() as u64;
        let since_received = Duration::from_nanos(self.now - socket.received_at);
        let mut since_acknowledged = self.now - socket.acknowledged_at;
        if unacknowledged > 0 && self.kernel.retransmits && socket.server_pending_output() > 0 {
            let most = since_acknowledged.min(RETRANSMIT_INTERVAL);
            since_acknowledged = self.rng.between(0, most);
        } else if unacknowledged > 0 && self.fault(self.faults.progress_hidden) {
            // The kernel's time also counts retransmissions and acknowledgements of no new byte. Once all bytes are
            // acknowledged, the time of the last sent byte is used instead, which is exact.
            since_acknowledged = self.rng.between(0, since_acknowledged);
        }
        Some(Progress {
            unacknowledged,
            since_acknowledged: Duration::from_nanos(since_acknowledged),
            since_received,
        })
    }
}
