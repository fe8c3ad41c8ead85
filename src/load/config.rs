//! The configuration of a load.

use super::{Configuration, Sources};
use crate::net::Ending;
use std::net::SocketAddr;
use std::time::Duration;

/// The configuration of a load.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's address.
    pub target: SocketAddr,
    /// Idle connections.
    pub idle: u32,
    /// Active connections; together with `idle` fewer than 2 to the power of
    /// [`CONNECTION_BITS`](super::CONNECTION_BITS).
    pub active: u32,
    /// Messages per second over all active connections; `None`: closed loop.
    pub rate: Option<f64>,
    /// Message size in bytes, at least 1.
    pub size: usize,
    /// Messages in flight per connection, at least 1.
    pub pipeline: usize,
    /// Length of the measured part.
    pub duration: Duration,
    /// Length of the warm-up before it, which is not counted.
    pub warmup: Duration,
    /// Connects per second; `None`: as fast as the server accepts.
    pub ramp: Option<f64>,
    /// The timeout of a connect, and of a probe after the last reply.
    pub connect_timeout: Duration,
    /// Active connections reconnect after every echo, closing like this.
    pub churn: Option<Ending>,
    /// The local addresses.
    pub sources: Sources,
    /// Probes at most this many idle connections at the end.
    pub probe: u32,
    /// Opens at most this many connections ahead of those that the server has provably accepted.
    pub window: u32,
    /// Delay from the start to the measured part; `None`: as soon as all connections are established.
    pub start_in: Option<Duration>,
    /// Polls without sleeping for this long before each sleep.
    pub spin: Duration,
}

impl Config {
    /// The defaults of `echoloop load`: 50 active connections in a closed loop, for 10 s.
    #[must_use]
    pub fn new(target: SocketAddr) -> Config {
        Config {
            target,
            idle: 0,
            active: 50,
            rate: None,
            size: 128,
            pipeline: 1,
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(1),
            ramp: None,
            connect_timeout: Duration::from_secs(10),
            churn: None,
            sources: Sources::any(),
            probe: u32::MAX,
            window: DEFAULT_WINDOW,
            start_in: None,
            spin: Duration::ZERO,
        }
    }

    /// Idle and active connections together.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.idle + self.active
    }

    /// The form in which it is saved.
    #[must_use]
    pub fn to_saved(&self) -> Configuration {
        Configuration {
            idle: self.idle.into(),
            active: self.active.into(),
            rate: self.rate,
            size_bytes: self.size as u64,
            pipeline: self.pipeline as u64,
            duration_seconds: self.duration.as_secs_f64(),
            warmup_seconds: self.warmup.as_secs_f64(),
            ramp: self.ramp,
            connect_timeout_seconds: self.connect_timeout.as_secs_f64(),
            churn: self.churn.map(|ending| match ending {
                Ending::Fin | Ending::Empty => "fin".to_owned(),
                Ending::Reset => "reset".to_owned(),
            }),
            sources: self.sources.network().map(|network| network.to_string()),
        }
    }
}

/// The default of [`Config::window`]: below the usual backlog of 128.
pub const DEFAULT_WINDOW: u32 = 112;
