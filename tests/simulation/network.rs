//! The simulated network and the clock: sockets, accept queues, and the bytes between them.
//!
//! Transmission takes no time: bytes arrive as soon as the receiver's window has space for them (`send_queue`,
//! `socket.rs`). The difficulty comes from the faults and from edge-triggered events (`selector.rs`). `syscalls.rs` has the
//! system calls of the programs under test, and the checks on every call.

use crate::faults::Faults;
use crate::handshake::Handshake;
use crate::rng::{Rng, mix};
use crate::selector::{Host, SERVER};
use crate::send_queue::Kernel;
use crate::socket::Socket;
use echoloop::net::{Signal, Source};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Index of a socket in [`Network::sockets`].
pub type SocketId = usize;

pub const MILLISECOND: u64 = 1_000_000;

/// A listening socket of the server.
#[derive(Debug, Default)]
pub struct Listener {
    pub queue: VecDeque<SocketId>,
    pub armed: bool,
    pub pending: bool,
    pub closed: bool,
    /// Connections accepted in this iteration of the server's event loop.
    pub accepted: usize,
    /// The file descriptors of the listener, in all processes.
    pub fds: usize,
    /// During an upgrade, whether the selector of the new process has an event to report.
    pub successor: Option<bool>,
}

/// Counters of a run, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub waits: u64,
    pub faults: u64,
    /// Calls of accept(2) that failed with ECONNABORTED, and with EMFILE or ENOBUFS.
    pub aborted: u64,
    pub exhausted: u64,
    /// Signals received during the drain.
    pub signals_repeated: u64,
    /// Upgrades of the server, and those that failed.
    pub upgrades: u64,
    pub upgrades_failed: u64,
}

#[derive(Debug)]
pub struct Network {
    pub now: u64,
    pub rng: Rng,
    pub faults: Faults,
    /// An edge is raised only after a call has returned EAGAIN (`selector.rs`).
    pub weak: bool,
    pub sockets: Vec<Socket>,
    pub listeners: Vec<Listener>,
    pub handshakes: Vec<Handshake>,
    /// Durations of the successful connects of a program.
    pub connect_times: Vec<u64>,
    /// SYNs that a full accept queue has dropped.
    pub dropped_syns: u64,
    pub hosts: [Host; 3],
    /// Until this time accept(2) fails for lack of file descriptors or buffers.
    pub exhausted_until: u64,
    pub tally: Tally,
    digest: u64,
    /// Limit of pending output per connection of the server.
    pub max_pending: usize,
    /// Receive buffer of each connection.
    pub window: usize,
    /// The server has received a signal to stop: it may read without an event.
    pub stopping: bool,
    /// The server's sockets that were closed since this was last cleared.
    pub closed: Vec<SocketId>,
    /// Bytes that one connection may read in an iteration of the server's event loop.
    pub budget: usize,
    /// When the drain ends, once it has begun.
    pub drained_by: Option<u64>,
    /// How long the process was stopped or the machine suspended: in total, and before the drain.
    pub paused: u64,
    paused_before_drain: u64,
    drain_timeout: u64,
    /// FIN confirms that a record was written; a connection without one is reset.
    pub fin_is_receipt: bool,
    /// All clients send records of the layer (`layer`).
    pub is_layered: bool,
    /// The most bytes of output in one of its records, and those that a record has beside them.
    pub record: (usize, usize),
    /// Send buffers and window updates of both kernels.
    pub kernel: Kernel,
    /// The longest pause of the process in this run; remains set after faults are switched off.
    pub longest_pause: Duration,
    /// The shortest timeout of any connection. At a deadline the program may read or write without an edge.
    pub least_timeout: u64,
    /// Since when an upgrade has been in progress, in which the server makes no call.
    pub frozen_at: Option<u64>,
}

pub type SharedNetwork = Rc<RefCell<Network>>;

impl Network {
    pub fn new(rng: Rng, faults: Faults, weak: bool) -> Network {
        Network {
            now: 0,
            rng,
            longest_pause: faults.longest_pause(),
            faults,
            weak,
            sockets: Vec::new(),
            listeners: Vec::new(),
            handshakes: Vec::new(),
            connect_times: Vec::new(),
            dropped_syns: 0,
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
            is_layered: false,
            record: (usize::MAX, 0),
            kernel: Kernel::default(),
            least_timeout: u64::MAX,
            frozen_at: None,
        }
    }

    /// Adds an event to the digest, by which two runs of a seed are compared.
    pub fn trace(&mut self, what: u64, about: u64) {
        self.digest = mix(self.digest ^ mix(what) ^ about.rotate_left(32)).wrapping_add(self.now);
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Draws whether a fault occurs that has this chance per thousand.
    pub fn fault(&mut self, per_mille: u64) -> bool {
        let occurs = per_mille > 0 && self.rng.chance(per_mille);
        self.tally.faults += u64::from(occurs);
        occurs
    }

    /// The server's open sockets.
    pub fn open(&self) -> impl Iterator<Item = &Socket> {
        self.sockets
            .iter()
            .filter(|socket| socket.is_server_side && !socket.closed)
    }

    /// Sends the server a signal to stop; it has `drain_timeout` to drain.
    pub fn stop(&mut self, drain_timeout: u64) {
        self.stopping = true;
        self.drained_by = Some(self.now + drain_timeout);
        self.drain_timeout = drain_timeout;
        self.paused_before_drain = self.paused;
        for socket in &mut self.sockets {
            socket.read_when_stopped = socket.read;
            socket.written_when_stopped = socket.written;
            socket.arrived_when_stopped = socket.read + socket.receive_queue.len() as u64;
            socket.had_false_eagain = false;
        }
        self.signal(SERVER, Signal::Terminate);
    }

    /// Advances time while the process does not run.
    pub fn pause(&mut self, duration: u64) {
        self.now += duration;
        self.paused += duration;
    }

    /// How long the process did not run since the drain began.
    pub fn paused_in_drain(&self) -> Duration {
        Duration::from_nanos(self.paused - self.paused_before_drain)
    }

    /// Whether the process did not run for at least half of the drain timeout.
    pub fn was_paused_in_drain(&self) -> bool {
        self.stopping && self.paused_in_drain() >= Duration::from_nanos(self.drain_timeout / 2)
    }

    /// Whether the server has read all input that had arrived when the drain began, or one whole budget of it.
    pub fn has_read_input(&self, socket: &Socket) -> bool {
        !self.stopping
            || socket.has_message_script()
            || socket.had_false_eagain
            || socket.read >= socket.arrived_when_stopped
            || socket.read - socket.read_when_stopped >= self.budget as u64
    }

    /// Fault: while the server empties one accept queue for a drain, a connection arrives in another that is open.
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
            fds: 1,
            ..Listener::default()
        });
        index
    }

    pub fn close_listener(&mut self, index: usize) {
        self.listeners[index].fds -= 1;
        if self.listeners[index].fds > 0 {
            // Another process has it.
            return;
        }
        self.listeners[index].closed = true;
        self.listeners[index].pending = false;
        let queue = std::mem::take(&mut self.listeners[index].queue);
        let drain_is_over = self.drained_by.is_some_and(|by| self.now >= by);
        assert!(
            queue.is_empty() || drain_is_over,
            "the listener closed before its accept queue was empty, which resets connections"
        );
        for client in queue {
            self.receive_reset(client);
        }
    }
}
