//! Injected faults and their probabilities, drawn once per seed.

use crate::rng::Rng;
use std::time::Duration;

/// Probabilities per thousand, and limits.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A read returns only a part of the received bytes (only if a short read does not mean an empty socket).
    pub partial_read: u64,
    /// A write accepts fewer bytes than the send buffer has space for.
    pub partial_write: u64,
    /// A call fails with EAGAIN although the socket is ready. An edge follows.
    pub read_blocks: u64,
    pub write_blocks: u64,
    /// A call fails with EINTR.
    pub interrupted: u64,
    /// An event without a cause is reported.
    pub spurious: u64,
    /// One event is reported as two.
    pub split: u64,
    /// An event reports only the readiness of its edge (only with the guarantees of mio, not with those of epoll).
    pub extra_readiness_withheld: u64,
    /// The events of a wait are reported in random order.
    pub shuffle: bool,
    /// The most events reported by one wait; 0: no limit.
    pub batch: usize,
    /// An event is reported for a closed connection.
    pub stale: u64,
    /// A wait fails with EINTR.
    pub wait_interrupted: u64,
    /// The most milliseconds by which a wait times out late.
    pub late_wake_ms: u64,
    /// accept(2) fails with ECONNABORTED.
    pub accept_aborted: u64,
    /// connect(2) fails at once.
    pub connect_fails: u64,
    /// A connection attempt is refused; an event reports it.
    pub connect_refused: u64,
    /// A SYN is never answered.
    pub connect_lost: u64,
    /// A SYN is answered late, by up to this many milliseconds.
    pub connect_late: u64,
    pub connect_late_ms: u64,
    /// accept(2) fails for lack of file descriptors or buffers, for up to this many milliseconds.
    pub fds_exhausted: u64,
    pub fds_exhausted_ms: u64,
    /// epoll_ctl(2) fails with ENOMEM.
    pub epoll_add_fails: u64,
    /// For one iteration of a program, no memory can be allocated for pending output and for the queue of connections
    /// that wait for memory.
    pub buffer_alloc_fails: u64,
    /// For one iteration, no memory can be allocated for slots and for the run queue.
    pub queue_alloc_fails: u64,
    /// For one iteration of the server, no memory can be allocated to count another source.
    pub source_alloc_fails: u64,
    /// The clock jumps forward by up to this many milliseconds between two iterations.
    pub clock_jump: u64,
    pub clock_jump_ms: u64,
    /// The clock jumps although the server has queued work.
    pub clock_jump_if_busy: u64,
    /// The kernel reports less than the time since a byte was acknowledged.
    pub progress_hidden: u64,
    /// The server process is paused for up to this many milliseconds while its peers run; its wait then fails with
    /// EINTR.
    pub process_paused: u64,
    pub process_pause_ms: u64,
    /// While a connection is accepted during a drain, another one arrives at some listener.
    pub arrival_during_drain: u64,
}

impl Faults {
    /// The longest pause of the process.
    pub fn longest_pause(&self) -> Duration {
        Duration::from_millis(self.clock_jump_ms.max(self.process_pause_ms))
    }

    pub fn draw(rng: &mut Rng) -> Faults {
        let mut knob = |most: u64| match rng.between(0, 2) {
            0 => 0,
            1 => rng.magnitude(most),
            _ => rng.between(0, most),
        };
        Faults {
            partial_read: knob(900),
            partial_write: knob(900),
            read_blocks: knob(300),
            write_blocks: knob(300),
            interrupted: knob(200),
            spurious: knob(300),
            split: knob(500),
            extra_readiness_withheld: knob(1000),
            shuffle: knob(1) == 1,
            batch: usize::try_from(knob(8)).unwrap(),
            stale: knob(500),
            wait_interrupted: knob(200),
            late_wake_ms: knob(50),
            accept_aborted: knob(200),
            connect_fails: knob(500),
            connect_refused: knob(300),
            connect_lost: knob(500),
            connect_late: knob(500),
            connect_late_ms: knob(10_000),
            fds_exhausted: knob(100),
            fds_exhausted_ms: knob(3000),
            epoll_add_fails: knob(100),
            buffer_alloc_fails: knob(100),
            queue_alloc_fails: knob(100),
            source_alloc_fails: knob(100),
            clock_jump: knob(20),
            clock_jump_ms: knob(20_000),
            // Drawn with the kernel (`send_queue.rs`).
            progress_hidden: 0,
            process_paused: knob(200),
            process_pause_ms: knob(20_000),
            arrival_during_drain: knob(500),
            clock_jump_if_busy: if knob(9) > 5 { knob(100) } else { 0 },
        }
    }
}
