//! The steps of a connection between its states: connecting, draining, half-closing, closing.

use super::state::{Event, Rx, Tx};
use super::{CloseReason, Connection, Cx, DriveContext, Flags, Outcome, Result};
use crate::net::{Readiness, Stream};
use crate::protocol::Session;

/// The number of iterations in which a draining connection may use up its budget before its input counts as endless.
///
/// With the default budget that is 32 MiB, the default limit of the kernel's receive buffer (tcp(7), `tcp_rmem`; 6 MiB
/// before Linux 6.16).
pub(super) const DRAIN_ITERATIONS: u8 = 255;

impl<S: Session> Connection<S> {
    /// Changes the state. The transitions are in `state.rs`.
    pub(super) fn on(&mut self, event: Event) {
        let next = self.state.after(event);
        debug_assert!(next.is_some(), "{event:?} in {:?}", self.state);
        self.state = next.unwrap_or(self.state);
        self.update_caught_up();
    }

    /// Begins a drain: the input that has arrived already is answered, output is flushed, FIN is sent, and the peer's FIN
    /// ends the connection. The connection is to be driven next.
    pub fn drain(&mut self) {
        let before = self.state;
        self.on(Event::Drain);
        if self.state.rx == Rx::UntilDrained && self.state != before {
            self.drain_iterations = DRAIN_ITERATIONS;
            // There may be input that no further event reports.
            self.add_readiness(Readiness::READABLE | Readiness::DRAIN);
        } else if self.state != before {
            self.reason = CloseReason::Drained;
        }
    }

    /// From now on the peer's FIN does not close the connection: the owner may write until
    /// [`half_close`](Connection::half_close). For a client with more input.
    pub fn allow_half_open(&mut self) {
        self.flags.insert(Flags::HALF_OPEN);
    }

    /// Sends FIN after the pending output, as a client does at the end of its input. The peer is read until its FIN;
    /// output that the session writes later is dropped.
    ///
    /// # Errors
    /// Why the connection has ended, for example because the peer's FIN was read already; its owner is to close it.
    pub fn half_close<T: Stream>(
        &mut self,
        stream: &mut T,
        cx: &mut DriveContext<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        self.on(Event::HalfClose);
        match (self.state.rx, self.state.tx) {
            (Rx::Open, Tx::FinQueued) if !self.session.is_handshaking() => {
                self.send_fin(stream, cx)
            }
            (Rx::AtEof, Tx::FinQueued) if !self.has_pending_output() => Err(self.reason),
            _ => Ok(()),
        }
    }

