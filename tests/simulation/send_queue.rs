//! The kernel's send buffer at each end, as Linux TCP has it, and the receive window that it sends into.
//!
//! A write goes into the send queue. From there bytes are transmitted as far as the window of the peer allows, which
//! takes no time, and they are acknowledged when they have arrived in the receive buffer of the peer, whether the program
//! there reads them or not. So the send queue holds the unacknowledged bytes of its end, and none of them is in flight.
//! FIN is transmitted behind them. A closed socket goes on transmitting (an orphan); RST in either direction discards
//! the queue.

mod tests;

use crate::faults::Faults;
use crate::rng::{Rng, mix};
use crate::socket::Socket;
use crate::world::{MILLISECOND, SocketId, World};
use echoloop::net::Progress;
use echoloop::reactor::TICK;
use std::collections::VecDeque;
use std::time::Duration;

/// The longest time between two retransmissions, in nanoseconds.
const RETRANSMIT_INTERVAL: u64 = 100 * MILLISECOND;

/// How the kernels of a run treat bytes in transit; drawn once per seed. The default is a network without send buffers
/// or steps of the window.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Size of each send buffer in bytes. 0: a write goes straight into the peer's receive buffer.
    pub send_buffer: usize,
    /// `TCP_NOTSENT_LOWAT` of tcp(7), in bytes.
    pub notsent_lowat: usize,
    /// The window is announced anew when it has grown by half of the receive buffer or by this many bytes, whichever is
    /// less (silly window avoidance at the receiver: RFC 9293, 3.8.6.2.2). 0: whenever it grows.
    pub segment: usize,
    /// No account of progress is to be had: there is no `sock_diag`.
    pub hides_progress: bool,
    /// So many times in a thousand the account is false, while there are faults ([`Faults::progress_hidden`]).
    pub progress_hidden: u64,
    /// Of a connection with pending output it is false again and again: there are retransmissions, each acknowledged
    /// without a new byte.
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
    /// Draws the kernels of a run in which at most `step` bytes pass at once, and the faults in what they report. A
    /// copy of the generator is used, so that everything else is drawn as without them.
    pub fn draw(rng: &Rng, step: usize, faults: &mut Faults) -> Kernel {
        let mut rng = Rng::new(mix(rng.clone().next() ^ 0x5E4D_B0FF));
        let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap();
        faults.progress_hidden = match rng.between(0, 2) {
            0 => 0,
            1 => rng.magnitude(900),
            _ => rng.between(0, 900),
        };
        let drawn = Kernel {
            // With buffers that are small or large against the rest, a run would be long without being richer.
            send_buffer: size(&mut rng, 300_000).clamp(1 + step / 8, 1 + 100 * step),
            notsent_lowat: size(&mut rng, 200_000).max(1),
            segment: size(&mut rng, 70_000),
            hides_progress: rng.chance(100),
            progress_hidden: faults.progress_hidden,
            retransmits: false,
        };
        let retransmits = rng.chance(200);
        let [is_straight, has_lowat, has_steps] = [250, 700, 700].map(|chance| rng.chance(chance));
        Kernel {
            send_buffer: if is_straight { 0 } else { drawn.send_buffer },
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

    /// By how much the window of a receive buffer of this size has grown when it is announced anew.
    pub fn window_step(&self, receive_buffer: usize) -> usize {
        self.segment.min(receive_buffer / 2).max(1)
    }

    /// How much the kernel takes on top of what it holds, when the peer's window has room for `window` bytes.
    fn room(&self, unacknowledged: usize, window: usize) -> usize {
        if self.send_buffer == 0 {
            return window;
        }
        // As sk_stream_memory_free of the kernel has it.
        let unsent = unacknowledged;
        if unsent >= self.notsent_lowat {
            return 0;
        }
        let until_lowat = (self.notsent_lowat - unsent).saturating_add(window);
        (self.send_buffer.saturating_sub(unacknowledged)).min(until_lowat)
    }

    /// Whether poll(2) reports room: a third of the buffer is free, and the unsent bytes are below half of the lowat
    /// (`sk_stream_is_writeable` of the kernel, and `tcp_stream_memory_free` with `wake`).
    fn is_writable(&self, unacknowledged: usize, window: usize) -> bool {
        if self.send_buffer == 0 {
            return window > 0;
        }
        let is_below_lowat = unacknowledged < self.notsent_lowat.div_ceil(2);
        let free = self.send_buffer.saturating_sub(unacknowledged);
        is_below_lowat && free > 0 && free >= unacknowledged / 2
    }
}

/// The unacknowledged bytes of an end.
#[derive(Debug, Default)]
pub struct SendQueue {
    bytes: VecDeque<u8>,
    /// Where in the stream the last urgent byte is that is not transmitted yet.
    urgent: Option<u64>,
}

impl SendQueue {
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A reset discards everything.
    pub fn discard(&mut self) {
        *self = SendQueue::default();
    }
}

impl World {
    /// How many bytes a write takes now.
    pub fn send_room(&self, id: SocketId) -> usize {
        let end = &self.sockets[id];
        if !end.was_established {
            return 0;
        }
        self.kernel.room(end.send_queue.len(), self.peer_window(id))
    }

    /// Whether poll(2) reports that there is room for a write. Where it does not, a write may take bytes all the same,
    /// but no edge comes.
    pub fn is_writable(&self, id: SocketId) -> bool {
        let end = &self.sockets[id];
        let unacknowledged = end.send_queue.len();
        end.was_established
            && self
                .kernel
                .is_writable(unacknowledged, self.peer_window(id))
    }

    /// What is left of the window that the peer has announced.
    fn peer_window(&self, id: SocketId) -> usize {
        let peer = self.sockets[id].peer;
        peer.map_or(0, |peer| self.sockets[peer].window)
    }

    /// Sends as much as there is room for.
    pub fn send(&mut self, id: SocketId, bytes: &[u8]) -> usize {
        if self.sockets[id].is_over() {
            return 0;
        }
        let count = bytes.len().min(self.send_room(id));
        let end = &mut self.sockets[id];
        end.written += count as u64;
        end.send_queue.bytes.extend(&bytes[..count]);
        self.transmit(id);
        count
    }

    /// Marks the next byte that is sent as urgent.
    pub fn mark_urgent(&mut self, id: SocketId) {
        let end = &mut self.sockets[id];
        end.send_queue.urgent = Some(end.written);
    }

    /// The program has read: the window grows, in steps, and the peer's unsent bytes follow.
    pub fn announce_window(&mut self, id: SocketId) {
        let Some(peer) = self.sockets[id].peer else {
            return;
        };
        let room = self.sockets[id].receive_space();
        let step = self.kernel.window_step(self.window);
        if room < self.sockets[id].window + step {
            return;
        }
        self.sockets[id].window = room;
        self.transmit(peer);
        if self.is_writable(peer) {
            self.writable(peer);
        }
    }

    /// Transmits what the peer's window allows, and FIN behind the last byte.
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
            // Nobody is there any more: that is what a reset says (RFC 9293, 3.10.7.1).
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
        let end = &mut self.sockets[id];
        let bytes: Vec<u8> = end.send_queue.bytes.drain(..count).collect();
        let transmitted = end.written - end.send_queue.len() as u64;
        let urgent = end.send_queue.urgent.take_if(|mark| *mark < transmitted);
        end.acknowledged_at = now;
        let peers_end = &mut self.sockets[peer];
        peers_end.receive_queue.extend(bytes);
        peers_end.window -= count;
        peers_end.received_at = now;
        peers_end.urgent = urgent.or(peers_end.urgent);
        self.readable(peer);
    }

    /// FIN takes its place in the window, as a byte does; where there is no send buffer, it is not held up.
    fn transmit_fin(&mut self, id: SocketId, peer: SocketId) {
        let end = &self.sockets[id];
        let has_room = self.sockets[peer].window > 0 || self.kernel.send_buffer == 0;
        let is_due = end.fin_sent && !end.fin_acknowledged && end.send_queue.len() == 0;
        if !is_due || !has_room {
            return;
        }
        self.sockets[id].fin_acknowledged = true;
        if self.sockets[id].is_over() {
            // That it has come to its end is news too.
            self.readable(id);
        }
        self.sockets[peer].fin_arrived = true;
        self.readable(peer);
    }

    /// For how long a connection has waited with which no byte moved since `start`, and how long it may. What the kernel
    /// reports at a deadline prolongs it: bytes acknowledged, and where the connection is `idle`, bytes arrived.
    pub fn waits_for(
        &self,
        end: &Socket,
        start: u64,
        timeout: Option<Duration>,
        idle: bool,
    ) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(self.now - then);
        let reported = if idle {
            end.acknowledged_at.max(end.received_at)
        } else {
            end.acknowledged_at
        };
        let is_false = self.kernel.progress_hidden > 0 || self.kernel.retransmits && !idle;
        let may_be_hidden = is_false && end.send_queue.len() > 0;
        if self.kernel.hides_progress || (reported <= start && !may_be_hidden) {
            return (since(start), timeout);
        }
        // The next look comes after an eighth of the timeout. Progress that there was not may be reported again and
        // again, but with a chance that falls each time; the first look may come after a pause of the whole process.
        let (timeouts, pause) = match may_be_hidden {
            true => (4, self.longest_pause),
            false => (1, Duration::ZERO),
        };
        let most = timeout.map(|timeout| timeouts * timeout + timeout / 8 + TICK + pause);
        (since(start.max(reported)), most)
    }

    /// What the kernel reports of a connection's progress to the program at this end ([`Progress`]).
    pub fn program_progress(&mut self, id: SocketId) -> Option<Progress> {
        let end = &self.sockets[id];
        if self.kernel.hides_progress || !end.was_established || end.is_over() {
            return None;
        }
        let unacknowledged = end.send_queue.len() as u64;
        let since_received = Duration::from_nanos(self.now - end.received_at);
        let mut since_acknowledged = self.now - end.acknowledged_at;
        if unacknowledged > 0 && self.kernel.retransmits && end.server_pending_output() > 0 {
            let most = since_acknowledged.min(RETRANSMIT_INTERVAL);
            since_acknowledged = self.rng.between(0, most);
        } else if unacknowledged > 0 && self.fault(self.faults.progress_hidden) {
            // An acknowledgement of no byte was noted since, or a retransmission. Once all is acknowledged, the time
            // when a byte was last sent tells.
            since_acknowledged = self.rng.between(0, since_acknowledged);
        }
        Some(Progress {
            unacknowledged,
            since_acknowledged: Duration::from_nanos(since_acknowledged),
            since_received,
        })
    }
}
