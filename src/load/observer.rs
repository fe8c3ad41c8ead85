//! What a load needs beside its connections: resource usage, kernel settings, and a receiver for progress.

use super::{Counts, Interval, ReplySilence, SynTimers};
use crate::net::AcceptQueue;
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

/// Resource usage of the server process and its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerUsage {
    /// Process id.
    pub pid: u32,
    /// CPU time.
    pub cpu_time: Duration,
    /// Resident memory in bytes, of all its processes; pages that they share count once for each.
    pub rss_bytes: u64,
    /// The same by proportional set size, where a shared page counts once. `None` if it was not read.
    pub pss_bytes: Option<u64>,
    /// Processes: the server's and its descendants.
    pub processes: u32,
}

/// The stages of a load, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Until the end of the current stage, if its end is scheduled.
    pub left: Option<Duration>,
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

    /// As [`snapshot`](Observer::snapshot), without figures that take long to read: messages are due meanwhile.
    fn quick_snapshot(&mut self) -> Snapshot {
        self.snapshot()
    }

    /// When the kernel retransmits a SYN.
    fn syn_timers(&self) -> SynTimers {
        SynTimers::default()
    }

    /// The accept queue of the server, if it runs on this machine. Called often while connections are opened.
    fn accept_queue(&mut self) -> Option<AcceptQueue> {
        None
    }

    /// The load has closed all its connections; the last snapshot follows. May block until the server has noticed.
    fn on_all_closed(&mut self) {}

    /// Called once per iteration of the event loop.
    fn on_progress(&mut self, _progress: Progress) {}

    /// Called at most once, when the server has accepted no connection for this long while some wait.
    fn on_accept_silence(&mut self, _lasted: Duration) {}

    /// Called at most once, when no probe has been answered for a while.
    fn on_probe_silence(&mut self, _silence: ProbeSilence) {}

    /// Called when no reply has arrived on any active connection for a while, again after twice that time.
    fn on_reply_silence(&mut self, _silence: ReplySilence) {}

    /// Called at the end of each interval of the measured part.
    fn on_interval(&mut self, _interval: &Interval) {}

    /// All connections are established. With a line, which is written to stdout, the load then waits for a line of stdin
    /// with its start time.
    fn connected_line(&mut self) -> Option<String> {
        None
    }

    /// Parses the line of stdin: how long after the load was created the measured part begins.
    fn start_after(&mut self, _line: &str) -> Option<Duration> {
        None
    }

    /// The line for stdout about an interval and its response times, if there is one. Called when stdout accepts output,
    /// which may be later.
    fn interval_line(&mut self, _interval: &Interval, _response: &Counts) -> Option<String> {
        None
    }
}

/// Observes nothing.
impl Observer for () {}

/// Forwards the methods to the observer in the box.
macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(fn $method(&mut self $(, $name: $type)*) $(-> $result)? {
            (**self).$method($($name),*)
        })*
    };
}

/// With any observer, the code of a load exists once.
impl Observer for Box<dyn Observer> {
    forward! {
        snapshot() -> Snapshot;
        quick_snapshot() -> Snapshot;
        accept_queue() -> Option<AcceptQueue>;
        on_all_closed();
        on_progress(progress: Progress);
        on_accept_silence(lasted: Duration);
        on_probe_silence(silence: ProbeSilence);
        on_reply_silence(silence: ReplySilence);
        on_interval(interval: &Interval);
        connected_line() -> Option<String>;
        start_after(line: &str) -> Option<Duration>;
        interval_line(interval: &Interval, response: &Counts) -> Option<String>;
    }

    fn syn_timers(&self) -> SynTimers {
        (**self).syn_timers()
    }
}
