//! The drain: empty the accept queues, answer the received input, flush, send FIN; at the deadline, close what remains.

use super::{Counters, Exit, Request, Service};
use crate::connection::{CloseReason, Connections, Owner};
use crate::net::{Key, Net, Note, Readiness, Signal, Source, Time};
use crate::protocol::Protocol;
use crate::time::in_units;
use std::time::Duration;

/// The number of slots that the drain visits in one iteration, so that a million of them do not delay active
/// connections.
const SLOTS_PER_ITERATION: usize = 1024;

/// A second SIGTERM or SIGINT within this time of the first signal is the same request: GNU `timeout` signals its child
/// and then the process group, and a terminal or a service manager may also signal both.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);

/// A drain in progress.
#[derive(Debug)]
pub(super) struct Drain {
    start: Time,
    /// The time at which the remaining connections are closed.
    deadline: Time,
    /// The index of the next slot to visit. A connection accepted later is drained when it is admitted.
    next_slot: usize,
    has_visited_all: bool,
}

impl Drain {
    /// The time of the next iteration that the drain needs.
    pub(super) fn wake_at(&self) -> Time {
        if self.has_visited_all {
            self.deadline
        } else {
            Time::ZERO
        }
    }
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Handles the received signals: the first starts a drain, a later one may stop the server.
    pub(super) fn on_signals(&mut self, reactor: &mut Connections<N, P>) {
        while let Some(signal) = reactor.net.take_signal() {
            let request = match signal {
                Signal::Upgrade => Some(Request::Upgrade),
                Signal::Reload => Some(Request::Reload),
                Signal::Report => Some(Request::Report),
                Signal::Terminate | Signal::Interrupt | Signal::Hangup => None,
            };
            if let Some(request) = request {
                self.request(request);
                continue;
            }
            if let Some(drain) = &self.drain {
                let since_first = reactor.now().since(drain.start);
                if self.exit.is_none() && ends_drain(signal, since_first) {
                    log_interrupted(signal, reactor.len());
                    self.exit = Some(Ok(Exit::Interrupted));
                }
                continue;
            }
            let now = reactor.now();
            self.begin_drain(reactor, signal.name(), now);
        }
    }

    /// Starts a drain for `cause`, unless one has started already.
    pub(super) fn begin_drain(&mut self, reactor: &mut Connections<N, P>, cause: &str, now: Time) {
        if self.drain.is_some() {
            return;
        }
        self.close_listeners(reactor);
        log_begun(cause, reactor.len(), self.config.drain_timeout);
        self.drain = Some(Drain {
            deadline: now + self.config.drain_timeout,
            start: now,
            next_slot: 0,
            has_visited_all: false,
        });
        let signals = Key::of_source(Source::SIGNALS);
        reactor.net.note(signals, Note::Drain);
    }

    /// Stops accepting without emptying the accept queues: another process accepts from the same listeners.
    pub(super) fn retire(&mut self, reactor: &mut Connections<N, P>, linger: Duration) {
        for listener in self.accepting.take_all() {
            reactor.net.close_listener(listener);
        }
        // Without connections no event follows.
        let linger = if reactor.is_empty() {
            Duration::ZERO
        } else {
            linger
        };
        self.retires_at = Some(reactor.net.now() + linger);
    }

    /// Starts a drain when the server was retired, and its connections have ended or its time is over.
    fn end_retirement(&mut self, reactor: &mut Connections<N, P>) {
        let Some(at) = self.retires_at else { return };
        let now = reactor.now();
        if self.drain.is_some() {
            return;
        }
        if reactor.is_empty() {
            log::info!("upgrade: this process has no connection left, and exits");
            self.stop(Exit::Drained);
        } else if now >= at {
            self.begin_drain(reactor, "the time after the upgrade is over", now);
        }
    }

    /// Drains the next connections. Stops the server when all have closed, at the latest at the deadline.
    pub(super) fn continue_drain(&mut self, reactor: &mut Connections<N, P>) {
        self.end_retirement(reactor);
        let Some(drain) = &mut self.drain else { return };
        let now = reactor.now();
        let end = reactor.slots_end();
        let first = drain.next_slot;
        drain.next_slot = end.min(first + SLOTS_PER_ITERATION);
        drain.has_visited_all = drain.next_slot == end;
        let (start, deadline) = (drain.start, drain.deadline);
        for index in first..drain.next_slot {
            if let Some(key) = reactor.key_at(index) {
                self.drain_connection(reactor, key);
            }
        }
        if now >= deadline {
            self.expire_drain(reactor);
        }
        if reactor.is_empty() && !self.accepting.is_open() && !self.is_stopped() {
            log_drained(now.since(start), &self.counters);
            self.stop(Exit::Drained);
        }
    }

