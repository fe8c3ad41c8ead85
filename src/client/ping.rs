//! `ping`: small verified echoes on schedule, as ping(8) does it, over one TCP connection.
//!
//! An echo is sent when it is due, whether or not those before it are back; what could not be sent in time is left out,
//! so that nothing is made up for in a burst.

use super::dialing::{Dialing, Target};
use super::echoes::Echoes;
use super::failure::{Awaited, End, Failure};
use super::output::Output;
use super::summary::{Style, json_of, text_of};
use super::verifying::{Echoing, Verifying};
use crate::connection::{
    Classes, CloseReason, Common, Connection, Connections, Driver, Limits, Timeouts,
};
use crate::net::{Key, Net, Readiness, Source, Time};
use crate::reactor::{Handler, Reactor, SCRATCH_SIZE};
use std::fmt::Write;
use std::io::ErrorKind;
use std::time::Duration;

/// What `ping` does, and with whom.
#[derive(Clone, Debug)]
pub struct PingConfig {
    /// The server.
    pub target: Target,
    /// How many echoes are sent; `None`: until a signal comes.
    pub count: Option<u64>,
    /// From one to the next.
    pub interval: Duration,
    /// Bytes of each; not zero.
    pub size: usize,
    /// How long one may be under way before it counts as lost.
    pub patience: Duration,
    /// What is printed.
    pub style: Style,
}

/// How it went.
#[derive(Debug)]
pub struct Pinged {
    /// The server's address.
    pub peer: String,
    /// All echoes.
    pub echoes: Echoes,
    /// What ended it before its time.
    pub failure: Option<Failure>,
    /// Nobody reads standard output any more.
    pub output_closed: bool,
}

/// Echoes to one server.
pub struct Pinger<N: Net> {
    reactor: Connections<N, Echoing>,
    crew: Crew,
    /// The first connection has been begun.
    has_begun: bool,
    /// The connection is closed, and the summary is on its way.
    has_concluded: bool,
}

/// All of it but the loop, which calls it.
struct Crew {
    driver: Driver<Echoing>,
    dialing: Dialing,
    interval: Duration,
    /// How many are still to be sent.
    left: Option<u64>,
    /// When the next is due; `None` before the connection stands.
    due: Option<Time>,
    began: Time,
    payload: Vec<u8>,
    key: Option<Key>,
    failure: Option<Failure>,
    /// The next is due, but cannot be sent until the connection has moved.
    is_held_up: bool,
    /// What remains is to print.
    is_over: bool,
    output_closed: bool,
    signals: u32,
}

impl<N: Net> Pinger<N> {
    /// One that begins with its first turn. `net` is to have standard output and signals, and to keep time precisely.
    ///
    /// # Errors
    /// There is no memory for the histogram.
    pub fn new(net: N, config: PingConfig) -> Result<Pinger<N>, Failure> {
        let timeouts = Timeouts {
            idle: None,
            stall: Some(config.patience),
            connect: config.target.connect_timeout,
        };
        let limits = Limits {
            // A client that owes is read all the same: else neither might read until the other has.
            max_pending: config.size.saturating_add(2 * SCRATCH_SIZE),
            ..Limits::default()
        };
        let echoing = Echoing::new(&config)?;
        let reactor = Reactor::new(net, timeouts.by_class(), Duration::ZERO);
        Ok(Pinger {
            crew: Crew {
                driver: Driver::new(Common::new(echoing, limits, usize::MAX)),
                dialing: Dialing::new(config.target),
                interval: config.interval,
                left: config.count,
                due: None,
                began: reactor.now(),
                payload: Vec::new(),
                key: None,
                failure: None,
                is_held_up: false,
                is_over: false,
                output_closed: false,
                signals: 0,
            },
            has_begun: false,
            has_concluded: false,
            reactor,
        })
    }

    /// Connects and sends echoes until all are sent and back or given up, a signal comes, or the connection ends; prints
    /// them and the summary.
    ///
    /// # Errors
    /// No connection came to stand, or the loop cannot go on.
    pub fn run(mut self) -> Result<Pinged, Failure> {
        while !self.is_done() {
            self.turn()?;
        }
        self.finish()
    }

