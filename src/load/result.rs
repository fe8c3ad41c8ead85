//! The result of a load: the JSON of `-o json`, and what `--save` adds to it.
//!
//! The field names are a contract with scripts (`docs/load.schema.json`): fields may be added, none renamed.

use super::{ConnectError, Counts, Distribution, Summary, Warning};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the format; it increases when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// The result of a load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The server, as `ADDRESS:PORT`.
    pub target: String,
    /// When the measured part began, in UTC (RFC 3339).
    pub started: String,
    /// The length of the measured part.
    pub seconds: f64,
    /// The texts of all warnings, the worst first.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The same warnings by type. Empty in a result that was saved before there were types: see
    /// [`LoadResult::typed_warnings`].
    #[serde(default)]
    pub warning_details: Vec<Warning>,
    /// Connections, idle and active; with churn, each active lane counts once.
    pub connections: Connections,
    /// How they were established.
    pub connect: Connect,
    /// Echoes on active connections in the measured part.
    pub echo: Echo,
    /// The probes of idle connections at the end.
    pub probe: Probe,
    /// The load tester itself: its CPU usage, and how well it kept its schedule.
    pub generator: Generator,
    /// The server process, if it is known.
    pub server: Option<ServerSide>,
    /// The measured part, second by second.
    pub intervals: Vec<Interval>,
    /// The expectations, and whether each was met.
    pub expect: Vec<Expectation>,
}

impl LoadResult {
    /// All warnings by type, parallel to `warnings`; [`Warning::Other`] if only the text is known.
    pub fn typed_warnings(&self) -> impl Iterator<Item = Warning> {
        let texts = self.warnings.iter().enumerate();
        texts.map(|(index, text)| match self.warning_details.get(index) {
            None | Some(Warning::Other(_)) => Warning::Other(Value::String(text.clone())),
            Some(warning) => warning.clone(),
        })
    }
}

/// Numbers of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Requested.
    pub asked: u64,
    /// Established at some time.
    pub opened: u64,
    /// Closed by the server or by an error while they should be held.
    pub lost: u64,
    /// Never established, by category.
    pub failed: Failed,
}

/// Connections that were never established.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The server's host refused with RST: no listener.
    pub refused: u64,
    /// No answer within `--connect-timeout`.
    pub timeout: u64,
    /// Established, and reset before it could be used.
    pub reset: u64,
    /// No free port at the source address.
    pub no_ports: u64,
    /// No free file descriptor on the load's host.
    pub no_files: u64,
    /// Any other error.
    pub other: u64,
}

impl Failed {
    /// The number of this category.
    #[must_use]
    pub fn of(mut self, error: ConnectError) -> u64 {
        *self.counter(error)
    }

    /// The counter of this category.
    pub(super) fn counter(&mut self, error: ConnectError) -> &mut u64 {
        match error {
            ConnectError::Refused => &mut self.refused,
            ConnectError::Timeout => &mut self.timeout,
            ConnectError::Reset => &mut self.reset,
            ConnectError::NoPorts => &mut self.no_ports,
            ConnectError::NoFiles => &mut self.no_files,
            ConnectError::Other => &mut self.other,
        }
    }

    /// The sum of all categories.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.refused + self.timeout + self.reset + self.no_ports + self.no_files + self.other
    }
}

/// How connections were established.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// From the first connect until the last connection was established, without the connects of churn.
    pub seconds: f64,
    /// Established per second of that time; with churn, per second of the measured part.
    pub per_second: f64,
    /// SYN retransmits of the load's own connections, inferred from the time of each connect (see
    /// [`SynTimers`](super::SynTimers)): the backlog overflowed, or packets were lost.
    pub retransmitted: u64,
    /// SYN retransmits of all programs in the network namespace meanwhile (`TCPSynRetrans`). None in a result that was
    /// saved before the two were distinguished: there `retransmitted` is this figure.
    #[serde(default)]
    pub machine_retransmitted: Option<u64>,
    /// From connect(2) until the connection was established.
    pub time_us: Summary,
}

/// Echoes in the measured part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Messages sent, or due to be sent and still queued.
    pub sent: u64,
    /// Messages whose echo was correct.
    pub received: u64,
    /// Echo mismatches: corrupted, repeated, out of order, or of another connection.
    pub mismatched: u64,
    /// Messages without an echo when the connection ended or the load stopped waiting.
    pub unanswered: u64,
    /// Echoes received per second.
    pub per_second: f64,
    /// Bytes received per second, counted one way.
    pub bytes_per_second: f64,
    /// Response time: from when a message was due to be sent.
    pub response_time_us: Summary,
    /// Service time: from when it was sent.
    pub service_time_us: Summary,
}

/// The probes of idle connections: an echo on each at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Probed, or lost before.
    pub asked: u64,
    /// Answered correctly.
    pub alive: u64,
    /// Not answered, or lost.
    pub dead: u64,
    /// Answered wrongly.
    pub mismatched: u64,
}

/// The load tester itself, in the measured part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// CPU time, in percent of one CPU.
    pub cpu_percent: f64,
    /// Schedule lag: how long after their due time messages were sent. Empty in a closed loop, which has no schedule.
    pub lag_us: Summary,
    /// The requested rate was not reached, or the p99 of the lag exceeds a millisecond: the times are not the server's alone.
    pub saturated: bool,
}

