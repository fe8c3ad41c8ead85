//! The stages of a load: when each begins and ends, and what an iteration of it does.

use super::overload::SILENCE;
use super::session::EchoClient;
use super::tester::{Loop, Tester};
use super::warning::milliseconds;
use super::{Observer, Pace, Stage, Warning};
use crate::net::{Net, Time};
use crate::tls::MaybeTls;
use std::time::Duration;

/// The length of an interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// When messages are sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    /// When the first ones are due.
    warmup_at: Time,
    pub(super) pace: Option<Pace>,
    /// The next message of the pace to look at, and when it is due.
    pub(super) next: u64,
    pub(super) next_due: Time,
    interval_ends_at: Time,
    /// When draining ends, answered or not.
    pub(super) drained_by: Time,
    was_interrupted: bool,
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// When the current stage ends, if that is scheduled.
    pub(super) fn scheduled_end(&self) -> Option<Time> {
        match self.stage {
            Stage::Waiting => Some(self.schedule.warmup_at),
            Stage::Warmup => Some(self.tally.span.start),
            Stage::Measuring => Some(self.tally.span.end),
            _ => None,
        }
    }

    /// When the next iteration must begin even without an event.
    pub(super) fn next_wake(&self, now: Time) -> Option<Time> {
        let next = earlier(self.next_step(now), self.next_silence());
        earlier(next, self.userspace_wakes_at())
    }

    fn next_step(&self, now: Time) -> Option<Time> {
        let schedule = &self.schedule;
        match self.stage {
            // An event follows: a handshake completes, or its time is over.
            Stage::Connecting if self.waits_for_handshakes(now) => None,
            Stage::Connecting => self.connector.wake_at(),
            Stage::Waiting => {
                (!self.barrier.is_waiting()).then(|| next_second(now, schedule.warmup_at))
            }
            Stage::Warmup | Stage::Measuring => {
                let tick = match self.stage {
                    Stage::Warmup => next_second(now, self.tally.span.start),
                    _ => schedule.interval_ends_at.min(self.tally.span.end),
                };
                let can_send = schedule.pace.is_some() && !self.pipelines.is_full();
                let due = can_send.then_some(schedule.next_due);
                let retry = self.backing_off.front().map(|(retry_at, _)| *retry_at);
                earlier(earlier(Some(tick), due), retry)
            }
            Stage::Draining if !self.is_drained() => Some(schedule.drained_by),
            Stage::Probing => self.probing.wake_at(),
            Stage::Draining | Stage::Done => Some(Time::ZERO),
        }
    }

    fn waits_for_handshakes(&self, now: Time) -> bool {
        let is_done = self.connector.is_done(now);
        self.has_most_handshakes() || is_done && self.is_any_handshaking()
    }

    pub(super) fn step_connecting<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        let (connector, observer) = (&mut self.connector, &mut self.observer);
        if connector.plan(now, || observer.accept_queue()) {
            let timeout = milliseconds(self.config.connect_timeout);
            self.tally.remarks.push(Warning::NotAccepting(timeout));
        }
        let stalled = self.connector.stalled_for(now);
        if stalled >= SILENCE && !self.has_reported_stall {
            self.has_reported_stall = true;
            self.observer.on_accept_silence(stalled);
        }
        self.open_more(reactor, now);
        if !self.connector.is_done(now) || self.is_any_handshaking() || self.is_any_greeting() {
            return;
        }
        let not_probed = u64::from(self.config.idle.saturating_sub(self.config.probe));
        if !self.connector.knows_accepted() && not_probed > 0 {
            self.tally.remarks.push(Warning::AcceptUnknown(not_probed));
        }
        if self.held(reactor) == 0 {
            self.skip_measurement(reactor, now);
        } else if !self.wait_at_barrier() {
            self.schedule_stages(now);
        }
    }

    /// All connections are established or have failed: the times of warm-up and measured part are now known.
    fn schedule_stages(&mut self, now: Time) {
        let ready = now + self.config.warmup;
        let requested = self.config.start_in.map(|delay| self.origin + delay);
        let from = requested.map_or(ready, |requested| requested.max(ready));
        let late = requested.map_or(Duration::ZERO, |requested| from.since(requested));
        if !late.is_zero() {
            let late = milliseconds(late);
            self.tally.remarks.push(Warning::LateStart(late));
        }
        self.schedule_from(from);
    }

    /// The measured part begins at `from`.
    pub(super) fn schedule_from(&mut self, from: Time) {
        let before = from.since(Time::ZERO).saturating_sub(self.config.warmup);
        let warmup_at = Time::ZERO + before;
        let first_due = warmup_at + self.config.phase;
        self.tally.span = from..from + self.config.duration;
        let active = self.config.active;
        let rate = self.config.rate.filter(|_| active > 0);
        self.schedule = Schedule {
            warmup_at,
            pace: rate.map(|rate| Pace::new(first_due, rate, active)),
            next_due: first_due,
            interval_ends_at: from + INTERVAL,
            ..Schedule::default()
        };
        self.count_pipelines();
        self.stage = Stage::Waiting;
    }

    pub(super) fn step_waiting<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        if self.barrier.is_waiting() {
            self.pass_barrier(now);
        }
        let is_ready = self.stage == Stage::Waiting && !self.barrier.is_waiting();
        if !is_ready || now < self.schedule.warmup_at {
            return;
        }
        self.stage = Stage::Warmup;
        self.begin_measuring(now);
        if self.schedule.pace.is_none() {
            for lane in 0..self.config.active {
                self.fill_pipeline(reactor, lane, now);
            }
        }
    }

    /// Begins the measured part if the warm-up is over.
    fn begin_measuring(&mut self, now: Time) {
        if self.stage == Stage::Warmup && self.tally.span.start <= now {
            self.stage = Stage::Measuring;
            self.tally
                .begin_span(self.observer.quick_snapshot(), self.waits.waited);
        }
    }

    pub(super) fn step_sending<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        self.send_due(reactor);
        self.retry_lanes(reactor, now);
        self.begin_measuring(now);
        if self.stage != Stage::Measuring {
            return;
        }
        let end_of_span = self.tally.span.end;
        while self.schedule.interval_ends_at <= now.min(end_of_span) {
            let end = self.schedule.interval_ends_at;
            self.schedule.interval_ends_at = end + INTERVAL;
            self.end_interval(self.held(reactor), end);
        }
        if end_of_span <= now {
            self.end_measuring(reactor, now);
        }
    }

    fn end_interval(&mut self, held: usize, end: Time) {
        self.count_due_until(end);
        let interval = self.tally.end_interval(end, held);
        self.observer.on_interval(interval);
    }

    fn end_measuring<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        let held = self.held(reactor);
        let last_end = self.tally.intervals.last().map_or(0.0, |last| last.at);
        if self.tally.seconds() > last_end {
            self.end_interval(held, self.tally.span.end);
        }
        self.tally
            .end_span(self.observer.quick_snapshot(), self.waits.waited, held);
        self.stage = Stage::Draining;
        self.begin_draining(reactor, now);
    }

    /// A signal has arrived.
    pub(super) fn interrupt<N: Net>(&mut self, reactor: &mut Loop<N, C>) {
        let now = reactor.net.now();
        let stage = self.stage;
        let is_first = !self.schedule.was_interrupted;
        if is_first {
            self.tally.remarks.push(Warning::Interrupted(stage));
        }
        match stage {
            Stage::Measuring => {
                self.tally.span.end = now.min(self.tally.span.end);
                self.end_measuring(reactor, now);
            }
            Stage::Connecting | Stage::Waiting | Stage::Warmup => {
                self.skip_measurement(reactor, now);
            }
            Stage::Draining | Stage::Probing | Stage::Done => {
                self.give_up_replies(now, true);
                self.cancel_probing(now);
            }
        }
        if !is_first {
            self.give_up_replies(now, true);
            self.cancel_probing(now);
        }
        self.schedule.was_interrupted = true;
        self.wake_at = Some(Time::ZERO);
    }

    /// Goes on to probing without a measured part.
    fn skip_measurement<N: Net>(&mut self, reactor: &mut Loop<N, C>, now: Time) {
        self.tally.span = now..now;
        let snapshot = self.observer.snapshot();
        let held = self.held(reactor);
        self.tally.snapshots.from = snapshot;
        self.tally.end_span(snapshot, self.waits.waited, held);
        self.begin_probing(reactor);
    }
}

/// The earlier of two times, if there are any.
pub(super) fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// When the time left until `end` is a whole number of seconds next, for the observer to show it.
fn next_second(now: Time, end: Time) -> Time {
    let left = end.since(now).saturating_sub(Duration::from_nanos(1));
    end.before(Duration::from_secs(left.as_secs()))
}
