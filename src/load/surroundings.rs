//! What a load cannot learn from its connections, and whom it tells how it goes.

use super::result::Interval;
use super::syn::SynTimers;
use std::time::Duration;

/// What the machine says at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Processor time that the load itself has taken.
    pub own_processor: Duration,
    /// SYN retransmits of all programs in this network namespace, since it was made (`TCPSynRetrans`).
    pub syn_retransmits: u64,
    /// The server's process, where it is known and still there.
    pub server: Option<ServerReadings>,
}

/// What the server's process has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerReadings {
    /// The process's id.
    pub pid: u32,
    /// Processor time.
    pub processor: Duration,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

/// What a load is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connections are opened.
    Opening,
    /// All stand; the measured part, or its warm-up, is waited for.
    Waiting,
    /// Echoes go, and are not counted yet.
    Warmup,
    /// Echoes are counted.
    Measuring,
    /// Nothing more is sent; what is on its way is waited for.
    Settling,
    /// Idle connections are asked for an echo.
    Probing,
    /// All is over.
    Done,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Connections opened so far, or idle ones probed so far.
    pub done: u64,
    /// Of how many.
    pub of: u64,
}

/// No reply to any probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Probes in flight.
    pub unanswered: u64,
    /// How long ago the last reply came, or the probing began.
    pub lasted: Duration,
    /// How long it lasts until the probes have failed.
    pub timeout: Duration,
}

/// The world around a load. But for the end, nothing here may wait.
pub trait Surroundings {
    /// Looks at the machine.
    fn readings(&mut self) -> Readings {
        Readings::default()
    }

    /// When the kernel retransmits a SYN.
    fn syn_timers(&self) -> SynTimers {
        SynTimers::default()
    }

    /// All connections have been closed from here: the last readings come next. The one place where waiting is allowed,
    /// for the server to notice.
    fn closed(&mut self) {}

    /// Is told how far the load is, once a turn.
    fn progress(&mut self, progress: Progress) {
        let _ = progress;
    }

    /// Is told, once, that no reply to the probes has come for a while.
    fn silence(&mut self, silence: Silence) {
        let _ = silence;
    }

    /// Is told what a second of the measured part has brought.
    fn interval(&mut self, interval: &Interval) {
        let _ = interval;
    }

    /// The line for standard output that says the same, if there is to be one. It is asked for when standard output has
    /// room, which may be later, or in the end.
    fn line(&mut self, interval: &Interval) -> Option<String> {
        let _ = interval;
        None
    }
}

/// Nobody is there.
impl Surroundings for () {}
