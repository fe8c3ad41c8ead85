//! The configuration of a load.

use super::{Configuration, Script, Sources};
use crate::net::Ending;
use crate::tls::ClientSettings;
use std::net::SocketAddr;
use std::sync::Arc;
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
    /// The number of the first connection: loads with distinct numbers detect each other's replies.
    pub first_number: u32,
    /// Messages per second over all active connections; `None`: closed loop.
    pub rate: Option<f64>,
    /// Delay of the schedule after the start of the warm-up.
    pub phase: Duration,
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
    /// At most this many connections wait to be accepted, if the server's accept queue is visible, and otherwise to be
    /// established. `None`: as many as the queue has room for, or at a rate that the server follows.
    pub window: Option<u32>,
    /// Delay from the start to the measured part; `None`: as soon as all connections are established.
    pub start_in: Option<Duration>,
    /// Polls without sleeping for this long before each sleep.
    pub spin: Duration,
    /// What connections send and expect, resolved for this run; `None`: echoes of `size` bytes.
    pub script: Option<Arc<Script>>,
    /// The largest reply of a script in bytes.
    pub max_message: usize,
    /// The settings of TLS, for [`Load::over_tls`](super::Load::over_tls); `None`: without TLS.
    pub tls: Option<ClientSettings>,
}

impl Config {
    /// The defaults of `echoloop load`: 50 active connections in a closed loop, for 10 s.
    #[must_use]
    pub fn new(target: SocketAddr) -> Config {
        Config {
            target,
            idle: 0,
            active: 50,
            first_number: 0,
            rate: None,
            phase: Duration::ZERO,
            size: 128,
            pipeline: 1,
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(1),
            ramp: None,
            connect_timeout: Duration::from_secs(10),
            churn: None,
            sources: Sources::any(),
            probe: u32::MAX,
            window: None,
            start_in: None,
            spin: Duration::ZERO,
            script: None,
            max_message: DEFAULT_MAX_MESSAGE,
            tls: None,
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
        let script = self.script.as_deref();
        Configuration {
            idle: self.idle.into(),
            active: self.active.into(),
            rate: self.rate,
            size_bytes: script.map_or(self.size, Script::message_size) as u64,
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
            script: script.map(|script| script.name().to_owned()),
            tls: self.tls.is_some(),
        }
    }
}

/// The default of [`Config::max_message`].
pub const DEFAULT_MAX_MESSAGE: usize = 1 << 20;
