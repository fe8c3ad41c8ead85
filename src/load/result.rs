//! What a load has found, as a type: the JSON of `-o json`, and what `--save` adds to it.
//!
//! The names of the fields are a contract with scripts (`docs/load.schema.json`): fields may be added, none renamed.

use super::distribution::{Counts, Distribution};
use crate::echo::Summary;
use serde::{Deserialize, Serialize};

/// The version of the form; it goes up when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// What a load has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whom it was put on, as `ADDRESS:PORT`.
    pub target: String,
    /// When the measured part began, by the wall clock, in UTC (RFC 3339).
    pub started: String,
    /// How long the measured part lasted.
    pub seconds: f64,
    /// What is wrong, in sentences, the worst first; empty when nothing is.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Connections, idle and active; with churn, each place among the active ones counts once.
    pub connections: Connections,
    /// How they were opened.
    pub connect: Connect,
    /// What was echoed on the active ones, in the measured part.
    pub echo: Echo,
    /// What the idle ones said at the end.
    pub probe: Probe,
    /// What the load tester itself took, and how well it kept to its schedule.
    pub generator: Generator,
    /// The server's side, where its process is known.
    pub server: Option<ServerSide>,
    /// The measured part, second by second.
    pub intervals: Vec<Interval>,
    /// What was expected, and whether it came true.
    pub expect: Vec<Expectation>,
}

/// How many connections there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Wanted.
    pub asked: u64,
    /// Stood at some time.
    pub opened: u64,
    /// Ended by the other side, or by an error, while they were to be held.
    pub lost: u64,
    /// Never came to stand, by cause.
    pub failed: Failed,
}

/// Connections that never came to stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The server's machine said that nobody listens (RST).
    pub refused: u64,
    /// No answer within `--connect-timeout`.
    pub timeout: u64,
    /// It stood, and was reset before it could be used.
    pub reset: u64,
    /// No port was left at the source address.
    pub no_ports: u64,
    /// No descriptor was left, here.
    pub no_files: u64,
    /// Another error.
    pub other: u64,
}

impl Failed {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.refused + self.timeout + self.reset + self.no_ports + self.no_files + self.other
    }
}

/// How connections were opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// From the first connect to the moment at which the last one stood, without the connects of churn.
    pub seconds: f64,
    /// Opened per second of that time; with churn, opened per second of the measured part.
    pub per_second: f64,
    /// SYN retransmits of the load's own connections, inferred from how long each took to connect (see
    /// [`SynTimers`](super::SynTimers)): a backlog that overflowed, or packets lost.
    pub retransmitted: u64,
    /// SYN retransmits of all programs in the network namespace meanwhile (`TCPSynRetrans`). None in a result that was
    /// saved before the two were kept apart: there `retransmitted` is this figure.
    #[serde(default)]
    pub machine_retransmitted: Option<u64>,
    /// From connect to the moment at which the connection stood.
    pub time_us: Summary,
}

/// Echoes in the measured part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Messages sent, or due to be sent and still queued.
    pub sent: u64,
    /// Messages that came back whole and right.
    pub received: u64,
    /// Messages that came back wrong: other bytes, twice, out of order, or another connection's.
    pub mismatched: u64,
    /// Messages for which nothing came back before the end.
    pub unanswered: u64,
    /// Messages received per second.
    pub per_second: f64,
    /// Bytes received per second, counted one way.
    pub bytes_per_second: f64,
    /// From when a message was due to be sent.
    pub response_time_us: Summary,
    /// From when it was sent.
    pub service_time_us: Summary,
}

/// What idle connections said when each was asked for an echo at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Asked, which includes those that were lost before.
    pub asked: u64,
    /// Answered, rightly.
    pub alive: u64,
    /// Gave no answer, or were lost.
    pub dead: u64,
    /// Answered wrongly.
    pub mismatched: u64,
}

