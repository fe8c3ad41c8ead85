//! The load: its stages, one after another, on one reactor.
//!
//! ```text
//! connecting -> waiting -> warm-up -> measuring -> draining -> probing -> done
//! ```
//!
//! A signal ends the measured part, or skips it if it has not begun; a second signal skips the remaining stages. The
//! result covers whatever was measured until then.

use super::connector::Connector;
use super::interval_writer::IntervalWriter;
use super::probing::Probing;
use super::session::{EchoClient, EchoSession};
use super::tally::Tally;
use super::waits::Waits;
use super::warning::milliseconds;
use super::{Config, Observer, Pace, Progress, Saved, Stage, SynTimers, WallTime, Warning};
use crate::connection::{CloseReason, Common, Connection, Driver, Limits, Owner, Timeouts};
use crate::echo::Pattern;
use crate::net::{Net, StandardStreams, Time};
use crate::reactor::{Reactor, SCRATCH_SIZE};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// How long replies are awaited after the measured part.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The length of an interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// The event loop of a load.
pub(super) type Loop<N> = Reactor<N, Connection<EchoSession>>;

/// A load on one reactor.
pub struct Load<N: Net, S> {
    reactor: Loop<N>,
    tester: Tester<S>,
}

/// The state of a load beside its event loop, and the loop's handler.
pub(super) struct Tester<S> {
    pub(super) config: Config,
    pub(super) pattern: Rc<Pattern>,
    pub(super) driver: Driver<EchoClient>,
    pub(super) observer: S,
    pub(super) tally: Tally,
    pub(super) interval_writer: IntervalWriter,
    pub(super) stage: Stage,
    pub(super) connector: Connector,
    pub(super) schedule: Schedule,
    pub(super) probing: Probing,
    /// Lanes of churn whose connect failed, and when each retries.
    pub(super) backing_off: VecDeque<(Time, u32)>,
    /// Connects of churn so far: selects the source address of the next.
    pub(super) reconnects: u64,
    /// Connects in a row that found no port.
    pub(super) connects_without_port: u64,
    pub(super) wake_at: Option<Time>,
    pub(super) waits: Waits,
    pub(super) syn_timers: SynTimers,
    pub(super) origin: Time,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    /// When the first ones are due.
    warmup_at: Time,
    pub(super) pace: Option<Pace>,
    /// The next message of the pace, and when it is due.
    pub(super) next: u64,
    pub(super) next_due: Time,
    interval_ends_at: Time,
    /// When draining ends, answered or not.
    drained_by: Time,
    was_interrupted: bool,
}

impl<N: StandardStreams, S: Observer> Load<N, S> {
    /// A load; its first iteration begins to connect.
    pub fn new(net: N, config: Config, observer: S) -> Self {
        let timeouts = Timeouts {
            connect: Some(config.connect_timeout),
            ..Timeouts::default()
        };
        let reactor = Reactor::new(net, timeouts.by_class(), config.spin);
        let tester = Tester::new(config, observer, reactor.now());
        Load { reactor, tester }
    }

    /// Writes this line to stdout before those of the intervals. Writing never blocks if the [`Net`] does not.
    pub fn write_first(&mut self, line: &str) {
        let writer = &mut self.tester.interval_writer;
        writer.queue.push(line.as_bytes());
    }

    /// The lines that stdout has not accepted yet, for the caller to write at the end, where it may block.
    pub fn take_unwritten(&mut self) -> Vec<u8> {
        self.tester.take_unwritten()
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The selector fails.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.is_done() {
            self.run_iteration()?;
        }
        Ok(())
    }

    /// Runs one iteration of the event loop.
    ///
    /// # Errors
    /// The selector fails.
    pub fn run_iteration(&mut self) -> io::Result<()> {
        self.tester.run_iteration(&mut self.reactor)?;
        self.tester.step(&mut self.reactor);
        Ok(())
    }

    /// Whether the load has ended.
    pub fn is_done(&self) -> bool {
        self.tester.stage == Stage::Done
    }

    /// The result, once the load has ended and with its connections still established; without the host and the command
    /// line. `begun` is the time of day at which the load was created.
    pub fn to_saved(&mut self, begun: WallTime) -> Saved {
        let tester = &mut self.tester;
        tester.count_syn_retransmits_of_connecting(&mut self.reactor);
        tester.tally.snapshots.after = tester.observer.snapshot();
        let now = self.reactor.net.now();
        tester
            .tally
            .to_saved(&tester.config, begun, tester.origin, now)
    }

    /// Closes all connections, which takes minutes for a million, and adds the server's memory after that to `saved`.
    pub fn close(mut self, saved: &mut Saved) {
        for index in 0..self.reactor.slots_end() {
            if let Some(key) = self.reactor.key_at(index) {
                let driver = &mut self.tester.driver;
                driver.close(&mut self.reactor, key, CloseReason::SessionDone);
            }
        }
        self.tester.observer.on_all_closed();
        let after = self.tester.observer.snapshot().server;
        if let (Some(server), Some(after)) = (&mut saved.result.server, after) {
            server.rss_after_bytes = after.rss_bytes;
        }
    }
}

