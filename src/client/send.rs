//! `send`: standard input to a server, replies to standard output.
//!
//! Neither direction waits for the other. Standard input is read only while no output is pending for the server. Output
//! queued for standard output counts as memory of the connection, which is not read while the pool is full. So memory
//! is bounded, and a slow reader at either end slows the other down.

use super::connector::{Connector, Target};
use super::decoder::Decoder;
use super::failure::Failure;
use super::framing::{Encoder, Framing};
use super::input::{Input, InputReader};
use super::send_session::SendProtocol;
use super::send_state::SenderState;
use crate::connection::{Common, Connections, Driver, Limits, Owner, Pool, Timeouts};
use crate::net::Net;
use crate::reactor::{Reactor, SCRATCH_SIZE};
use crate::tls::{ClientSettings, MaybeTls, Transport};
use std::io::{Read, Write};
use std::time::Duration;

/// Bytes queued for standard output above which the server is not read; one iteration may add what it reads.
const MAX_QUEUED: usize = 256 * 1024;

/// The event loop.
pub(super) type Loop<N, P> = Connections<N, P>;

/// The configuration of [`Sender`].
#[derive(Clone, Debug)]
pub struct SendConfig {
    /// The server.
    pub target: Target,
    /// What to send.
    pub input: Input,
    /// How messages are delimited.
    pub framing: Framing,
    /// The longest message sent or received, in bytes.
    pub max_message: usize,
    /// How long no byte may move in either direction; `None`: forever.
    pub timeout: Option<Duration>,
}

/// The result of [`Sender`].
#[derive(Clone, Debug, Default)]
pub struct SendReport {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// The reader of standard output closed before the end.
    pub output_closed: bool,
}

/// Exchanges data with one server. `P` is the protocol of the connection: alone, or over TLS.
pub struct Sender<N: Net, P: MaybeTls<SendProtocol> = SendProtocol> {
    reactor: Loop<N, P>,
    state: SenderState<P>,
}

impl<N: Net> Sender<N> {
    /// A sender on `net`, which reports the readiness of `stdin` and `stdout`; their calls do not block.
    pub fn new(
        net: N,
        config: SendConfig,
        stdin: Box<dyn Read>,
        stdout: Box<dyn Write>,
    ) -> Sender<N> {
        Sender::with(net, config, stdin, stdout, |protocol| protocol)
    }
}

impl<N: Net> Sender<N, Transport<SendProtocol>> {
    /// As [`Sender::new`], over TLS if there are settings.
    pub fn over_transport(
        net: N,
        config: SendConfig,
        settings: Option<ClientSettings>,
        stdin: Box<dyn Read>,
        stdout: Box<dyn Write>,
    ) -> Self {
        Sender::with(net, config, stdin, stdout, |protocol| {
            Transport::of_client(protocol, settings)
        })
    }
}

impl<N: Net, P: MaybeTls<SendProtocol>> Sender<N, P> {
    fn with(
        net: N,
        config: SendConfig,
        stdin: Box<dyn Read>,
        stdout: Box<dyn Write>,
        wrap: impl FnOnce(SendProtocol) -> P,
    ) -> Self {
        let timeouts = Timeouts {
            idle: config.timeout,
            stall: config.timeout,
            connect: config.target.connect_timeout,
            handshake: config.target.connect_timeout,
        };
        let encoder = Encoder::new(config.framing, config.max_message);
        let input = InputReader::new(config.input, stdin, encoder);
        let protocol = wrap(SendProtocol::new(Decoder::new(
            config.framing,
            config.max_message,
        )));
        let max_pending = with_records(&protocol, input.max_piece());
        let limits = Limits {
            // Input is read while output is pending, or client and server might each wait for the other to read.
            max_pending: max_pending.saturating_add(2 * SCRATCH_SIZE),
            ..Limits::default()
        };
        // Pending output alone never fills the pool: when the pool is full, standard output is slow.
        let max_buffered = max_pending.saturating_mul(2).saturating_add(MAX_QUEUED);
        let driver = Driver::new(Common::new(protocol, limits, max_buffered));
        Sender {
            reactor: Reactor::new(net, timeouts.by_class(), Duration::ZERO),
            state: SenderState::new(
                driver,
                Connector::new(config.target),
                input,
                stdout,
                config.timeout,
            ),
        }
    }

    /// Connects and exchanges data until both sides have sent FIN and standard output has everything.
    ///
    /// # Errors
    /// Why that failed. Everything received before has been written to standard output.
    pub fn run(mut self) -> Result<SendReport, Failure> {
        loop {
            if let Some(end) = self.run_iteration() {
                return end;
            }
        }
    }

    /// Runs one iteration of the event loop. At the end it returns what [`run`](Sender::run) returns, and must not be
    /// called again.
    pub fn run_iteration(&mut self) -> Option<Result<SendReport, Failure>> {
        if !std::mem::replace(&mut self.state.has_started, true) {
            self.state.connect(&mut self.reactor);
        }
        if self.state.protocol().output.is_empty()
            && let Some(end) = self.state.end.take()
        {
            return Some(end);
        }
        if let Err(error) = self.state.run_iteration(&mut self.reactor) {
            return Some(Err(Failure::Loop(error)));
        }
        if self.state.protocol().output.len() != self.state.accounted {
            // Without memory for the run queue, the connection was read after its event.
            self.state.flush_output(&mut self.reactor);
        }
        None
    }

    /// The memory of pending output in both directions.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.state.driver.common.pool
    }

    /// Denies memory for slots and the run queue from now on, or grants it again. For tests, as [`Pool::refuse`].
    pub fn set_out_of_memory(&mut self, is_out_of_memory: bool) {
        self.reactor.set_out_of_memory(is_out_of_memory);
    }
}

/// The bytes that a piece becomes: a record of TLS adds 22 bytes to at most 16 KiB.
fn with_records(protocol: &impl MaybeTls<SendProtocol>, piece: usize) -> usize {
    if protocol.has_handshake() {
        piece.saturating_add(piece / 512)
    } else {
        piece
    }
}
