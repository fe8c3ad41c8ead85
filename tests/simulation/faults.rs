//! What goes wrong in a simulated world, and how often: drawn once per seed, each switched and weighted.

use crate::rng::Rng;
use std::time::Duration;

/// Chances per thousand, and other knobs.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A read finds only a part of what is there (in a world where that promises nothing).
    pub partial_read: u64,
    /// A write takes only a part of what there is room for.
    pub partial_write: u64,
    /// A call would block although something is there. An edge follows.
    pub read_blocks: u64,
    pub write_blocks: u64,
    /// A call is interrupted.
    pub interrupted: u64,
    /// An event comes for which there is no cause.
    pub spurious: u64,
    /// One event comes as two.
    pub split: u64,
    /// Of an event only that is told which is owed (in a world where the rest is promised by nobody).
    pub surplus_withheld: u64,
    /// The events of a wait come in any order.
    pub shuffle: bool,
    /// At most so many events come from a wait; the others from later ones. 0: no bound.
    pub batch: usize,
    /// An event comes for a connection that has been closed since.
    pub stale: u64,
    /// A wait is interrupted by a signal.
    pub wait_interrupted: u64,
    /// A sleep ends so many milliseconds late, at most.
    pub late_wake_ms: u64,
    /// A connection fails just when it is accepted.
    pub accept_aborted: u64,
    /// To connect fails at once.
    pub connect_fails: u64,
    /// It is refused, by an event.
    pub connect_refused: u64,
    /// It is never answered.
    pub connect_lost: u64,
    /// It is answered up to so many milliseconds late.
    pub connect_late: u64,
    pub connect_late_ms: u64,
    /// Descriptors or buffers are exhausted; and for how many milliseconds at most.
    pub exhausted: u64,
    pub exhausted_ms: u64,
    /// The kernel has no memory to watch one more connection, or for one more thing.
    pub watch_refused: u64,
    /// For one turn of a program there is no memory for what is owed and for who waits for memory.
    pub memory_refused: u64,
    /// For one turn there is none for slots and for further turns.
    pub places_refused: u64,
    /// For one turn of the server there is none to count another source.
    pub sources_refused: u64,
    /// The clock jumps forward by up to this many milliseconds between two turns.
    pub clock_jump: u64,
    pub clock_jump_ms: u64,
    /// It does so although the server has something to do at once.
    pub busy_jump: u64,
    /// What the kernel reports is less than the time since a byte was acknowledged.
    pub progress_hidden: u64,
    /// The server's process is stopped for up to this many milliseconds while its peers go on; its wait then fails with
    /// EINTR.
    pub stopped: u64,
    pub stopped_ms: u64,
    /// When a connection is accepted during a drain, another one arrives at some listener.
    pub arrival_during_drain: u64,
}

impl Faults {
    /// For how long the process may be stopped, or the machine suspended, at most.
    pub fn longest_pause(&self) -> Duration {
        Duration::from_millis(self.clock_jump_ms.max(self.stopped_ms))
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
            surplus_withheld: knob(1000),
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
            exhausted: knob(100),
            exhausted_ms: knob(3000),
            watch_refused: knob(100),
            memory_refused: knob(100),
            places_refused: knob(100),
            sources_refused: knob(100),
            clock_jump: knob(20),
            clock_jump_ms: knob(20_000),
            // Drawn with the kernels (`send_queue.rs`).
            progress_hidden: 0,
            stopped: knob(200),
            stopped_ms: knob(20_000),
            arrival_during_drain: knob(500),
            busy_jump: if knob(9) > 5 { knob(100) } else { 0 },
        }
    }
}
