//! The load itself: its stages, one after another, on one reactor.
//!
//! ```text
//! opening -> waiting -> warm-up -> measuring -> settling -> probing -> done
//! ```
//!
//! A signal takes it to settling, where nothing more is sent, or to the end if it is not that far; a second one skips
//! the rest. Whatever happens, what was reached is reported.

use super::config::Config;
use super::finding::Finding;
use super::interval_writer::IntervalWriter;
use super::opening::Opening;
use super::pace::Pace;
use super::probing::Probing;
use super::session::{EchoSession, Echoes};
use super::surroundings::{Progress, Readings, Stage, Surroundings};
use super::syn::SynTimers;
use super::tally::{Span, Tally};
use super::verdict;
use super::waits::Waits;
use super::wall::WallTime;
use crate::connection::{CloseReason, Common, Connection, Driver, Limits, Timeouts};
use crate::echo::Pattern;
use crate::net::{Net, Time};
use crate::reactor::{Reactor, SCRATCH_SIZE};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// For how long what is on its way at the end of the measured part is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// The length of an interval.
const SECOND: Duration = Duration::from_secs(1);

/// The loop of a load.
pub(super) type Loop<N> = Reactor<N, Connection<EchoSession>>;

/// A load on one reactor.
pub struct Load<N: Net, S> {
    reactor: Loop<N>,
    tester: Tester<S>,
}

/// All of a load but the loop, which calls it.
pub(super) struct Tester<S> {
    pub(super) config: Config,
    pub(super) pattern: Rc<Pattern>,
    pub(super) driver: Driver<Echoes>,
    pub(super) surroundings: S,
    pub(super) tally: Tally,
    pub(super) interval_writer: IntervalWriter,
    pub(super) stage: Stage,
    pub(super) opening: Opening,
    pub(super) schedule: Schedule,
    pub(super) probing: Probing,
    /// Places of churn whose connection failed, and when they try again.
    pub(super) resting: VecDeque<(Time, u32)>,
    /// Connects of churn, for the choice of their source.
    pub(super) connects: u64,
    /// Attempts in a row for which no port was found.
    pub(super) without_port: u64,
    /// What is to be said of the run beside its figures.
    pub(super) remarks: Vec<String>,
    wake_at: Option<Time>,
    pub(super) waits: Waits,
    pub(super) syn_timers: SynTimers,
    pub(super) origin: Time,
}

/// When messages go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    /// When the first ones go.
    warmup_at: Time,
    pub(super) pace: Option<Pace>,
    /// The next message of the pace, and when it is due.
    pub(super) next: u64,
    pub(super) next_due: Time,
    next_tick: Time,
    /// When what is on its way is given up.
    give_up_at: Time,
    /// When measuring really ended, if a signal ended it.
    interrupted: bool,
}

impl<N: Net, S: Surroundings> Load<N, S> {
    /// A load that begins with its first turn.
    pub fn new(net: N, config: Config, surroundings: S) -> Self {
        let timeouts = Timeouts {
            connect: Some(config.connect_timeout),
            ..Timeouts::default()
        };
        let reactor = Reactor::new(net, timeouts.by_class(), config.spin);
        let tester = Tester::new(config, surroundings, reactor.now());
        Load { reactor, tester }
    }

    /// Has this line written to standard output before those of the seconds. Nothing waits for standard output, if the
    /// [`Net`] takes it without waiting.
    pub fn begin_with(&mut self, line: &str) {
        self.tester.interval_writer.queue.push(line.as_bytes());
    }

    /// What standard output has not taken of that line and of those of the seconds; it is the caller's to write, who may
    /// wait for it when all is over.
    pub fn take_unwritten(&mut self) -> Vec<u8> {
        self.tester.take_unwritten()
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// What the selector says when the loop cannot go on.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.is_done() {
            self.turn()?;
        }
        Ok(())
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// What the selector says when the loop cannot go on.
    pub fn turn(&mut self) -> io::Result<()> {
        self.reactor.turn(&mut self.tester)?;
        self.tester.step(&mut self.reactor);
        Ok(())
    }

    /// Whether all is over.
    pub fn is_done(&self) -> bool {
        self.tester.stage == Stage::Done
    }

