//! The result of a load: the JSON of `-o json`.
//!
//! The field names are a contract with scripts (`docs/load.schema.json`): fields may be added, none renamed.

use super::{
    Connections, Find, Interval, LowerBounds, ReferenceClock, Summary, Together, UserspaceFigures,
    Warning,
};
use crate::numbers::as_f64;
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
    /// The TCP of the idle connections, if it ran in user space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userspace_tcp: Option<UserspaceFigures>,
    /// The keepalives of a script on idle connections.
    #[serde(default)]
    pub keepalive: Keepalives,
    /// The load tester itself: its CPU usage, and how well it kept its schedule.
    pub generator: Generator,
    /// The server process, if it is known.
    pub server: Option<ServerSide>,
    /// The measured part, second by second.
    pub intervals: Vec<Interval>,
    /// The expectations, and whether each was met.
    pub expect: Vec<Expectation>,
    /// What `--find` or `--sweep` has found; the other fields are then those of its best step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<Find>,
    /// The clock that the times are of, if it is not that of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ReferenceClock>,
    /// How long the merged loads were measured together, if this is a merged result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
}

impl LoadResult {
    /// Counts the growth of the server's memory from this resident size, measured before an earlier load.
    pub fn count_memory_from(&mut self, rss_before_bytes: u64) {
        let held = self
            .connections
            .opened
            .saturating_sub(self.connections.lost);
        if let Some(server) = &mut self.server {
            let grown = server.rss_bytes.saturating_sub(rss_before_bytes);
            server.rss_before_bytes = rss_before_bytes;
            server.rss_bytes_per_connection = as_f64(grown) / as_f64(held.max(1));
        }
    }

    /// All warnings by type, parallel to `warnings`; [`Warning::Other`] if only the text is known.
    pub fn typed_warnings(&self) -> impl Iterator<Item = Warning> {
        let texts = self.warnings.iter().enumerate();
        texts.map(|(index, text)| match self.warning_details.get(index) {
            None | Some(Warning::Other(_)) => Warning::Other(Value::String(text.clone())),
            Some(warning) => warning.clone(),
        })
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
    /// Over TLS, from then until its handshake was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_us: Option<Summary>,
    /// Over TLS, the handshakes that were completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshakes: Option<Handshakes>,
}

/// Handshakes of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshakes {
    /// With a key exchange and the server's certificate.
    pub full: u64,
    /// Of a session that was resumed.
    pub resumed: u64,
}

/// Echoes in the measured part.
///
/// What is outstanding when it begins, and what is `due` in it, is either `received` or `mismatched` in it, or lost with its
/// connection, or `outstanding` at its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Messages due in the measured part: by schedule, or in a closed loop when they were sent.
    #[serde(default)]
    pub due: u64,
    /// Messages written to their connection in the measured part.
    pub sent: u64,
    /// Correct replies that arrived in the measured part, also to messages that were due before it.
    pub received: u64,
    /// Messages that were due, sent or not, and had no reply at the end of the measured part.
    #[serde(default)]
    pub outstanding: u64,
    /// Echo mismatches: corrupted, repeated, out of order, or of another connection.
    pub mismatched: u64,
    /// Messages without an echo when their connection ended or the load stopped waiting.
    pub unanswered: u64,
    /// Those of them that overload does not explain: on a connection that was lost or has stopped replying, or left by a
    /// server that was not overloaded.
    #[serde(default)]
    pub missing: u64,
    /// Echoes received per second.
    pub per_second: f64,
    /// Bytes received per second, counted one way.
    pub bytes_per_second: f64,
    /// Response time: from when a message was due to be sent. Messages without an echo count with the age they have
    /// reached.
    pub response_time_us: Summary,
    /// Which figures of the response time are lower bounds because of them.
    #[serde(default)]
    pub response_time_lower_bounds: LowerBounds,
    /// Service time: from when it was sent.
    pub service_time_us: Summary,
}

impl Echo {
    /// Whether there were no messages.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.due == 0 && self.sent == 0 && self.received == 0 && self.outstanding == 0
    }
}

/// The probes of idle connections: an echo on each at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Probed, or lost before.
    pub asked: u64,
    /// Answered correctly.
    pub alive: u64,
    /// Not answered, or lost.
    pub dead: u64,
    /// Answered wrongly.
    pub mismatched: u64,
    /// Those of `dead` that were lost: they are among the lost connections, too.
    #[serde(default)]
    pub lost: u64,
    /// From the first probe to the last reply, or the last that failed.
    #[serde(default)]
    pub seconds: f64,
}

/// The keepalives of a script on idle connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalives {
    /// Sent.
    pub sent: u64,
    /// Answered correctly.
    pub received: u64,
    /// Answered wrongly.
    pub mismatched: u64,
    /// Not sent, because the one before it was not answered.
    pub unanswered: u64,
}

/// The load tester itself, in the measured part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// CPU time, in percent of one CPU.
    pub cpu_percent: f64,
    /// Schedule lag: how long after their due time messages were sent. Empty in a closed loop, which has no schedule.
    pub lag_us: Summary,
    /// This process is the limit, and the times are not the server's alone: the p99 of the lag exceeds a millisecond, or
    /// the requested rate was not reached while this process had no time left.
    pub saturated: bool,
}

/// How the server's memory was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", from = "String")]
pub enum Memory {
    /// By resident set size.
    #[default]
    Rss,
    /// By proportional set size, in which a page that several processes share counts once.
    Pss,
}

/// A file may contain any text.
impl From<String> for Memory {
    fn from(name: String) -> Memory {
        match name.as_str() {
            "pss" => Memory::Pss,
            _ => Memory::Rss,
        }
    }
}

/// The server process and its descendants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSide {
    /// Process id.
    pub pid: u32,
    /// Processes after the measured part: 1 plus the descendants. Zero in an older result, which counted one process.
    #[serde(default)]
    pub processes: u32,
    /// How memory was measured: by RSS, or by PSS if there were several processes.
    #[serde(default)]
    pub memory: Memory,
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

/// An expectation of `--expect`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// As typed.
    pub expr: String,
    /// The figure found, in the unit of the expression; none without samples.
    pub actual: Option<f64>,
    /// Whether it meets the expectation.
    pub met: bool,
}