    /// One turn of the loop; the first only begins to connect.
    ///
    /// # Errors
    /// The loop cannot go on.
    pub fn turn(&mut self) -> Result<(), Failure> {
        let Pinger { reactor, crew, .. } = self;
        if std::mem::replace(&mut self.has_begun, true) {
            reactor.turn(crew).map_err(Failure::Loop)?;
            if crew.is_over {
                crew.flush_output(reactor);
            } else {
                crew.act(reactor);
            }
        } else {
            crew.dial(reactor);
        }
        if crew.is_over && !std::mem::replace(&mut self.has_concluded, true) {
            crew.conclude(reactor);
        }
        Ok(())
    }

    /// Whether all is over and printed. A second signal ends it even if standard output takes nothing.
    pub fn is_done(&self) -> bool {
        let output = &self.crew.driver.common.protocol.output;
        self.has_concluded && (output.is_empty() || self.crew.signals >= 2)
    }

    /// How it went, once it is done.
    ///
    /// # Errors
    /// No connection came to stand.
    pub fn finish(self) -> Result<Pinged, Failure> {
        let crew = self.crew;
        let echoing = crew.driver.common.protocol;
        if !echoing.is_open {
            let peer = crew.dialing.peer();
            return Err(crew.failure.unwrap_or(Failure::Interrupted { peer }));
        }
        Ok(Pinged {
            peer: echoing.peer,
            echoes: echoing.echoes,
            failure: crew.failure,
            output_closed: crew.output_closed,
        })
    }
}

impl Crew {
    fn echoing(&mut self) -> &mut Echoing {
        &mut self.driver.common.protocol
    }