    /// What was found, once all is over; the connections still stand. `begun` is the time of day at which the load was
    /// made.
    pub fn finding(&mut self, begun: WallTime) -> Finding {
        let tester = &mut self.tester;
        tester.count_syn_retransmits_of_connecting(&mut self.reactor);
        tester.tally.readings.after = tester.surroundings.readings();
        tester.finding(begun, self.reactor.net.now())
    }

    /// Closes all connections, which takes its time where they are very many. Gives back what the machine says then; see
    /// [`Finding::closed`].
    pub fn close(mut self) -> Readings {
        self.close_all();
        let surroundings = &mut self.tester.surroundings;
        surroundings.closed();
        surroundings.readings()
    }

    fn close_all(&mut self) {
        for index in 0..self.reactor.slots_end() {
            if let Some(key) = self.reactor.key_at(index) {
                let driver = &mut self.tester.driver;
                driver.close(&mut self.reactor, key, CloseReason::SessionDone);
            }
        }
    }
}

impl<S: Surroundings> Tester<S> {
    fn new(config: Config, mut surroundings: S, now: Time) -> Tester<S> {
        let pattern = Rc::new(Pattern::new(config.size));
        let echoes = Echoes::new(Rc::clone(&pattern), config.active, config.pipeline);
        let limits = Limits {
            // A client that owes goes on reading: the server may be waiting for just that.
            max_pending: usize::MAX / 2,
            budget: 4 * SCRATCH_SIZE,
        };
        let connections = config.connections();
        let mut tally = Tally::new(connections, config.size, config.rate.is_some());
        tally.readings.before = surroundings.readings();
        Tester {
            driver: Driver::new(Common::new(echoes, limits, usize::MAX)),
            tally,
            interval_writer: IntervalWriter::default(),
            stage: Stage::Opening,
            opening: Opening::new(
                connections,
                config.window,
                config.ramp,
                config.connect_timeout,
                now,
            ),
            schedule: Schedule::default(),
            probing: Probing::new(config.probe, config.connect_timeout),
            resting: VecDeque::new(),
            connects: 0,
            without_port: 0,
            remarks: Vec::new(),
            wake_at: Some(now),
            waits: Waits::new(now),
            syn_timers: surroundings.syn_timers(),
            origin: now,
            config,
            pattern,
            surroundings,
        }
    }

