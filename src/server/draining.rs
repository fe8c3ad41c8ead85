//! How the server stops: take in who waits, answer what has come, flush, FIN; and after a while cut short what is left.

use super::{Exit, Service};
use crate::connection::{CloseReason, Connections, Owner};
use crate::net::{Key, Net, Readiness, Signal, Time};
use crate::protocol::Protocol;
use std::time::Duration;

/// How many slots one turn tells of the end, so that a million of them do not hold up those who are served.
const SLOTS_PER_TURN: usize = 1024;

/// A second SIGTERM or SIGINT within this time of the first signal is the same request: GNU `timeout` signals its child
/// and then the process group, and a terminal or a service manager may signal both too.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    /// When what is left is cut short.
    deadline: Time,
    /// Slots below this index have been told. No connection is accepted any more, so none is missed.
    told: usize,
    /// Whether all have been told.
    all_told: bool,
    began: Time,
}

impl Drain {
    /// When the drain wants a turn.
    pub(super) fn wake_at(&self) -> Time {
        if self.all_told {
            self.deadline
        } else {
            Time::ZERO
        }
    }
}

impl<N: Net, P: Protocol> Service<N, P> {
    /// Applies the signals that have come: the first starts a drain, a later one may end the server.
    pub(super) fn on_signals(&mut self, reactor: &mut Connections<N, P>) {
        while let Some(signal) = reactor.net.take_signal() {
            if let Some(drain) = &self.drain {
                let since_first = reactor.now().since(drain.began);
                if self.exit.is_none() && ends_drain(signal, since_first) {
                    log::warn!(
                        "{}: a second signal, ending at once with {}",
                        signal.name(),
                        connections(reactor.len() as u64)
                    );
                    self.exit = Some(Ok(Exit::Interrupted));
                }
                continue;
            }
            let now = reactor.now();
            self.begin_drain(reactor, signal.name(), now);
        }
    }

    /// Starts a drain for `cause`, unless one has started already.
    pub(super) fn begin_drain(
        &mut self,
        reactor: &mut Connections<N, P>,
        cause: &str,
        began: Time,
    ) {
        if self.drain.is_some() {
            return;
        }
        self.close_listeners(reactor);
        log::info!(
            "{cause}: draining {} for at most {:?}; another SIGTERM or SIGINT ends at once",
            connections(reactor.len() as u64),
            self.config.drain_timeout
        );
        self.drain = Some(Drain {
            deadline: began + self.config.drain_timeout,
            told: 0,
            all_told: false,
            began,
        });
    }

    /// Tells the next few connections of the end, and ends the server when none is left or the time is over.
    pub(super) fn go_on_draining(&mut self, reactor: &mut Connections<N, P>) {
        let Some(drain) = &mut self.drain else { return };
        let now = reactor.now();
        let end = reactor.slots_end();
        let from = drain.told;
        let to = end.min(from + SLOTS_PER_TURN);
        (drain.told, drain.all_told) = (to, to == end);
        let (deadline, began) = (drain.deadline, drain.began);
        for index in from..to {
            if let Some(key) = reactor.key_at(index) {
                self.drain_connection(reactor, key);
            }
        }
        if now >= deadline {
            self.cut_short(reactor);
        }
        if reactor.is_empty() && !self.accepting.is_open() && self.exit.is_none() {
            log::info!(
                "drained in {:.1} s: {} served, {} refused, {} bytes in, {} out",
                now.since(began).as_secs_f64(),
                connections(self.counters.opened),
                self.counters.refused_in_all(),
                self.counters.bytes_in,
                self.counters.bytes_out
            );
            self.exit = Some(Ok(Exit::Drained));
        }
    }

    /// Has a connection answer what has arrived, flush and send FIN.
    pub(super) fn drain_connection(&mut self, reactor: &mut Connections<N, P>, key: Key) {
        if let Some(slot) = reactor.find(key) {
            slot.tenant.drain();
        }
        if let Some(reason) = self.driver.drive(reactor, key, Readiness::NONE) {
            self.close(reactor, key, reason);
        }
    }

    /// Closes what is left. The kernel would do it when the process ends, but by FIN, and so those who were owed bytes
    /// would take what they have for all.
    pub(super) fn close_all(&mut self, reactor: &mut Connections<N, P>) {
        for index in 0..reactor.slots_end() {
            let Some(key) = reactor.key_at(index) else {
                continue;
            };
            if let Some(slot) = reactor.find(key) {
                let reason = slot.tenant.cut_short();
                self.close(reactor, key, reason);
            }
        }
    }

    /// The time to drain is over.
    fn cut_short(&mut self, reactor: &mut Connections<N, P>) {
        self.accepting.close_all();
        self.close_all(reactor);
        let cut = self.counters.closed_for(CloseReason::DrainExpired);
        if cut > 0 {
            log::warn!(
                "drain expired after {:?}: {} closed before all that was owed had been taken",
                self.config.drain_timeout,
                connections(cut)
            );
        }
    }
}

/// Whether a signal that comes this long after the first one cuts the drain short; if not, it is logged here.
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

/// So many connections, in words.
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
    fn a_signal_ends_a_drain_after_500_ms_unless_it_is_sighup() {
        let at = Duration::from_millis;
        for signal in [Signal::Terminate, Signal::Interrupt] {
            assert!(!ends_drain(signal, at(0)), "{signal:?}");
            assert!(!ends_drain(signal, at(500)), "{signal:?}");
            assert!(ends_drain(signal, at(501)), "{signal:?}");
        }
        assert!(!ends_drain(Signal::Hangup, at(60_000)));
    }

    #[test]
    fn one_connection_is_not_several() {
        let said = [0, 1, 2].map(connections);
        assert_eq!(said, ["0 connections", "1 connection", "2 connections"]);
    }
}
