//! The load: its stages, one after another, on one reactor.
//!
//! ```text
//! connecting -> waiting -> warm-up -> measuring -> draining -> probing -> done
//! ```
//!
//! A signal ends the measured part, or skips it if it has not begun; a second signal skips the remaining stages. The
//! result covers whatever was measured until then.

use super::barrier::Barrier;
use super::connector::Connector;
use super::interval_writer::IntervalWriter;
use super::overload::{Pipelines, SilenceWatch};
use super::probing::Probing;
use super::scripted::Scripted;
use super::session::EchoClient;
use super::stages::{Schedule, earlier};
use super::tally::Tally;
use super::userspace::Userspace;
use super::waits::Waits;
use super::{Config, Observer, Progress, Saved, Script, Stage, SynTimers, WallTime};
use crate::connection::{CloseReason, Common, Connections, Driver, Limits, Owner, Timeouts};
use crate::echo::Pattern;
use crate::net::{Ending, Net, Time};
use crate::reactor::{Reactor, SCRATCH_SIZE};
use crate::tls::{ClientSettings, MaybeTls, Settings, Tls};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// The event loop of a load.
pub(super) type Loop<N, C> = Connections<N, C>;

/// A load on one reactor. `C` is the protocol of its connections: alone, or over TLS.
pub struct Load<N: Net, S, C: MaybeTls<EchoClient> = EchoClient> {
    pub(super) reactor: Loop<N, C>,
    pub(super) tester: Tester<C, S>,
}

/// A load over TLS.
pub type TlsLoad<N, S> = Load<N, S, Tls<EchoClient>>;

/// The state of a load beside its event loop, and the loop's handler.
pub(super) struct Tester<C, S> {
    pub(super) config: Config,
    pub(super) pattern: Rc<Pattern>,
    pub(super) driver: Driver<C>,
    pub(super) observer: S,
    pub(super) tally: Tally,
    pub(super) interval_writer: IntervalWriter,
    /// Where the lines of the intervals go.
    pub(super) stdout: Box<dyn Write>,
    /// Where the start time comes from, if the load waits for one.
    pub(super) stdin: Box<dyn Read>,
    pub(super) stage: Stage,
    pub(super) connector: Connector,
    pub(super) barrier: Barrier,
    pub(super) schedule: Schedule,
    pub(super) pipelines: Pipelines,
    pub(super) silence: SilenceWatch,
    /// Whether it was reported that the server accepts no connection.
    pub(super) has_reported_stall: bool,
    pub(super) probing: Probing,
    pub(super) scripted: Scripted,
    /// The idle connections, if they are in user space.
    pub(super) userspace: Option<Box<Userspace>>,
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

impl<N: Net, S: Observer> Load<N, S> {
    /// A load; its first iteration begins to connect.
    #[inline(never)]
    pub fn new(net: N, config: Config, observer: S) -> Self {
        Load::with(net, config, observer, |client| client)
    }
}

impl<N: Net, S: Observer> TlsLoad<N, S> {
    /// A load over TLS; all its connections share the sessions to resume.
    pub fn over_tls(net: N, config: Config, settings: ClientSettings, observer: S) -> Self {
        let mut load = Load::with(net, config, observer, |client| {
            let mut tls = Tls::new(client, Settings::Client(settings), usize::MAX);
            tls.report_completed();
            tls
        });
        load.tester.tally.handshakes = Some(Box::default());
        load
    }
}

impl<N: Net, S: Observer, C: MaybeTls<EchoClient>> Load<N, S, C> {
    fn with(net: N, config: Config, observer: S, wrap: impl FnOnce(EchoClient) -> C) -> Self {
        let timeouts = Timeouts {
            connect: Some(config.connect_timeout),
            handshake: Some(config.connect_timeout),
            ..Timeouts::default()
        };
        let reactor = Reactor::new(net, timeouts.by_class(), config.spin);
        let pattern = Rc::new(Pattern::new(config.size));
        let client = wrap(EchoClient::new(Rc::clone(&pattern), &config));
        let tester = Tester::new(client, pattern, config, observer, reactor.now());
        Load { reactor, tester }
    }

    /// The network of its event loop.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.reactor.net
    }

    /// Writes this line to `stdout`, and then those of the intervals. Writes to `stdout` must not block.
    pub fn write_lines(&mut self, stdout: impl Write + 'static, first: &str) {
        self.tester.stdout = Box::new(stdout);
        let writer = &mut self.tester.interval_writer;
        writer.queue.push(first.as_bytes());
    }