/// The load tester itself, in the measured part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Processor time, in per cent of one processor.
    pub cpu_percent: f64,
    /// How much later than due messages were sent; nothing in a closed loop, which has no schedule.
    pub lag_us: Summary,
    /// The rate asked for was not reached, or the lag's p99 is above a millisecond: the times are not the server's.
    pub saturated: bool,
}

/// The server's process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSide {
    /// Its id.
    pub pid: u32,
    /// Processor time in the measured part, in per cent of one processor.
    pub cpu_percent: f64,
    /// Resident memory at the end of the measured part.
    pub rss_bytes: u64,
    /// What each connection added to the resident memory.
    pub rss_bytes_per_connection: f64,
    /// Resident memory before the first connection.
    #[serde(default)]
    pub rss_before_bytes: u64,
    /// Resident memory after the last connection was closed; zero when the process had ended, or the result is from before.
    #[serde(default)]
    pub rss_after_bytes: u64,
}

/// One second of the measured part, or what is left of one at its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its end, in seconds since the measured part began.
    pub at: f64,
    /// Messages that came back right.
    pub echoes: u64,
    /// Messages that were to be sent in it.
    #[serde(default)]
    pub asked: u64,
    /// Response time: the median.
    #[serde(default)]
    pub p50_us: u64,
    /// Response time: 99 of 100 were not above it.
    pub p99_us: u64,
    /// Response time: the worst.
    #[serde(default)]
    pub max_us: u64,
    /// Connections that stood at its end.
    #[serde(default)]
    pub held: u64,
    /// Connections lost since the measured part began.
    #[serde(default)]
    pub lost: u64,
}

/// What was expected with `--expect`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// As typed.
    pub expr: String,
    /// What was found, in the unit in which the expression was typed.
    pub actual: f64,
    /// Whether that is as expected.
    pub met: bool,
}

/// All of a load, as `--save` writes it: what is needed to add it to others, and to say how it came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Always `"echoloop load"`, so that another file is told apart from this one.
    pub kind: String,
    /// The version of the program that wrote it.
    pub version: String,
    /// The name of the machine that it ran on.
    pub host: String,
    /// The command line, as typed.
    pub command: Vec<String>,
    /// The command line, as understood.
    pub configuration: Configuration,
    /// When the first connection was begun, in UTC (RFC 3339).
    pub begun: String,
    /// When all was over, in UTC (RFC 3339).
    pub ended: String,
    /// The result, as `-o json` prints it.
    pub result: LoadResult,
    /// The distributions behind the result's summaries.
    pub histograms: Histograms,
    /// The response times of each interval, in the order of the result's `intervals`.
    pub interval_response_us: Vec<Counts>,
    /// The loads that this was merged from; empty when it is of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// One of the loads that were merged: all of it but its intervals and distributions.
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
    /// The loads that it consists of: those that it was merged from, or itself.
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

/// The distributions behind a result's summaries, to be added up: see [`Distribution::add`].
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

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// Connections that only exist.
    pub idle: u64,
    /// Connections that echo.
    pub active: u64,
    /// Echoes per second over all of them; none: each sends when its reply is in.
    pub rate: Option<f64>,
    /// The size of a message in bytes.
    pub size_bytes: u64,
    /// Messages in flight per connection.
    pub pipeline: u64,
    /// Length of the measured part.
    pub duration_seconds: f64,
    /// Length of the part before it, which is not counted.
    pub warmup_seconds: f64,
    /// Connects per second; none: as fast as the server takes them.
    pub ramp: Option<f64>,
    /// How long a connection may take to stand.
    pub connect_timeout_seconds: f64,
    /// How each connection ends after one echo, if it does: `fin` or `reset`.
    pub churn: Option<String>,
    /// The addresses that were connected from, as a network such as `127.0.0.0/8`; none: the kernel's choice.
    pub sources: Option<String>,
}

impl Distribution {
    /// The distribution that a saved histogram holds.
    #[must_use]
    pub fn of_counts(counts: &Counts) -> Distribution {
        let mut distribution = Distribution::new();
        distribution.add(counts);
        distribution
    }
}
