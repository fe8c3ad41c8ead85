//! What `ping` does when an echo is due or late, and when its connection, standard output or a signal is ready.

use super::connector::Connector;
use super::failure::{Awaited, End, Failure};
use super::handshake::HandshakeTimer;
use super::ping::{Loop, PingReport};
use super::ping_session::PingProtocol;
use super::summary::{Style, json_of, text_of};
use crate::connection::{CloseReason, Closed, Driver, Owner};
use crate::net::{Key, Net, Source, Time};
use crate::stdout::StdoutQueue;
use crate::tls::MaybeTls;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::time::Duration;

/// Everything but the event loop, which calls it.
pub(super) struct PingerState<P> {
    pub(super) driver: Driver<P>,
    connector: Connector,
    stdout: Box<dyn Write>,
    /// How many echoes are still to be sent.
    left: Option<u64>,
    /// When the next echo is due; `None` before the connection is established.
    due: Option<Time>,
    started_at: Time,
    key: Option<Key>,
    failure: Option<Failure>,
    /// An echo is due but waits for the connection to accept it.
    is_send_blocked: bool,
    handshake: HandshakeTimer,
    /// Nothing is left to do but to print.
    pub(super) is_over: bool,
    output_closed: bool,
    pub(super) signals: u32,
}

impl<P: MaybeTls<PingProtocol>> PingerState<P> {
    /// Nothing has begun.
    pub(super) fn new(
        driver: Driver<P>,
        connector: Connector,
        stdout: Box<dyn Write>,
        count: Option<u64>,
        now: Time,
    ) -> PingerState<P> {
        PingerState {
            driver,
            connector,
            stdout,
            left: count,
            due: None,
            started_at: now,
            key: None,
            failure: None,
            is_send_blocked: false,
            handshake: HandshakeTimer::default(),
            is_over: false,
            output_closed: false,
            signals: 0,
        }
    }

    fn protocol(&mut self) -> &mut PingProtocol {
        self.driver.common.protocol.plain_mut()
    }

    pub(super) fn connect<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
        match self.connector.connect_next(&mut self.driver, reactor) {
            Ok(key) => {
                self.key = Some(key);
                self.protocol().peer = self.connector.peer();
            }
            Err(failure) => self.fail(failure),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        self.is_over = true;
    }

    /// Sends the echo that is due, expires those that are late, and ends when nothing is left to wait for.
    pub(super) fn run_schedule<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
        if self.is_over || !self.protocol().is_established {
            return;
        }
        if self.due.is_none() {
            self.started_at = reactor.net.now();
            self.due = Some(self.started_at);
        }
        self.send_if_due(reactor);
        let now = reactor.net.now();
        let protocol = self.protocol();
        let events = protocol.echoes.expire(now);
        protocol.print(events);
        if self.has_no_echo_in_flight() {
            self.is_over |= self.left == Some(0);
            if let Some(key) = self.key
                && !self.protocol().echoes.can_send()
            {
                // As many echoes as may be in flight are lost, so no more can be sent.
                self.close(reactor, key, CloseReason::Idle);
            }
        }
        self.flush_output();
    }

    fn has_no_echo_in_flight(&self) -> bool {
        self.driver.common.protocol.plain().echoes.in_flight() == 0
    }

    fn send_if_due<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
        let (Some(key), Some(due)) = (self.key, self.due) else {
            return;
        };
        let now = reactor.net.now();
        if now < due || self.left == Some(0) {
            return;
        }
        let has_pending = self.driver.pending_output(reactor, key) != Some(0);
        let echoes = &mut self.protocol().echoes;
        let is_blocked = has_pending || !echoes.can_send();
        if !is_blocked {
            let pattern = echoes.pattern();
            let message = echoes.send(&pattern, now);
            self.left = self.left.map(|left| left - 1);
            self.due = Some(next_due(due, now, self.protocol().config.interval));
            self.write(reactor, key, |outbox| {
                outbox.write(message.head());
                outbox.write(message.body());
            });
        }
        self.is_send_blocked = is_blocked;
    }

    /// Closes the connection and queues the summary.
    pub(super) fn conclude<N: Net>(&mut self, reactor: &mut Loop<N, P>) {
        let took = reactor.net.now().since(self.started_at);
        if let Some(key) = self.key.take() {
            self.driver.close(reactor, key, CloseReason::SessionDone);
        }
        let handshake = self.handshake.took;
        let protocol = self.driver.common.protocol.plain_mut();
        if !protocol.is_established || self.output_closed {
            return;
        }
        let (echoes, peer) = (&protocol.echoes, &protocol.peer);
        let mut text = match protocol.config.style {
            Style::Json => json_of(echoes, protocol.config.size, peer, took, handshake)
                .unwrap_or_else(|error| format!("cannot write JSON: {error}\n")),
            Style::Lines => "\n".to_owned() + &text_of(echoes, peer, took, handshake),
            Style::Summary => text_of(echoes, peer, took, handshake),
        };
        if protocol.lines_left_out > 0 {
            let count = protocol.lines_left_out;
            let _ = writeln!(text, "{count} lines left out: standard output was too slow");
        }
        protocol.output.push(text.as_bytes());
        self.flush_output();
    }

    /// The report of a pinger that has concluded; an error if no connection was established.
    pub(super) fn into_report(mut self) -> Result<PingReport, Failure> {
        let protocol = self.driver.common.protocol.plain_mut();
        if !protocol.is_established {
            let peer = self.connector.peer();
            return Err(self.failure.unwrap_or(Failure::Interrupted { peer }));
        }
        Ok(PingReport {
            peer: std::mem::take(&mut protocol.peer),
            echoes: protocol.echoes.clone(),
            failure: self.failure,
            output_closed: self.output_closed,
        })
    }

    pub(super) fn flush_output(&mut self) {
        let output = &mut self.driver.common.protocol.plain_mut().output;
        if let Err(error) = output.flush(|bytes| self.stdout.write(bytes)) {
            *output = StdoutQueue::default();
            self.is_over = true;
            self.output_closed = true;
            if error.kind() != ErrorKind::BrokenPipe {
                self.fail(Failure::Output(error));
            }
        }
    }
}