    /// Reads the start time from `stdin` once all connections are established. Reads must not block.
    pub fn start_from(&mut self, stdin: impl Read + 'static) {
        self.tester.stdin = Box::new(stdin);
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
        tester.remark_on_replies();
        if let Some(userspace) = &tester.userspace {
            let (figures, retransmitted) = userspace.figures();
            tester.tally.userspace_tcp = Some(figures);
            tester.tally.retransmitted += retransmitted;
        }
        let now = self.reactor.net.now();
        tester
            .tally
            .to_saved(&tester.config, begun, tester.origin, now)
    }

    /// Closes all connections and waits as the observer does. Those without a message in flight are reset, so that their
    /// ports do not remain in `TIME_WAIT`; on the others a server may be writing its reply, and they get FIN.
    pub fn reset(mut self) {
        for index in 0..self.reactor.slots_end() {
            let key = self.reactor.key_at(index);
            let Some((key, slot)) = key.and_then(|key| Some((key, self.reactor.find(key)?))) else {
                continue;
            };
            let lane = self.tester.lane(slot.tenant.tag());
            let ending = match lane {
                Some(lane) if !lane.in_flight.is_empty() => Ending::Fin,
                _ => Ending::Reset,
            };
            let (driver, reason) = (&mut self.tester.driver, CloseReason::SessionDone);
            driver.close_with(&mut self.reactor, key, reason, ending);
        }
        self.tester.reset_userspace();
        self.tester.observer.on_all_closed();
    }

    /// Closes all connections, which takes minutes for a million, and adds the server's memory after that to `saved`.
    pub fn close(mut self, saved: &mut Saved) {
        for index in 0..self.reactor.slots_end() {
            if let Some(key) = self.reactor.key_at(index) {
                let driver = &mut self.tester.driver;
                driver.close(&mut self.reactor, key, CloseReason::SessionDone);
            }
        }
        self.tester.reset_userspace();
        self.tester.observer.on_all_closed();
        let after = self.tester.observer.snapshot().server;
        if let (Some(server), Some(after)) = (&mut saved.result.server, after) {
            server.set_after(&after);
        }
    }
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    fn new(
        client: C,
        pattern: Rc<Pattern>,
        config: Config,
        mut observer: S,
        now: Time,
    ) -> Tester<C, S> {
        let limits = Limits {
            // Pending output never stops reading: the server may send only to a client that reads.
            max_pending: usize::MAX / 2,
            budget: 4 * SCRATCH_SIZE,
        };
        let connections = config.connections();
        let script = config.script.as_deref();
        let size = script.map_or(config.size, Script::message_size);
        let has_message = script.is_none_or(Script::has_message);
        let probe = if has_message { config.probe } else { 0 };
        let keepalive = script.and_then(Script::keepalive_interval);
        let mut tally = Tally::new(connections, size, config.rate.is_some());
        tally.snapshots.before = observer.snapshot();
        let timeout = config.connect_timeout;
        Tester {
            driver: Driver::new(Common::new(client, limits, usize::MAX)),
            tally,
            interval_writer: IntervalWriter::default(),
            stdout: Box::new(io::sink()),
            stdin: Box::new(io::empty()),
            stage: Stage::Connecting,
            connector: Connector::new(connections, config.window, config.ramp, timeout, now),
            barrier: Barrier::default(),
            schedule: Schedule::default(),
            pipelines: Pipelines::default(),
            silence: SilenceWatch::new(now),
            has_reported_stall: false,
            probing: Probing::new(probe, timeout),
            scripted: Scripted::new(keepalive, connections, now),
            userspace: None,
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
    fn step<N: Net>(&mut self, reactor: &mut Loop<N, C>) {
        self.step_userspace(reactor);
        let now = reactor.net.now();
        if self.config.script.is_some() {
            self.step_conversations(reactor, now);
        }
        match self.stage {
            Stage::Connecting => self.step_connecting(reactor, now),
            Stage::Waiting => self.step_waiting(reactor, now),
            Stage::Warmup | Stage::Measuring => self.step_sending(reactor, now),
            Stage::Draining => {
                if self.is_drained() || self.schedule.drained_by <= now {
                    self.give_up_replies(now, false);
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
        let left = self.scheduled_end().map(|end| end.since(now));
        self.observer.on_progress(Progress {
            stage,
            done,
            total,
            left,
        });
        self.watch_silence(now);
        self.write_intervals();
        self.wake_at = self.next_wake(now);
        if self.config.script.is_some() {
            self.wake_at = earlier(self.wake_at, self.conversations_wake_at());
        }
        self.waits
            .begin(reactor.now(), reactor.net.now(), self.wake_at);
    }
}
