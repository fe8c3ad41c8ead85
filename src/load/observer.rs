//! What a load needs beside its connections: resource usage, kernel settings, and a receiver for progress.

use super::{Interval, SynTimers};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Resource usage at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// CPU time used by the load tester.
    pub own_cpu_time: Duration,
    /// SYN retransmits of all programs in this network namespace since it was created (`TCPSynRetrans`).
    pub syn_retransmits: u64,
    /// The server process, if it is known and still running.
    pub server: Option<ServerUsage>,
}

/// Resource usage of the server process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerUsage {
    /// Process id.
    pub pid: u32,
    /// CPU time.
    pub cpu_time: Duration,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

/// The stages of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Connections are being established.
    Connecting,
    /// All connections are established; the warm-up has not begun.
    Waiting,
    /// Messages are sent and not counted.
    Warmup,
    /// Messages are sent and counted.
    Measuring,
    /// No new messages are sent; replies to in-flight messages are awaited.
    Draining,
    /// Idle connections are probed with an echo.
    Probing,
    /// The load has ended.
    Done,
}

impl Stage {
    /// When an event in this stage happened, as in `interrupted in the measured part`.
    pub(super) fn description(self) -> &'static str {
        match self {
            Stage::Connecting => "while connections were opened",
            Stage::Waiting | Stage::Warmup => "before the measured part",
            Stage::Measuring => "in the measured part",
            Stage::Draining | Stage::Probing | Stage::Done => "after the measured part",
        }
    }
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// Connections established so far; while probing, idle connections probed so far.
    pub done: u64,
    /// The total that `done` approaches.
    pub total: u64,
}

/// No reply to any probe for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSilence {
    /// Probes in flight.
    pub unanswered: u64,
    /// Time since the last reply, or since probing began.
    pub lasted: Duration,
    /// After this long the probes fail.
    pub timeout: Duration,
}

/// Observes a load. No method may block, except [`on_all_closed`](Observer::on_all_closed).
pub trait Observer {
    /// Reads the resource usage.
    fn snapshot(&mut self) -> Snapshot {
        Snapshot::default()
    }

    /// When the kernel retransmits a SYN.
    fn syn_timers(&self) -> SynTimers {
        SynTimers::default()
    }

    /// The load has closed all its connections; the last snapshot follows. May block until the server has noticed.
    fn on_all_closed(&mut self) {}

    /// Called once per iteration of the event loop.
    fn on_progress(&mut self, _progress: Progress) {}

    /// Called at most once, when no probe has been answered for a while.
    fn on_probe_silence(&mut self, _silence: ProbeSilence) {}

    /// Called at the end of each interval of the measured part.
    fn on_interval(&mut self, _interval: &Interval) {}

    /// The line for stdout about an interval, if there is one. Called when stdout accepts output, which may be later.
    fn interval_line(&mut self, _interval: &Interval) -> Option<String> {
        None
    }
}

/// Observes nothing.
impl Observer for () {}
