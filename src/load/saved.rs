//! What `--save` writes: the result of a load, and everything needed to merge it and to reproduce it.
//!
//! The field names are a contract with scripts and with other versions: fields may be added, none renamed.

use super::{Counts, Distribution, HostId, LoadResult, PartNumber};
use serde::{Deserialize, Serialize};

/// A load as `--save` writes it: the result, and everything needed to merge it and to reproduce it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// [`SAVED_KIND`], which identifies the file format.
    pub kind: String,
    /// The version of the program that wrote it.
    pub version: String,
    /// The host name of the machine on which it ran.
    pub host: String,
    /// That machine, whatever its name; none in a merged result, and in an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
    /// Which part of a load it is; none if it is a whole load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartNumber>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
    /// As in [`Saved`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartNumber>,
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
            host_id: self.host_id.clone(),
            part: self.part,
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
    /// Those of `response_us` that are lower bounds.
    #[serde(default)]
    pub lower_bounds_us: Counts,
    /// Behind `connect.handshake_us`; empty without TLS, and absent then.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub handshake_us: Counts,
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
    /// The script: its name or its file; none: echoes.
    #[serde(default)]
    pub script: Option<String>,
    /// Whether the connections have TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

impl Distribution {
    /// The distribution of a saved histogram.
    #[must_use]
    #[inline(never)]
    pub fn of_counts(counts: &Counts) -> Distribution {
        let mut distribution = Distribution::new();
        distribution.add(counts);
        distribution
    }
}
