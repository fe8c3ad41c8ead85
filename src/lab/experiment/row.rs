//! What was measured of a pattern among a number of idle clients: a row of the table, and an object in JSON.

use crate::lab::patterns::Family;
use serde::Serialize;

/// A pattern among a number of idle clients. Figures that could not be measured are null in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub pattern: &'static str,
    /// Its family.
    pub family: Family,
    /// How many clients it serves at a time; none if only resources limit it.
    pub places: Option<usize>,
    /// The idle clients, which connected first.
    pub idle: Idle,
    /// Active clients whose connection was established.
    pub active_opened: u64,
    /// Correct replies per second.
    pub echoes_per_second: f64,
    /// CPU time of all processes of the server, user and system, per echo.
    pub cpu_us_per_echo: Option<f64>,
    /// The part of it above the serial server with one client: process control, after Stevens.
    pub cpu_us_above_serial: Option<f64>,
    /// Response time: the median.
    pub p50_us: Option<u64>,
    /// Response time: the 99th percentile.
    pub p99_us: Option<u64>,
    /// Threads of all processes.
    pub threads: u32,
    /// Processes.
    pub processes: u32,
    /// Proportional set size of all processes.
    pub pss_bytes: Option<u64>,
    /// Context switches per echo.
    pub switches_per_echo: Option<f64>,
    /// CPU time of the load, in percent of one CPU.
    pub load_cpu_percent: f64,
    /// The load, and not the server, was the limit.
    pub saturated: bool,
    /// The server did not keep up with the schedule.
    pub overloaded: bool,
    /// Where it failed, and why.
    pub failure: Option<Failure>,
}

/// The idle clients of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// Requested.
    pub asked: usize,
    /// Established, by the kernel.
    pub opened: usize,
    /// Accepted by the server.
    pub accepted: usize,
    /// In the accept queue: established, and not accepted.
    pub queued: usize,
}

/// Why a pattern failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// Why, in one line.
    pub reason: String,
}

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The pattern could not be started.
    NotStarted,
    /// The server has ended.
    Ended,
    /// It could not be tried: this machine lacks the memory.
    NotTried,
    /// No active client got a reply.
    NoReply,
    /// Some active clients got no reply.
    SomeReplies,
    /// Not all idle clients could connect.
    IdleNotOpened,
}

impl FailureKind {
    /// In one or two words, for a chart.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            FailureKind::NotStarted => "not started",
            FailureKind::Ended => "ends",
            FailureKind::NotTried => "memory",
            FailureKind::NoReply => "no reply",
            FailureKind::SomeReplies => "some replies",
            FailureKind::IdleNotOpened => "not all connect",
        }
    }
}

impl Row {
    /// Microseconds of CPU per echo above those of the serial server.
    pub(super) fn subtract(&mut self, serial: Option<f64>) {
        self.cpu_us_above_serial = self
            .cpu_us_per_echo
            .zip(serial)
            .map(|(own, serial)| own - serial);
    }
}