/// The server process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSide {
    /// Process id.
    pub pid: u32,
    /// CPU time in the measured part, in percent of one CPU.
    pub cpu_percent: f64,
    /// Resident memory at the end of the measured part.
    pub rss_bytes: u64,
    /// Growth of the resident memory per connection.
    pub rss_bytes_per_connection: f64,
    /// Resident memory before the first connection.
    #[serde(default)]
    pub rss_before_bytes: u64,
    /// Resident memory after all connections were closed; zero if the process had exited, or in an older result.
    #[serde(default)]
    pub rss_after_bytes: u64,
}

/// One second of the measured part; the last may be shorter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its end, in seconds since the measured part began.
    pub at: f64,
    /// Correct echoes.
    pub echoes: u64,
    /// Messages due in it.
    #[serde(default)]
    pub asked: u64,
    /// Response time: the median.
    #[serde(default)]
    pub p50_us: u64,
    /// Response time: the 99th percentile.
    pub p99_us: u64,
    /// Response time: the maximum.
    #[serde(default)]
    pub max_us: u64,
    /// Connections established at its end.
    #[serde(default)]
    pub held: u64,
    /// Connections lost since the measured part began.
    #[serde(default)]
    pub lost: u64,
}

/// An expectation of `--expect`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// As typed.
    pub expr: String,
    /// The figure found, in the unit of the expression.
    pub actual: f64,
    /// Whether it meets the expectation.
    pub met: bool,
}

/// A load as `--save` writes it: the result, and everything needed to merge it and to reproduce it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// [`SAVED_KIND`], which identifies the file format.
    pub kind: String,
    /// The version of the program that wrote it.
    pub version: String,
    /// The host name of the machine on which it ran.
    pub host: String,
    /// The command line, as typed.
    pub command: Vec<String>,
    /// The configuration.
    pub configuration: Configuration,
    /// When the first connect began, in UTC (RFC 3339).
    pub begun: String,
    /// When the load ended, in UTC (RFC 3339).
    pub ended: String,
    /// The result, as `-o json` prints it.
    pub result: LoadResult,
    /// The distributions behind the result's summaries.
    pub histograms: Histograms,
    /// The response times of each interval, in the order of the result's `intervals`.
    pub interval_response_us: Vec<Counts>,
    /// The loads that were merged into this one; empty if it is a single load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// One of the merged loads, without its intervals and distributions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// As in [`Saved`].
    pub version: String,
    /// As in [`Saved`].
    pub host: String,
    /// As in [`Saved`].
    pub command: Vec<String>,
    /// As in [`Saved`].
    pub configuration: Configuration,
    /// As in [`Saved`].
    pub begun: String,
    /// As in [`Saved`].
    pub ended: String,
    /// As in [`Saved`], without its intervals.
    pub result: LoadResult,
}

impl Saved {
    /// The merged loads, or this single one.
    #[must_use]
    pub fn to_parts(&self) -> Vec<Part> {
        if !self.parts.is_empty() {
            return self.parts.clone();
        }
        vec![Part {
            version: self.version.clone(),
            host: self.host.clone(),
            command: self.command.clone(),
            configuration: self.configuration.clone(),
            begun: self.begun.clone(),
            ended: self.ended.clone(),
            result: LoadResult {
                intervals: Vec::new(),
                ..self.result.clone()
            },
        }]
    }
}

/// The value of [`Saved::kind`].
pub const SAVED_KIND: &str = "echoloop load";

/// The distributions behind a result's summaries: see [`Distribution::add`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histograms {
    /// Behind `connect.time_us`.
    pub connect_us: Counts,
    /// Behind `echo.response_time_us`.
    pub response_us: Counts,
    /// Behind `echo.service_time_us`.
    pub service_us: Counts,
    /// Behind `generator.lag_us`.
    pub lag_us: Counts,
}

/// The configuration of a load, as saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// Idle connections.
    pub idle: u64,
    /// Active connections.
    pub active: u64,
    /// Messages per second over all active connections; none: closed loop.
    pub rate: Option<f64>,
    /// The size of a message in bytes.
    pub size_bytes: u64,
    /// Messages in flight per connection.
    pub pipeline: u64,
    /// Length of the measured part.
    pub duration_seconds: f64,
    /// Length of the warm-up before it, which is not counted.
    pub warmup_seconds: f64,
    /// Connects per second; none: as fast as the server accepts.
    pub ramp: Option<f64>,
    /// The timeout of a connect.
    pub connect_timeout_seconds: f64,
    /// How active connections close after every echo, if they do: `fin` or `reset`.
    pub churn: Option<String>,
    /// The network of the local addresses, such as `127.0.0.0/8`; none: selected by the kernel.
    pub sources: Option<String>,
}

impl Distribution {
    /// The distribution of a saved histogram.
    #[must_use]
    pub fn of_counts(counts: &Counts) -> Distribution {
        let mut distribution = Distribution::new();
        distribution.add(counts);
        distribution
    }
}