    /// Whether this iteration stops the server.
    fn is_stopped(&self) -> bool {
        !matches!(self.exit, None | Some(Ok(Exit::Requested)))
    }

    /// Stops the server, unless this iteration stops it for another reason. A request of this iteration is void: without
    /// an event, no later one need come.
    fn stop(&mut self, exit: Exit) {
        if !self.is_stopped() {
            self.exit = Some(Ok(exit));
        }
    }

    /// Makes a connection answer the received input, flush and send FIN.
    pub(super) fn drain_connection(&mut self, reactor: &mut Connections<N, P>, key: Key) {
        if let Some(slot) = reactor.find(key) {
            slot.tenant.drain();
            reactor.net.note(key, Note::Drain);
        }
        if let Some(reason) = self.driver.drive(reactor, key, Readiness::NONE) {
            self.close(reactor, key, reason);
        }
    }

    /// Closes the remaining connections. At exit the kernel would close them with FIN, and a client with pending output
    /// would take its truncated input for complete.
    pub(super) fn close_all(&mut self, reactor: &mut Connections<N, P>) {
        for index in 0..reactor.slots_end() {
            if let Some(key) = reactor.key_at(index)
                && let Some(slot) = reactor.find(key)
            {
                let reason = slot.tenant.cut_short();
                self.close(reactor, key, reason);
            }
        }
    }

    /// Closes everything at the deadline of the drain.
    fn expire_drain(&mut self, reactor: &mut Connections<N, P>) {
        self.accepting.close_all();
        self.close_all(reactor);
        let reset = self.counters.closed_for(CloseReason::DrainExpired);
        if reset > 0 {
            log_expired(self.config.drain_timeout, reset);
        }
    }
}

#[cold]
fn log_begun(cause: &str, live: usize, timeout: Duration) {
    log::info!(
        "{cause}: draining {} for at most {}; another SIGTERM or SIGINT exits immediately",
        connections(live as u64),
        in_units(timeout)
    );
}

#[cold]
fn log_interrupted(signal: Signal, live: usize) {
    log::warn!(
        "{}: second signal, exiting immediately with {}",
        signal.name(),
        connections(live as u64)
    );
}

#[cold]
fn log_drained(time: Duration, counters: &Counters) {
    log::info!(
        "drained in {:.1} s: {} served, {} refused, {} bytes in, {} out",
        time.as_secs_f64(),
        connections(counters.opened),
        counters.refused_in_all(),
        counters.bytes_in,
        counters.bytes_out
    );
}

#[cold]
fn log_expired(timeout: Duration, reset: u64) {
    log::warn!(
        "drain expired after {}: {} reset",
        in_units(timeout),
        connections(reset)
    );
}

/// Whether a signal ends the drain, this long after the first signal; if not, logs why.
#[cold]
fn ends_drain(signal: Signal, since_first: Duration) -> bool {
    let name = signal.name();
    if signal == Signal::Hangup {
        log::info!("{name}: ignored, since the drain has started");
        return false;
    }
    if since_first <= REPEAT_WINDOW {
        log::info!(
            "{name}: within {REPEAT_WINDOW:?} of the first signal, taken as the same request"
        );
        return false;
    }
    true
}

/// The number and the noun.
fn connections(count: u64) -> String {
    match count {
        1 => "1 connection".to_owned(),
        _ => format!("{count} connections"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_other_than_sighup_ends_drain_after_500_ms() {
        let at = Duration::from_millis;
        for signal in [Signal::Terminate, Signal::Interrupt] {
            assert!(!ends_drain(signal, at(0)), "{signal:?}");
            assert!(!ends_drain(signal, at(500)), "{signal:?}");
            assert!(ends_drain(signal, at(501)), "{signal:?}");
        }
        assert!(!ends_drain(Signal::Hangup, at(60_000)));
    }

    #[test]
    fn one_connection_is_singular() {
        let texts = [0, 1, 2].map(connections);
        assert_eq!(texts, ["0 connections", "1 connection", "2 connections"]);
    }
}
