//! What is asked of a load, checked.

use super::plan::Sources;
use super::result::Configuration;
use crate::net::Ending;
use std::net::SocketAddr;
use std::time::Duration;

/// What is asked of a load.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom to connect to.
    pub target: SocketAddr,
    /// Connections that only exist.
    pub idle: u32,
    /// Connections that echo; together with `idle` fewer than 2 to the power of
    /// [`CONNECTION_BITS`](super::CONNECTION_BITS).
    pub active: u32,
    /// Echoes per second over all active ones; `None`: each sends when its reply is in.
    pub rate: Option<f64>,
    /// The size of a message in bytes, at least 1.
    pub size: usize,
    /// Messages in flight per connection, at least 1.
    pub pipeline: usize,
    /// Length of the measured part.
    pub duration: Duration,
    /// Length of what goes before it and is not counted.
    pub warmup: Duration,
    /// Connects per second; `None`: as many as the server takes.
    pub ramp: Option<f64>,
    /// How long a connection may take to stand, and a probe to be answered.
    pub connect_timeout: Duration,
    /// Each active connection: connect, one echo, close so, again.
    pub churn: Option<Ending>,
    /// Where to connect from.
    pub sources: Sources,
    /// How many idle connections are asked for an echo at the end, at most.
    pub probe: u32,
    /// How many connections may be begun that the server has not shown to have accepted.
    pub window: u32,
    /// When the measured part begins, counted from the start; `None`: as soon as everything is ready.
    pub start_in: Option<Duration>,
    /// For how long to poll without sleeping before each sleep.
    pub spin: Duration,
}

impl Config {
    /// 50 connections to `target` that echo as fast as they can for 10 s, as `echoloop load` does by default.
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

    /// All connections.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.idle + self.active
    }

    /// As it is saved.
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

/// How many connections may be begun that the server has not shown to have accepted: below the backlog of 128 that most
/// servers ask for.
pub const DEFAULT_WINDOW: u32 = 112;