impl<S: Observer> Tester<S> {
    fn new(config: Config, mut observer: S, now: Time) -> Tester<S> {
        let pattern = Rc::new(Pattern::new(config.size));
        let client = EchoClient::new(Rc::clone(&pattern), config.active, config.pipeline);
        let limits = Limits {
            // Pending output never stops reading: the server may send only to a client that reads.
            max_pending: usize::MAX / 2,
            budget: 4 * SCRATCH_SIZE,
        };
        let connections = config.connections();
        let mut tally = Tally::new(connections, config.size, config.rate.is_some());
        tally.snapshots.before = observer.snapshot();
        let timeout = config.connect_timeout;
        Tester {
            driver: Driver::new(Common::new(client, limits, usize::MAX)),
            tally,
            interval_writer: IntervalWriter::default(),
            stage: Stage::Connecting,
            connector: Connector::new(connections, config.window, config.ramp, timeout, now),
            schedule: Schedule::default(),
            probing: Probing::new(config.probe, timeout),
            backing_off: VecDeque::new(),
            reconnects: 0,
            connects_without_port: 0,
            wake_at: Some(now),
            waits: Waits::new(now),
            syn_timers: observer.syn_timers(),
            origin: now,
            config,
            pattern,
            observer,
        }
    }

    /// Called once per iteration, after its events.
    fn step<N: StandardStreams>(&mut self, reactor: &mut Loop<N>) {
        let now = reactor.net.now();
        match self.stage {
            Stage::Connecting => self.step_connecting(reactor, now),
            Stage::Waiting => self.step_waiting(reactor, now),
            Stage::Warmup | Stage::Measuring => self.step_sending(reactor, now),
            Stage::Draining => {
                if self.tally.outstanding == 0 || self.schedule.drained_by <= now {
                    self.begin_probing(reactor);
                }
            }
            Stage::Probing => self.step_probing(reactor, now),
            Stage::Done => {}
        }
        let stage = self.stage;
        let (done, total) = match stage {
            Stage::Probing => (self.probing.done, self.tally.probe.asked),
            _ => (self.tally.connections.opened, self.tally.connections.asked),
        };
        self.observer.on_progress(Progress { stage, done, total });
        self.write_intervals(reactor);
        self.wake_at = self.next_wake();
        self.waits
            .begin(reactor.now(), reactor.net.now(), self.wake_at);
    }

    /// When the next iteration must begin even without an event.
    fn next_wake(&self) -> Option<Time> {
        let schedule = &self.schedule;
        match self.stage {
            Stage::Connecting => self.connector.wake_at(),
            Stage::Waiting => Some(schedule.warmup_at),
            Stage::Warmup | Stage::Measuring => {
                let tick = match self.stage {
                    Stage::Warmup => self.tally.span.start,
                    _ => schedule.interval_ends_at.min(self.tally.span.end),
                };
                let due = schedule.pace.map(|_| schedule.next_due);
                let retry = self.backing_off.front().map(|(retry_at, _)| *retry_at);
                [Some(tick), due, retry].into_iter().flatten().min()
            }
            Stage::Draining if self.tally.outstanding > 0 => Some(schedule.drained_by),
            Stage::Probing => self.probing.wake_at(),
            Stage::Draining | Stage::Done => Some(Time::ZERO),
        }
    }

    fn step_connecting<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        self.open_more(reactor, now);
        if self.connector.abandon_proofs(now) {
            let timeout = milliseconds(self.config.connect_timeout);
            self.tally.remarks.push(Warning::NoProof(timeout));
        }
        if !self.connector.is_done() {
            return;
        }
        if reactor.is_empty() {
            self.skip_measurement(reactor, now);
        } else {
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
        let before = from.since(Time::ZERO).saturating_sub(self.config.warmup);
        let warmup_at = Time::ZERO + before;
        self.tally.span = from..from + self.config.duration;
        let active = self.config.active;
        let rate = self.config.rate.filter(|_| active > 0);
        self.schedule = Schedule {
            warmup_at,
            pace: rate.map(|rate| Pace::new(warmup_at, rate, active)),
            next_due: warmup_at,
            interval_ends_at: from + INTERVAL,
            ..Schedule::default()
        };
        self.stage = Stage::Waiting;
    }

    fn step_waiting<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        if now < self.schedule.warmup_at {
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
            self.tally.begin_span(self.observer.snapshot());
        }
    }

    fn step_sending<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
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
            self.end_interval(reactor.len(), end);
        }
        if end_of_span <= now {
            self.end_measuring(reactor.len(), now);
        }
    }

    fn end_interval(&mut self, held: usize, end: Time) {
        let interval = self.tally.end_interval(end, held);
        self.observer.on_interval(interval);
    }

    fn end_measuring(&mut self, held: usize, now: Time) {
        let last_end = self.tally.intervals.last().map_or(0.0, |last| last.at);
        if self.tally.seconds() > last_end {
            self.end_interval(held, self.tally.span.end);
        }
        self.tally.end_span(self.observer.snapshot(), held);
        self.schedule.drained_by = now + DRAIN_TIMEOUT;
        self.stage = Stage::Draining;
    }

    /// A signal has arrived.
    pub(super) fn interrupt<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let now = reactor.net.now();
        let stage = self.stage;
        let is_first = !self.schedule.was_interrupted;
        if is_first {
            self.tally.remarks.push(Warning::Interrupted(stage));
        }
        match stage {
            Stage::Measuring => {
                self.tally.span.end = now.min(self.tally.span.end);
                self.end_measuring(reactor.len(), now);
            }
            Stage::Connecting | Stage::Waiting | Stage::Warmup => {
                self.skip_measurement(reactor, now);
            }
            Stage::Draining | Stage::Probing | Stage::Done => self.cancel_probing(),
        }
        if !is_first {
            self.cancel_probing();
        }
        self.schedule.was_interrupted = true;
        self.wake_at = Some(Time::ZERO);
    }

    /// Goes on to probing without a measured part.
    fn skip_measurement<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        self.tally.span = now..now;
        let snapshot = self.observer.snapshot();
        self.tally.snapshots.from = snapshot;
        self.tally.end_span(snapshot, reactor.len());
        self.begin_probing(reactor);
    }
}
