//! `send`: standard input to a server, replies to standard output.
//!
//! Neither direction waits for the other. Standard input is read only while no output is pending for the server. Output
//! queued for standard output counts as memory of the connection, which is not read while the pool is full. So memory
//! is bounded, and a slow reader at either end slows the other down.

use super::connector::{Connector, Target};
use super::decoder::Decoder;
use super::failure::{Awaited, End, Failure};
use super::framing::{Encoder, Framing};
use super::input::{Input, InputReader, Piece};
use super::send_session::SendProtocol;
use crate::connection::{
    CloseReason, Closed, Common, Connections, Driver, Limits, Owner, Pool, Timeouts,
};
use crate::net::{Key, Source, StandardStreams, Stream};
use crate::reactor::{Borrowed, Reactor, SCRATCH_SIZE};
use crate::stdout::StdoutQueue;
use std::io::ErrorKind;
use std::time::Duration;

/// Bytes queued for standard output above which the server is not read; one iteration may add what it reads.
const MAX_QUEUED: usize = 256 * 1024;

/// The event loop.
type Loop<N> = Connections<N, SendProtocol>;

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

/// Exchanges data with one server.
pub struct Sender<N: StandardStreams> {
    reactor: Loop<N>,
    state: SenderState,
}

/// Everything but the event loop, which calls it.
struct SenderState {
    driver: Driver<SendProtocol>,
    connector: Connector,
    input: InputReader,
    timeout: Option<Duration>,
    key: Option<Key>,
    /// The first connection attempt has been made.
    has_started: bool,
    /// All input has been written to the connection, then FIN.
    is_half_closed: bool,
    /// Bytes of queued output that the pool counts.
    accounted: usize,
    /// Bytes read from a connection after a write had failed.
    salvaged: u64,
    /// Bytes sent and received when the last connection was closed.
    moved: SendReport,
    end: Option<Result<SendReport, Failure>>,
}