    /// What is to be done beside answering to events, once a turn.
    pub(super) fn step<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let now = reactor.net.now();
        match self.stage {
            Stage::Opening => self.step_opening(reactor, now),
            Stage::Waiting => self.step_waiting(reactor, now),
            Stage::Warmup | Stage::Measuring => self.step_echoing(reactor, now),
            Stage::Settling => {
                if self.tally.outstanding == 0 || self.schedule.give_up_at <= now {
                    self.begin_probing(reactor);
                }
            }
            Stage::Probing => self.step_probing(reactor, now),
            Stage::Done => {}
        }
        let (done, of) = match self.stage {
            Stage::Probing => (self.probing.done(), self.tally.probe.asked),
            _ => (self.tally.opened, self.tally.asked),
        };
        let stage = self.stage;
        self.surroundings.progress(Progress { stage, done, of });
        self.write_intervals(reactor);
        self.wake_at = self.next_wake();
        self.waits
            .begin(reactor.now(), reactor.net.now(), self.wake_at);
    }

    /// When there is something to do even if nothing happens.
    fn next_wake(&self) -> Option<Time> {
        let schedule = &self.schedule;
        match self.stage {
            Stage::Opening => self.opening.wake_at(),
            Stage::Waiting => Some(schedule.warmup_at),
            Stage::Warmup | Stage::Measuring => {
                let tick = match self.stage {
                    Stage::Warmup => self.tally.span.from,
                    _ => schedule.next_tick.min(self.tally.span.to),
                };
                let due = schedule.pace.map(|_| schedule.next_due);
                let rested = self.resting.front().map(|(until, _)| *until);
                [Some(tick), due, rested].into_iter().flatten().min()
            }
            Stage::Settling if self.tally.outstanding > 0 => Some(schedule.give_up_at),
            Stage::Probing => self.probing.wake_at(),
            Stage::Settling | Stage::Done => Some(Time::ZERO),
        }
    }

    /// When the loop is to give it a turn.
    pub(super) fn wakes_at(&self) -> Option<Time> {
        self.wake_at
    }

    fn step_opening<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        self.open_more(reactor, now);
        if self.opening.goes_blind(now) {
            self.remarks
                .push(verdict::no_proof(self.config.connect_timeout));
        }
        if !self.opening.is_over() {
            return;
        }
        if reactor.is_empty() {
            // There is nothing to measure, and nothing to wait for.
            self.measure_nothing(reactor, now);
        } else {
            self.set_times(now);
        }
    }

    /// Everything stands that is going to: from here on it is known when what happens.
    fn set_times(&mut self, now: Time) {
        let ready = now + self.config.warmup;
        let wished = self.config.start_in.map(|delay| self.origin + delay);
        if let Some(late) = wished
            .map(|wished| ready.since(wished))
            .filter(|late| !late.is_zero())
        {
            self.remarks.push(verdict::late_start(late));
        }
        let from = wished.map_or(ready, |wished| wished.max(ready));
        let to = from + self.config.duration;
        let before = from.since(Time::ZERO).saturating_sub(self.config.warmup);
        let warmup_at = Time::ZERO + before;
        self.tally.span = Span { from, to };
        let active = self.config.active;
        let rate = self.config.rate.filter(|_| active > 0);
        let pace = rate.map(|rate| Pace::new(warmup_at, rate, active));
        self.schedule = Schedule {
            warmup_at,
            pace,
            next_due: warmup_at,
            next_tick: from + SECOND,
            ..Schedule::default()
        };
        self.stage = Stage::Waiting;
    }

    fn step_waiting<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        if now < self.schedule.warmup_at {
            return;
        }
        self.stage = Stage::Warmup;
        if self.tally.span.from <= now {
            self.begin_measuring();
        }
        if self.schedule.pace.is_none() {
            for place in 0..self.config.active {
                self.pump(reactor, place, now);
            }
        }
    }

    fn begin_measuring(&mut self) {
        self.stage = Stage::Measuring;
        self.tally.begin();
        self.tally.readings.from = self.surroundings.readings();
    }

    fn step_echoing<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        self.send_due(reactor);
        self.wake_the_rested(reactor, now);
        if self.stage == Stage::Warmup && self.tally.span.from <= now {
            self.begin_measuring();
        }
        if self.stage != Stage::Measuring {
            return;
        }
        let span = self.tally.span;
        while self.schedule.next_tick <= now.min(span.to) {
            let tick = self.schedule.next_tick;
            self.schedule.next_tick = tick + SECOND;
            self.end_second(reactor.len(), tick);
        }
        if span.to <= now {
            self.end_measuring(reactor.len(), now);
        }
    }

    fn end_second(&mut self, held: usize, tick: Time) {
        let interval = self.tally.end_second(tick, held as u64);
        self.surroundings.interval(interval);
    }

    /// The measured part is over; what is on its way may still come.
    fn end_measuring(&mut self, held: usize, now: Time) {
        let to = self.tally.span.to;
        let last_tick = self.tally.intervals.last().map_or(0.0, |last| last.at);
        if self.tally.span.seconds() > last_tick {
            self.end_second(held, to);
        }
        self.tally.readings.to = self.surroundings.readings();
        self.tally.readings.held = held as u64;
        self.schedule.give_up_at = now + GRACE;
        self.stage = Stage::Settling;
    }

    /// Somebody wants it to end.
    pub(super) fn interrupt<N: Net>(&mut self, reactor: &mut Loop<N>) {
        let now = reactor.net.now();
        if !self.schedule.interrupted {
            self.remarks.push(verdict::interrupted(self.stage));
        }
        match self.stage {
            Stage::Measuring => {
                self.tally.span.to = now.min(self.tally.span.to);
                self.end_measuring(reactor.len(), now);
            }
            Stage::Opening | Stage::Waiting | Stage::Warmup => self.measure_nothing(reactor, now),
            Stage::Settling | Stage::Probing | Stage::Done => self.cut_probing_short(),
        }
        if self.schedule.interrupted {
            self.cut_probing_short();
        }
        self.schedule.interrupted = true;
        self.wake_at = Some(Time::ZERO);
    }

    /// There is no measured part: it goes on with what comes after.
    fn measure_nothing<N: Net>(&mut self, reactor: &mut Loop<N>, now: Time) {
        self.tally.span = Span { from: now, to: now };
        self.tally.readings.from = self.surroundings.readings();
        self.tally.readings.to = self.tally.readings.from;
        self.tally.readings.held = reactor.len() as u64;
        self.begin_probing(reactor);
    }
}