    /// Drives a connection that is not caught up, or has more input than one read takes.
    #[cold]
    #[inline(never)]
    pub(super) fn drive_slow_path<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        cx: &mut Cx<'_, S>,
    ) -> Result<Outcome> {
        if self.state.rx == Rx::Cancelled {
            return Err(CloseReason::Drained);
        }
        if self.state.is_connecting() && !self.finish_connecting(stream, cx)? {
            return Ok(Outcome::Event);
        }
        self.flush(stream, cx)?;
        let outcome = if self.state.can_receive() {
            self.read(stream, scratch, cx)?
        } else {
            Outcome::Event
        };
        self.advance(outcome, stream, scratch, cx)
    }

    /// Takes the steps that only pending output can delay.
    fn advance<T: Stream>(
        &mut self,
        outcome: Outcome,
        stream: &mut T,
        scratch: &mut [u8],
        cx: &mut Cx<'_, S>,
    ) -> Result<Outcome> {
        let is_pending = self.has_pending_output();
        let is_flushed = outcome != Outcome::Memory && !is_pending;
        if self.state.rx == Rx::UntilDrained && is_flushed {
            // Deferred work leaves some of the budget, and is not endless input.
            let is_deferred = cx.budget() > 0;
            if outcome == Outcome::Again && (is_deferred || self.drain_iterations > 0) {
                self.drain_iterations -= u8::from(!is_deferred);
            } else {
                // All input that had arrived is answered, or it is endless.
                self.on(Event::Drained);
                self.reason = CloseReason::Drained;
                self.drop_input(&mut cx.common.pool);
            }
        }
        match (self.state.rx, self.state.tx) {
            // FIN would acknowledge a record, and none was delivered.
            (Rx::Discard, Tx::FinQueued) if S::FIN_IS_RECEIPT => Err(self.reason),
            (Rx::Discard, Tx::FinQueued) => {
                self.send_fin(stream, cx)?;
                if !self.state.is_fin_sent() {
                    return Ok(Outcome::Event);
                }
                self.add_readiness(Readiness::READABLE | Readiness::DRAIN);
                self.linger(stream, scratch, cx)
            }
            (Rx::Discard, Tx::FinSent) => self.linger(stream, scratch, cx),
            (Rx::Open, Tx::FinQueued) if !self.session.is_handshaking() => {
                self.send_fin(stream, cx)?;
                Ok(outcome)
            }
            (Rx::AtEof, Tx::FinQueued | Tx::FinSent) if !is_pending => {
                self.before_fin(stream, cx)?;
                if self.has_pending_output() {
                    return Ok(Outcome::Event);
                }
                Err(self.reason)
            }
            (Rx::RecordPending, _) if !is_pending => Ok(Outcome::RecordReady),
            (Rx::Connecting | Rx::Open | Rx::UntilDrained, _) | (Rx::AtEof, Tx::Open) => {
                Ok(outcome)
            }
            _ => Ok(Outcome::Event),
        }
    }

    /// What the connection waits for after its session has written without a drive: if the session has finished and only
    /// FIN is left to send, no event follows.
    pub(super) fn outcome_after_write(&self) -> Outcome {
        match (self.state.rx, self.state.tx) {
            (Rx::Discard, Tx::FinQueued) if !self.has_pending_output() => Outcome::Again,
            _ => Outcome::Event,
        }
    }

    /// Checks whether the handshake has completed; if so, opens the session.
    fn finish_connecting<T: Stream>(&mut self, stream: &mut T, cx: &mut Cx<'_, S>) -> Result<bool> {
        if !self.readiness.contains(Readiness::WRITABLE) {
            return Ok(false);
        }
        let connected = stream.connected();
        let connected =
            connected.map_err(|error| cx.close_with(error, CloseReason::ConnectFailed))?;
        if connected {
            self.on(Event::Connected);
            self.greet(stream, cx)?;
        } else {
            self.readiness.remove(Readiness::WRITABLE);
        }
        Ok(connected)
    }

    /// Sends the last output of the session: its peer's FIN follows, or the connection closes. If FIN is a receipt, so is
    /// that output.
    pub(super) fn before_fin<T: Stream>(&mut self, stream: &mut T, cx: &mut Cx<'_, S>) -> Result {
        if !S::HOLDS_BYTES || (S::FIN_IS_RECEIPT && !self.is_record_taken(&cx.common.pool)) {
            return Ok(());
        }
        self.call_session(&[], stream, cx, |session, _, context, outbox| {
            session.before_fin(context, outbox);
            0
        })?;
        Ok(())
    }

    /// The idle timeout is over: sends the last output of the session. If the kernel does not accept all of it, FIN follows
    /// the rest.
    pub(super) fn finish_idle<T: Stream>(&mut self, stream: &mut T, cx: &mut Cx<'_, S>) -> Result {
        self.before_fin(stream, cx)?;
        if !self.has_pending_output() {
            return Err(CloseReason::Idle);
        }
        self.on(Event::Finished);
        self.reason = CloseReason::Idle;
        Ok(())
    }

    /// Sends the last output of the session, and FIN as soon as the kernel has accepted all output.
    fn send_fin<T: Stream>(&mut self, stream: &mut T, cx: &mut Cx<'_, S>) -> Result {
        self.before_fin(stream, cx)?;
        if self.has_pending_output() {
            return Ok(());
        }
        let sent = stream.shutdown_write();
        sent.map_err(|error| cx.close_with(error, CloseReason::PeerReset))?;
        self.on(Event::FinSent);
        Ok(())
    }
}
