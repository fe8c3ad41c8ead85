//! `ping`: small verified echoes at an interval over one TCP connection, as ping(8) does with ICMP.
//!
//! An echo is sent when it is due, whether or not earlier ones have been received. An echo that could not be sent in
//! time is skipped, so that there are no bursts.

use super::connector::{Connector, Target};
use super::echo_tracker::EchoTracker;
use super::failure::Failure;
use super::ping_session::PingProtocol;
use super::ping_state::PingerState;
use super::summary::Style;
use crate::connection::{Common, Connections, Driver, Limits, Owner, Timeouts};
use crate::net::Net;
use crate::reactor::{Reactor, SCRATCH_SIZE};
use crate::tls::{ClientSettings, MaybeTls, Transport};
use std::io::Write;
use std::time::Duration;

/// The event loop.
pub(super) type Loop<N, P> = Connections<N, P>;

/// The configuration of [`Pinger`].
#[derive(Clone, Debug)]
pub struct PingConfig {
    /// The server.
    pub target: Target,
    /// How many echoes to send; `None`: until a signal.
    pub count: Option<u64>,
    /// The time between two echoes.
    pub interval: Duration,
    /// The size of an echo in bytes, at least 1.
    pub size: usize,
    /// An echo not received within this time is lost.
    pub timeout: Duration,
    /// What to print.
    pub style: Style,
}

/// The result of [`Pinger`].
#[derive(Debug)]
pub struct PingReport {
    /// The server's address.
    pub peer: String,
    /// The counts and times of all echoes.
    pub echoes: EchoTracker,
    /// Why it ended early, if it did.
    pub failure: Option<Failure>,
    /// The reader of standard output has closed.
    pub output_closed: bool,
}

/// Sends echoes to one server. `P` is the protocol of the connection: alone, or over TLS.
pub struct Pinger<N: Net, P: MaybeTls<PingProtocol> = PingProtocol> {
    reactor: Loop<N, P>,
    state: PingerState<P>,
    /// The first connection attempt has been made.
    has_started: bool,
    /// The connection is closed and the summary queued.
    has_concluded: bool,
}

impl<N: Net> Pinger<N> {
    /// A pinger on `net`, which needs signals and precise timers, and reports the readiness of `stdout`; its calls do not
    /// block.
    ///
    /// # Errors
    /// There is no memory for the histogram.
    pub fn new(net: N, config: PingConfig, stdout: Box<dyn Write>) -> Result<Pinger<N>, Failure> {
        Pinger::with(net, config, stdout, |protocol| protocol)
    }
}

impl<N: Net> Pinger<N, Transport<PingProtocol>> {
    /// As [`Pinger::new`], over TLS if there are settings.
    ///
    /// # Errors
    /// There is no memory for the histogram.
    pub fn over_transport(
        net: N,
        config: PingConfig,
        settings: Option<ClientSettings>,
        stdout: Box<dyn Write>,
    ) -> Result<Self, Failure> {
        Pinger::with(net, config, stdout, |protocol| {
            Transport::of_client(protocol, settings)
        })
    }
}

impl<N: Net, P: MaybeTls<PingProtocol>> Pinger<N, P> {
    fn with(
        net: N,
        config: PingConfig,
        stdout: Box<dyn Write>,
        wrap: impl FnOnce(PingProtocol) -> P,
    ) -> Result<Self, Failure> {
        let timeouts = Timeouts {
            idle: None,
            stall: Some(config.timeout),
            connect: config.target.connect_timeout,
            handshake: config.target.connect_timeout,
        };
        let limits = Limits {
            // Input is read while output is pending, or client and server might each wait for the other to read.
            max_pending: config.size.saturating_add(2 * SCRATCH_SIZE),
            ..Limits::default()
        };
        let (connector, count) = (Connector::new(config.target.clone()), config.count);
        let protocol = wrap(PingProtocol::new(config)?);
        let driver = Driver::new(Common::new(protocol, limits, usize::MAX));
        let reactor = Reactor::new(net, timeouts.by_class(), Duration::ZERO);
        Ok(Pinger {
            state: PingerState::new(driver, connector, stdout, count, reactor.now()),
            has_started: false,
            has_concluded: false,
            reactor,
        })
    }

    /// Connects and sends echoes until all are sent and received or lost, a signal arrives, or the connection ends.
    ///
    /// # Errors
    /// No connection was established, or the event loop failed.
    pub fn run(mut self) -> Result<PingReport, Failure> {
        while !self.is_done() {
            self.run_iteration()?;
        }
        self.finish()
    }

    /// Runs one iteration of the event loop; the first only starts to connect.
    ///
    /// # Errors
    /// The event loop failed.
    pub fn run_iteration(&mut self) -> Result<(), Failure> {
        let Pinger { reactor, state, .. } = self;
        if std::mem::replace(&mut self.has_started, true) {
            state.run_iteration(reactor).map_err(Failure::Loop)?;
            if state.is_over {
                state.flush_output();
            } else {
                state.run_schedule(reactor);
            }
        } else {
            state.connect(reactor);
        }
        if state.is_over && !std::mem::replace(&mut self.has_concluded, true) {
            state.conclude(reactor);
        }
        Ok(())
    }

    /// Whether everything is done and printed. A second signal ends it even if standard output is blocked.
    pub fn is_done(&self) -> bool {
        let output = &self.state.driver.common.protocol.plain().output;
        self.has_concluded && (output.is_empty() || self.state.signals >= 2)
    }

    /// The report, once it is done.
    ///
    /// # Errors
    /// No connection was established.
    pub fn finish(self) -> Result<PingReport, Failure> {
        self.state.into_report()
    }
}