    fn dial<N: Net>(&mut self, reactor: &mut Connections<N, Echoing>) {
        match self.dialing.next(&mut self.driver, reactor) {
            Ok(key) => {
                self.key = Some(key);
                self.echoing().peer = self.dialing.peer();
            }
            Err(failure) => self.fail(failure),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        self.is_over = true;
    }

    /// Does what is due.
    fn act<N: Net>(&mut self, reactor: &mut Connections<N, Echoing>) {
        if self.is_over || !self.echoing().is_open {
            return;
        }
        if self.due.is_none() {
            self.began = reactor.net.now();
            self.due = Some(self.began);
        }
        self.send_if_due(reactor);
        let now = reactor.net.now();
        self.echoing()
            .find(|echoes, tell| echoes.give_up(now, tell));
        let all_is_back = self.echoing().echoes.waited_for() == 0;
        self.is_over |= self.left == Some(0) && all_is_back;
        if let Some(key) = self.key.filter(|_| all_is_back)
            && !self.echoing().echoes.has_room()
        {
            // All that may be under way has been given up, so no more will ever be sent.
            self.ended(reactor, key, CloseReason::Idle);
        }
        self.flush_output(reactor);
    }

    fn send_if_due<N: Net>(&mut self, reactor: &mut Connections<N, Echoing>) {
        let (Some(key), Some(due)) = (self.key, self.due) else {
            return;
        };
        let now = reactor.net.now();
        if now < due || self.left == Some(0) {
            return;
        }
        self.is_held_up = !self.may_send(reactor, key);
        if self.is_held_up {
            return;
        }
        let mut payload = std::mem::take(&mut self.payload);
        self.echoing().echoes.send(now, &mut payload);
        let ended = self
            .driver
            .write(reactor, key, |outbox| outbox.write(&payload));
        self.payload = payload;
        self.left = self.left.map(|left| left - 1);
        self.due = Some(next_due(due, now, self.interval));
        if let Some(reason) = ended {
            self.ended(reactor, key, reason);
        }
    }

    /// Whether the connection has taken all so far, and not too many are under way.
    fn may_send<N: Net>(&self, reactor: &mut Connections<N, Echoing>, key: Key) -> bool {
        let owes = reactor.find(key).is_none_or(|slot| slot.tenant.owes());
        !owes && self.driver.common.protocol.echoes.has_room()
    }

    fn ended<N: Net>(
        &mut self,
        reactor: &mut Connections<N, Echoing>,
        key: Key,
        reason: CloseReason,
    ) {
        let awaited = match reactor.find(key).map(|slot| slot.tenant.owed()) {
            Some(owed) if owed > 0 => Awaited::Room(owed),
            _ => Awaited::Reply,
        };
        self.key = None;
        let Some(closed) = self.driver.close(reactor, key, reason) else {
            return;
        };
        if !self.echoing().is_open {
            self.dialing.note_failed(closed);
            return self.dial(reactor);
        }
        if self.left == Some(0) && self.echoing().echoes.waited_for() == 0 {
            // All was done: that the server ends it is its right.
            self.is_over = true;
            return;
        }
        let end = End::of(&closed, self.dialing.peer());
        self.fail(match closed.reason {
            CloseReason::Stalled | CloseReason::Idle => Failure::Silent {
                end,
                awaited,
                timeout: self.driver.common.protocol.patience,
            },
            _ => Failure::Lost {
                end,
                error: closed.error,
            },
        });
    }

    /// Closes the connection, and puts the summary behind the lines.
    fn conclude<N: Net>(&mut self, reactor: &mut Connections<N, Echoing>) {
        let took = reactor.net.now().since(self.began);
        if let Some(key) = self.key.take() {
            self.driver.close(reactor, key, CloseReason::SessionDone);
        }
        let echoing = &mut self.driver.common.protocol;
        if !echoing.is_open || self.output_closed {
            return;
        }
        let (echoes, peer) = (&echoing.echoes, &echoing.peer);
        let mut text = match echoing.style {
            Style::Json => json_of(echoes, echoing.size, peer, took)
                .unwrap_or_else(|error| format!("cannot write JSON: {error}\n")),
            Style::Lines | Style::Summary => text_of(echoes, peer, took),
        };
        if echoing.lines_left_out > 0 && echoing.style == Style::Lines {
            let left_out = echoing.lines_left_out;
            let _ = writeln!(
                text,
                "{left_out} lines left out: standard output did not take them in time"
            );
        }
        echoing.output.push(text.as_bytes());
        self.flush_output(reactor);
    }

    fn flush_output<N: Net>(&mut self, reactor: &mut Connections<N, Echoing>) {
        let output = &mut self.driver.common.protocol.output;
        if let Err(error) = output.flush(&mut reactor.net) {
            *output = Output::default();
            self.is_over = true;
            self.output_closed = true;
            if error.kind() != ErrorKind::BrokenPipe {
                self.fail(Failure::Output(error));
            }
        }
    }
}

/// When the next echo is due after the one that was due at `due` and was sent at `now`: on schedule, but never at once for
/// one that was missed.
fn next_due(due: Time, now: Time, interval: Duration) -> Time {
    let behind = now.since(due).as_nanos();
    let missed = behind / interval.as_nanos().max(1);
    let steps = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
    due + interval.saturating_mul(steps)
}

impl<N: Net> Handler<N, Connection<Verifying>> for Crew {
    fn ready(&mut self, reactor: &mut Connections<N, Echoing>, key: Key, readiness: Readiness) {
        if let Some(reason) = self.driver.drive(reactor, key, readiness) {
            self.ended(reactor, key, reason);
        }
    }

    fn expired(&mut self, reactor: &mut Connections<N, Echoing>, key: Key) {
        // What has arrived comes first: events may still be queued in the kernel.
        if let Some(slot) = reactor.find(key) {
            let readiness = Classes::readiness_at_deadline(slot.class());
            self.ready(reactor, key, readiness);
        }
        if reactor.is_expired(key)
            && let Some(slot) = reactor.find(key)
        {
            let reason = slot.tenant.expire();
            self.ended(reactor, key, reason);
        }
    }

    fn source_ready(&mut self, reactor: &mut Connections<N, Echoing>, source: Source) {
        match source {
            Source::STDOUT => self.echoing().output.heed_event(),
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
        let echoes = &self.driver.common.protocol.echoes;
        let due = self
            .due
            .filter(|_| self.left != Some(0) && !self.is_held_up);
        due.into_iter().chain(echoes.next_given_up()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_kept_and_what_was_missed_is_left_out() {
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