/// When the next echo is due, after one that was due at `due` and sent at `now`: the next multiple of the interval.
fn next_due(due: Time, now: Time, interval: Duration) -> Time {
    let skipped = now.since(due).as_nanos() / interval.as_nanos().max(1);
    let steps = u32::try_from(skipped).unwrap_or(u32::MAX).saturating_add(1);
    due + interval.saturating_mul(steps)
}

impl<N: Net, P: MaybeTls<PingProtocol>> Owner<N, P> for PingerState<P> {
    fn driver(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    fn driven(
        &mut self,
        reactor: &mut Loop<N, P>,
        key: Key,
        ended: Option<CloseReason>,
    ) -> Option<CloseReason> {
        if self.driver.common.protocol.has_handshake() {
            let is_established = self.protocol().is_established;
            self.handshake
                .on_driven::<N, P>(reactor, key, is_established);
        }
        ended
    }

    /// Tries the next address, concludes, or fails.
    fn closed(&mut self, reactor: &mut Loop<N, P>, key: Key, closed: Closed) {
        self.key = None;
        if !self.protocol().is_established {
            self.connector
                .on_not_established(closed, &self.driver.common.protocol, key);
            return self.connect(reactor);
        }
        if self.left == Some(0) && self.has_no_echo_in_flight() {
            // The server may close once everything is done.
            self.is_over = true;
            return;
        }
        let awaited = match closed.pending_output {
            0 => Awaited::Reply,
            pending => Awaited::Acceptance(pending),
        };
        let end = End::of(&closed, self.connector.peer());
        if let Some(error) = self.driver.common.protocol.tls_failure(key).cloned() {
            return self.fail(Failure::Tls { end, error });
        }
        let timeout = Some(self.protocol().config.timeout);
        self.fail(Failure::of_end(end, closed.error, awaited, timeout));
    }

    fn source_ready(&mut self, reactor: &mut Loop<N, P>, source: Source) {
        match source {
            Source::STDOUT => self.protocol().output.on_writable(),
            Source::SIGNALS => {
                while reactor.net.take_signal().is_some() {
                    self.is_over = true;
                    self.signals += 1;
                }
            }
            _ => {}
        }
    }

    fn wake_at(&self) -> Option<Time> {
        if self.is_over {
            return None;
        }
        let can_send = self.left != Some(0) && !self.is_send_blocked;
        let due = self.due.filter(|_| can_send);
        let protocol = self.driver.common.protocol.plain();
        let deadline = protocol.echoes.next_deadline();
        due.into_iter().chain(deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_echoes_are_skipped_without_drift() {
        let at = |milliseconds| Time::ZERO + Duration::from_millis(milliseconds);
        let second = Duration::from_secs(1);
        assert_eq!(next_due(at(0), at(0), second), at(1000));
        assert_eq!(next_due(at(0), at(3), second), at(1000), "no drift");
        assert_eq!(next_due(at(0), at(999), second), at(1000));
        assert_eq!(next_due(at(0), at(2500), second), at(3000));
        assert_eq!(
            next_due(at(0), at(5), Duration::from_nanos(1)).as_nanos(),
            5_000_001
        );
    }
}