impl<N: StandardStreams> Sender<N> {
    /// A sender on `net`, which needs standard output, and standard input if that is sent.
    pub fn new(net: N, config: SendConfig) -> Sender<N> {
        let timeouts = Timeouts {
            idle: config.timeout,
            stall: config.timeout,
            connect: config.target.connect_timeout,
        };
        let encoder = Encoder::new(config.framing, config.max_message);
        let input = InputReader::new(config.input, encoder);
        let max_pending = input.max_piece();
        let limits = Limits {
            // Input is read while output is pending, or client and server might each wait for the other to read.
            max_pending: max_pending.saturating_add(2 * SCRATCH_SIZE),
            ..Limits::default()
        };
        // Pending output alone never fills the pool: when the pool is full, standard output is slow.
        let max_buffered = max_pending.saturating_mul(2).saturating_add(MAX_QUEUED);
        let protocol = SendProtocol::new(Decoder::new(config.framing, config.max_message));
        Sender {
            reactor: Reactor::new(net, timeouts.by_class(), Duration::ZERO),
            state: SenderState {
                driver: Driver::new(Common::new(protocol, limits, max_buffered)),
                connector: Connector::new(config.target),
                input,
                timeout: config.timeout,
                key: None,
                has_started: false,
                is_half_closed: false,
                accounted: 0,
                salvaged: 0,
                moved: SendReport::default(),
                end: None,
            },
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

impl SenderState {
    fn protocol(&mut self) -> &mut SendProtocol {
        &mut self.driver.common.protocol
    }

    fn connect<N: StandardStreams>(&mut self, reactor: &mut Loop<N>) {
        match self.connector.connect_next(&mut self.driver, reactor) {
            Ok(key) => {
                if let Some(slot) = reactor.find(key) {
                    // After the server's FIN, input is still sent.
                    slot.tenant.allow_half_open();
                }
                self.key = Some(key);
            }
            Err(failure) => self.end = Some(Err(failure)),
        }
    }

    /// Moves data in both directions.
    fn pump<N: StandardStreams>(&mut self, reactor: &mut Loop<N>) {
        self.flush_output(reactor);
        self.pump_input(reactor);
    }

    fn flush_output<N: StandardStreams>(&mut self, reactor: &mut Loop<N>) {
        let common = &mut self.driver.common;
        let output = &mut common.protocol.output;
        let flushed = output.flush(|bytes| reactor.net.write_stdout(bytes));
        if flushed.is_err() {
            *output = StdoutQueue::default();
        }
        let queued = output.len();
        common.pool.account(self.accounted, queued);
        self.accounted = queued;
        match flushed {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.close_early(reactor, CloseReason::SessionDone);
                self.end = Some(Ok(SendReport {
                    output_closed: true,
                    ..self.moved.clone()
                }));
            }
            Err(error) => self.abort(reactor, Failure::Output(error)),
        }
    }

    /// Writes the next piece of the input to the connection, if no output is pending.
    fn pump_input<N: StandardStreams>(&mut self, reactor: &mut Loop<N>) {
        let Some(key) = self.key else { return };
        let has_pending = self.driver.pending_output(reactor, key) != Some(0);
        if has_pending || self.is_half_closed || !self.protocol().is_established {
            return;
        }
        let is_at_fin = self.protocol().is_at_fin;
        if is_at_fin {
            // After the server's FIN, input that is available now is sent; later input is not waited for.
            self.input.on_readable();
        }
        let driver = &mut self.driver;
        let mut ended = None;
        match self.input.next(&mut reactor.net) {
            Ok(Piece::More(bytes)) => {
                ended = driver.write(reactor, key, |outbox| outbox.write(bytes));
                // The connection runs between two pieces, so that neither direction waits for the other.
                if reactor.run_again(key).is_err() {
                    return self.abort(reactor, Failure::OutOfMemory);
                }
            }
            Ok(Piece::Last(bytes)) => {
                self.is_half_closed = true;
                if !bytes.is_empty() {
                    ended = driver.write(reactor, key, |outbox| outbox.write(bytes));
                }
                ended = ended.or_else(|| driver.half_close(reactor, key));
            }
            Ok(Piece::NotReady) if is_at_fin => {
                self.is_half_closed = true;
                ended = driver.half_close(reactor, key);
            }
            Ok(Piece::NotReady) => {}
            Err(failure) => return self.abort(reactor, failure),
        }
        if let Some(reason) = ended {
            self.close(reactor, key, reason);
        }
    }

    /// The result of an established connection that has closed.
    fn conclude(&mut self, closed: Closed) -> Result<SendReport, Failure> {
        let awaited = match closed.pending_output {
            0 if self.input.has_ended() => Awaited::Reply,
            0 => Awaited::InputOrReply,
            pending => Awaited::Acceptance(pending),
        };
        let end = End::of(&closed, self.connector.peer());
        let protocol = self.protocol();
        if protocol.output.is_out_of_memory() {
            return Err(Failure::OutOfMemory);
        }
        if let Some(violation) = protocol.malformed {
            return Err(Failure::Malformed { end, violation });
        }
        if closed.reason == CloseReason::PeerClosed {
            return Ok(self.moved.clone());
        }
        Err(Failure::of_end(end, closed.error, awaited, self.timeout))
    }

    /// Fails and resets the connection, so that the server does not take the input for complete.
    fn abort<N: StandardStreams>(&mut self, reactor: &mut Loop<N>, failure: Failure) {
        self.close_early(reactor, CloseReason::DrainExpired);
        self.end = Some(Err(failure));
    }

    /// Closes the connection before it has ended.
    fn close_early<N: StandardStreams>(&mut self, reactor: &mut Loop<N>, reason: CloseReason) {
        let key = self.key.take();
        if let Some(closed) = key.and_then(|key| self.driver.close(reactor, key, reason)) {
            self.count_moved(&closed);
        }
    }

    fn count_moved(&mut self, closed: &Closed) {
        self.moved = SendReport {
            sent: closed.bytes_out,
            received: closed.bytes_in,
            output_closed: false,
        };
    }
}

impl<N: StandardStreams> Owner<N, SendProtocol> for SenderState {
    fn driver(&mut self) -> &mut Driver<SendProtocol> {
        &mut self.driver
    }

    fn driven(
        &mut self,
        reactor: &mut Loop<N>,
        key: Key,
        ended: Option<CloseReason>,
    ) -> Option<CloseReason> {
        if std::mem::take(&mut self.protocol().has_received) {
            // With pending output, only acknowledged bytes restart the timer; here received bytes count too.
            reactor.touch(key);
        }
        // After malformed input the server's FIN is not awaited.
        let malformed = self.protocol().malformed.is_some();
        let ended = ended.or(malformed.then_some(CloseReason::Malformed));
        if ended.is_none() {
            self.pump(reactor);
        }
        ended
    }

    fn timed_out(&mut self, reactor: &mut Loop<N>, key: Key, reason: CloseReason) {
        if self.protocol().output.is_empty() {
            self.close(reactor, key, reason);
        } else {
            // Standard output is slow, not the server.
            reactor.restart_timer(key);
        }
    }

    /// Reads what the server sent before it reset the connection, such as an error message: a server that closes
    /// without reading all input resets. The kernel still holds at most one receive buffer of it.
    fn closing(&mut self, reactor: &mut Loop<N>, key: Key, reason: CloseReason) {
        if !matches!(reason, CloseReason::PeerReset | CloseReason::WriteFailed) {
            return;
        }
        let Some(Borrowed { slot, scratch, .. }) = reactor.borrow(key) else {
            return;
        };
        loop {
            match slot.stream.read(scratch) {
                Ok(count) if count > 0 => {
                    self.salvaged += count as u64;
                    self.driver.common.protocol.decode(&scratch[..count]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    /// Tries the next address, or concludes.
    fn closed(&mut self, reactor: &mut Loop<N>, _: Key, mut closed: Closed) {
        self.key = None;
        closed.bytes_in += std::mem::take(&mut self.salvaged);
        self.count_moved(&closed);
        if !self.protocol().is_established {
            self.connector.on_connect_error(closed);
            return self.connect(reactor);
        }
        self.end = Some(self.conclude(closed));
        self.flush_output(reactor);
    }

    fn source_ready(&mut self, reactor: &mut Loop<N>, source: Source) {
        match source {
            Source::STDIN => self.input.on_readable(),
            Source::STDOUT => self.protocol().output.on_writable(),
            _ => {}
        }
        self.pump(reactor);
    }
}
