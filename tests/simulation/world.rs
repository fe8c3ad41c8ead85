//! The simulated world: time, sockets, and what passes between them.
//!
//! Bytes arrive as soon as the window of the receiver has room for them (`send_queue.rs`, `socket.rs`); what makes life
//! hard are the faults, and the edges (`selector.rs`). The calls that programs under test make are in `syscalls.rs`, with
//! what must hold whenever they make them.

use crate::connecting::Handshake;
use crate::faults::Faults;
use crate::rng::{Rng, mix};
use crate::selector::{Host, SERVER};
use crate::send_queue::Kernel;
use crate::socket::Socket;
use echoloop::net::{Signal, Source};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Names an end of a connection.
pub type SocketId = usize;

pub const MILLISECOND: u64 = 1_000_000;

/// The server's listening socket.
#[derive(Debug, Default)]
pub struct Listener {
    pub queue: VecDeque<SocketId>,
    pub armed: bool,
    pub pending: bool,
    pub closed: bool,
    /// Connections accepted in this iteration of the server's loop.
    pub accepted: usize,
}

/// What a run has seen, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub waits: u64,
    pub faults: u64,
    /// Connections that failed when they were accepted, and attempts to accept for which nothing was left.
    pub aborted: u64,
    pub exhausted: u64,
    /// Signals that came during the drain.
    pub signals_repeated: u64,
}

#[derive(Debug)]
pub struct World {
    pub now: u64,
    pub rng: Rng,
    pub faults: Faults,
    /// Whether an edge is owed only after a call has blocked.
    pub weak: bool,
    pub sockets: Vec<Socket>,
    pub listeners: Vec<Listener>,
    pub handshakes: Vec<Handshake>,
    /// How long each connect of a program took that was answered.
    pub connect_times: Vec<u64>,
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
    pub closed: Vec<SocketId>,
    /// Bytes that one connection may read in a turn.
    pub budget: usize,
    /// When a drain is over that has begun.
    pub drained_by: Option<u64>,
    /// For how long the process was stopped, or the machine suspended: in all, and before the server was told to stop.
    pub paused: u64,
    paused_before_drain: u64,
    drain_timeout: u64,
    /// FIN says that a record is taken, so whoever has left none is reset.
    pub fin_is_receipt: bool,
    /// How the kernels treat bytes in transit.
    pub kernel: Kernel,
    /// For how long the process may have been stopped at most, also where nothing goes wrong any more.
    pub longest_pause: Duration,
    /// The shortest timeout of any connection: before a deadline closes one, the program may look without an edge.
    pub least_timeout: u64,
}

pub type SharedWorld = Rc<RefCell<World>>;

impl World {
    pub fn new(rng: Rng, faults: Faults, weak: bool) -> World {
        World {
            now: 0,
            rng,
            longest_pause: faults.longest_pause(),
            faults,
            weak,
            sockets: Vec::new(),
            listeners: Vec::new(),
            handshakes: Vec::new(),
            connect_times: Vec::new(),
            hosts: Default::default(),
            exhausted_until: 0,
            tally: Tally::default(),
            digest: 0,
            max_pending: usize::MAX,
            window: 65_536,
            stopping: false,
            closed: Vec::new(),
            budget: usize::MAX,
            drained_by: None,
            paused: 0,
            paused_before_drain: 0,
            drain_timeout: 0,
            fin_is_receipt: false,
            kernel: Kernel::default(),
            least_timeout: u64::MAX,
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
    pub fn open(&self) -> impl Iterator<Item = &Socket> {
        self.sockets
            .iter()
            .filter(|end| end.is_server_side && !end.closed)
    }

    /// The server is told to stop, and has this long to drain.
    pub fn stop(&mut self, drain_timeout: u64) {
        self.stopping = true;
        self.drained_by = Some(self.now + drain_timeout);
        self.drain_timeout = drain_timeout;
        self.paused_before_drain = self.paused;
        for end in &mut self.sockets {
            end.read_when_stopped = end.read;
            end.written_when_stopped = end.written;
            end.arrived_when_stopped = end.read + end.receive_queue.len() as u64;
            end.had_false_eagain = false;
        }
        self.signal(SERVER, Signal::Terminate);
    }

    /// Time passes in which the process does not run.
    pub fn pause(&mut self, duration: u64) {
        self.now += duration;
        self.paused += duration;
    }

    /// For how long the process did not run since the server was told to stop.
    pub fn paused_in_drain(&self) -> Duration {
        Duration::from_nanos(self.paused - self.paused_before_drain)
    }

    /// Whether the process did not run for half of the time that it had to drain, or longer.
    pub fn was_paused_in_drain(&self) -> bool {
        self.stopping && self.paused_in_drain() >= Duration::from_nanos(self.drain_timeout / 2)
    }

    /// Whether all that had arrived when the server was told to stop has been read, or a whole budget of it.
    pub fn has_heard_out(&self, end: &Socket) -> bool {
        !self.stopping
            || end.has_message_script()
            || end.had_false_eagain
            || end.read >= end.arrived_when_stopped
            || end.read - end.read_when_stopped >= self.budget as u64
    }

    /// While the server empties one accept queue for a drain, a connection arrives in another that is open.
    pub fn arrive_during_drain(&mut self) {
        if !self.stopping || !self.fault(self.faults.arrival_during_drain) {
            return;
        }
        let open: Vec<usize> = (0..self.listeners.len())
            .filter(|index| !self.listeners[*index].closed)
            .collect();
        if open.is_empty() {
            return;
        }
        let listener = self.rng.one_of(&open);
        let source = 1 + self.rng.index(4) as u8;
        if let Ok(client) = self.connect(listener, source) {
            self.close(client, false);
        }
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
        let drain_is_over = self.drained_by.is_some_and(|by| self.now >= by);
        assert!(
            queue.is_empty() || drain_is_over,
            "connections in the accept queue are reset"
        );
        for client in queue {
            self.receive_reset(client);
        }
    }
}
