//! What `send` does when its connection, standard input or standard output is ready.

use super::connector::Connector;
use super::failure::{Awaited, End, Failure};
use super::input::{InputReader, Piece};
use super::send::{Loop, SendReport};
use super::send_session::SendProtocol;
use crate::connection::{CloseReason, Closed, Driver, Owner};
use crate::net::{Key, Net, Source, Stream};
use crate::reactor::Borrowed;
use crate::stdout::StdoutQueue;
use crate::tls::MaybeTls;
use std::io::{ErrorKind, Write};
use std::time::Duration;

/// Everything but the event loop, which calls it.
pub(super) struct SenderState<P> {
    pub(super) driver: Driver<P>,
    connector: Connector,
    input: InputReader,
    stdout: Box<dyn Write>,
    timeout: Option<Duration>,
    key: Option<Key>,
    /// The first connection attempt has been made.
    pub(super) has_started: bool,
    /// All input has been written to the connection, then FIN.
    is_half_closed: bool,
    /// Bytes of queued output that the pool counts.
    pub(super) accounted: usize,
    /// Bytes read from a connection after a write had failed.
    salvaged: u64,
    /// Bytes sent and received when the last connection was closed.
    moved: SendReport,
    pub(super) end: Option<Result<SendReport, Failure>>,
}

impl<P: MaybeTls<SendProtocol>> SenderState<P> {
    /// Nothing has begun.
    pub(super) fn new(
        driver: Driver<P>,
        connector: Connector,
        input: InputReader,
        stdout: Box<dyn Write>,
        timeout: Option<Duration>,
    ) -> SenderState<P> {
        SenderState {
            driver,
            connector,
            input,
            stdout,
            timeout,
            key: None,
            has_started: false,
            is_half_closed: false,
            accounted: 0,
            salvaged: 0,
            moved: SendReport::default(),
            end: None,
        }
    }

    pub(super) fn protocol(&mut self) -> &mut SendProtocol {
        self.driver.common.protocol.plain_mut()
    }

    pub(super) fn connect<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
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
    fn pump<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
        self.flush_output(reactor);
        self.pump_input(reactor);
    }

    pub(super) fn flush_output<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
        let common = &mut self.driver.common;
        let output = &mut common.protocol.plain_mut().output;
        let flushed = output.flush(|bytes| self.stdout.write(bytes));
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
    fn pump_input<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
        let Some(key) = self.key else { return };
        let has_pending = self.driver.pending_output(reactor, key) != Some(0);
        if has_pending || self.is_half_closed || !self.protocol().is_established {
            return;
        }
        let is_at_fin = self.protocol().is_at_fin;
        if is_at_fin && self.driver.common.protocol.has_handshake() {
            // After close_notify the TLS session sends no more data.
            return;
        }
        if is_at_fin {
            // After the server's FIN, input that is available now is sent; later input is not waited for.
            self.input.on_readable();
        }
        let driver = &mut self.driver;
        let mut ended = None;
        match self.input.next() {
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
    fn conclude(&mut self, key: Key, closed: Closed) -> Result<SendReport, Failure> {
        let awaited = match closed.pending_output {
            0 if self.input.has_ended() => Awaited::Reply,
            0 => Awaited::InputOrReply,
            pending => Awaited::Acceptance(pending),
        };
        let end = End::of(&closed, self.connector.peer());
        let failure = self.driver.common.protocol.tls_failure(key).cloned();
        let protocol = self.protocol();
        if protocol.output.is_out_of_memory() {
            return Err(Failure::OutOfMemory);
        }
        if let Some(violation) = protocol.malformed {
            return Err(Failure::Malformed { end, violation });
        }
        if let Some(error) = failure {
            return Err(Failure::Tls { end, error });
        }
        if closed.reason == CloseReason::PeerClosed {
            return Ok(self.moved.clone());
        }
        Err(Failure::of_end(end, closed.error, awaited, self.timeout))
    }

    /// Fails and resets the connection, so that the server does not take the input for complete.
    fn abort<N: Net>(&mut self, reactor: &mut Loop<N, P>, failure: Failure) {
        self.close_early(reactor, CloseReason::DrainExpired);
        self.end = Some(Err(failure));
    }

    /// Closes the connection before it has ended.
    fn close_early<N: Net>(&mut self, reactor: &mut Loop<N, P>, reason: CloseReason) {
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

impl<N: Net, P: MaybeTls<SendProtocol>> Owner<N, P> for SenderState<P> {
    fn driver(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    fn driven(
        &mut self,
        reactor: &mut Loop<N, P>,
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

    fn timed_out(
        &mut self,
        reactor: &mut Loop<N, P>,
        key: Key,
        reason: CloseReason,
    ) -> Option<CloseReason> {
        if self.protocol().output.is_empty() {
            return Some(reason);
        }
        // Standard output is slow, not the server: the timer restarts.
        let class = reactor.find(key)?.class();
        reactor.set_class(key, class);
        None
    }

    /// Reads what the server sent before it reset the connection, such as an error message: a server that closes
    /// without reading all input resets. The kernel still holds at most one receive buffer of it.
    fn closing(&mut self, reactor: &mut Loop<N, P>, key: Key, reason: CloseReason) {
        // Over TLS, records that were not received before an error are not decrypted.
        let is_reset = matches!(reason, CloseReason::PeerReset | CloseReason::WriteFailed);
        if !is_reset || self.driver.common.protocol.has_handshake() {
            return;
        }
        let Some(Borrowed { slot, scratch, .. }) = reactor.borrow(key) else {
            return;
        };
        loop {
            match slot.stream.read(&mut scratch.0) {
                Ok(count) if count > 0 => {
                    self.salvaged += count as u64;
                    let protocol = self.driver.common.protocol.plain_mut();
                    protocol.decode(&scratch.0[..count]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    /// Tries the next address, or concludes.
    fn closed(&mut self, reactor: &mut Loop<N, P>, key: Key, mut closed: Closed) {
        self.key = None;
        closed.bytes_in += std::mem::take(&mut self.salvaged);
        self.count_moved(&closed);
        if !self.protocol().is_established {
            self.connector
                .on_not_established(closed, &self.driver.common.protocol, key);
            return self.connect(reactor);
        }
        self.end = Some(self.conclude(key, closed));
        self.flush_output(reactor);
    }

    fn source_ready(&mut self, reactor: &mut Loop<N, P>, source: Source) {
        match source {
            Source::STDIN => self.input.on_readable(),
            Source::STDOUT => self.protocol().output.on_writable(),
            _ => {}
        }
        self.pump(reactor);
    }
}
