//! One run of a server with a protocol other than raw echo, determined by a seed.
//!
//! `run` checks what does not depend on the protocol: timeouts, limits, counters. This module checks that each peer
//! receives its replies, that records are written completely, and that incomplete messages block no connection forever.

use crate::client_script::{ClientScript, LONG_PREFIX, PREFIX, ProtocolConfig, record_ids};
use crate::faults::Faults;
use crate::flood;
use crate::memory_attack::{MAX_MESSAGE, MemoryAttack};
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::peer::{Closing, Outcome, Peer, Plan, Reading};
use crate::process_pause::maybe_pause_server;
use crate::rng::Rng;
use crate::run::{Report, least_timeout};
use crate::selector::SERVER;
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use crate::sim_stdout::SimStdout;
use crate::stdio::WithStdio;
use echoloop::connection::CloseReason;
use echoloop::net::{ListenOptions, StandardStreams};
use echoloop::protocol::{Collect, Discard, Frame, Line, Protocol, Width};
use echoloop::server::{Config, Exit, Server};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// The iterations after which a run counts as endless.
const MAX_ITERATIONS: u64 = 2_000_000;

/// The time without faults in which every peer must be served, beside the time the peers themselves need.
const FAULT_FREE_TIME: u64 = 900_000 * MILLISECOND;

/// The result of a run: closed connections by reason, and records written.
#[derive(Clone, Copy, Debug)]
pub struct ProtocolReport {
    pub report: Report,
    pub without_memory: u64,
    pub too_long: u64,
    pub records: u64,
}

/// Runs a seed; panics if a check fails.
pub fn run(seed: u64) -> ProtocolReport {
    let mut rng = Rng::new(seed ^ 0x5EEC);
    if rng.chance(500) {
        run_in::<true>(rng)
    } else {
        run_in::<false>(rng)
    }
}

fn run_in<const DRAINS: bool>(mut rng: Rng) -> ProtocolReport {
    let is_attack = rng.chance(80);
    let max_message = if is_attack {
        MAX_MESSAGE
    } else {
        16 + usize::try_from(rng.magnitude(60_000)).unwrap()
    };
    let (width, bytes) = rng.one_of(&[(Width::One, 1), (Width::Two, 2), (Width::Four, 4)]);
    match rng.between(0, if is_attack { 6 } else { 9 }) {
        0..=3 => {
            // A separate generator: the other draws of the seed do not depend on it.
            let has_long_prefix = Rng::new(rng.clone().next() ^ 0x9E4F).chance(300);
            let prefix = if has_long_prefix && !is_attack {
                LONG_PREFIX
            } else {
                PREFIX
            };
            let protocol_config = ProtocolConfig::Line {
                max_message,
                prefix,
            };
            let line = Line::echo(max_message, prefix);
            ProtocolRun::<DRAINS, _>::new(rng, line, protocol_config, max_message).run()
        }
        4..=6 => {
            let protocol_config = ProtocolConfig::Frame {
                width: bytes,
                max_message,
            };
            let frame = Frame::echo(width, max_message);
            ProtocolRun::<DRAINS, _>::new(rng, frame, protocol_config, max_message).run()
        }
        7 => ProtocolRun::<DRAINS, _>::new(rng, Discard, ProtocolConfig::Discard, 0).run(),
        _ => {
            let protocol_config = ProtocolConfig::Collect { max_message };
            let collect = Collect::new(max_message);
            ProtocolRun::<DRAINS, _>::new(rng, collect, protocol_config, max_message).run()
        }
    }
}

struct ProtocolRun<const DRAINS: bool, P: Protocol> {
    network: SharedNetwork,
    server: Server<WithStdio<DRAINS>, P>,
    pipe: Rc<RefCell<SimStdout>>,
    peers: Vec<Peer>,
    protocol_config: ProtocolConfig,
    config: Config,
    max_message: usize,
    iterations: u64,
    exit: Option<Exit>,
    faults_end_at: u64,
    drains_early: bool,
    attack: Option<MemoryAttack>,
}

fn draw_config(rng: &mut Rng, max_message: usize) -> Config {
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 30_000));
    let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap().max(1);
    Config {
        max_connections: size(rng, 60).max(10),
        max_pending: size(rng, 100_000).max(64),
        max_buffered: if rng.chance(600) {
            // From less memory than one message needs to enough for several.
            4_000 + size(rng, 8 * max_message as u64 + 40_000)
        } else {
            1 << 40
        },
        idle_timeout: rng.chance(300).then(|| time(rng)),
        stall_timeout: Some(time(rng)),
        drain_timeout: time(rng),
        budget: size(rng, 200_000).max(64),
        accepts_per_iteration: size(rng, 20),
        ..Config::default()
    }
}

impl<const DRAINS: bool, P: Protocol> ProtocolRun<DRAINS, P> {
    fn new(mut rng: Rng, protocol: P, protocol_config: ProtocolConfig, max_message: usize) -> Self {
        let mut config = draw_config(&mut rng, max_message);
        let has_long_replies =
            matches!(protocol_config, ProtocolConfig::Line { prefix, .. } if prefix == LONG_PREFIX);
        if has_long_replies {
            // With less memory than a reply, one slow reader could hold all of it for very long.
            config.max_buffered = 1 << 40;
        }
        let mut faults = Faults::draw(&mut rng);
        let mut window = usize::try_from(rng.magnitude(200_000)).unwrap().max(64);
        if has_long_replies {
            window = window.max(20_000);
        }
        let step = window.min(config.max_pending).min(config.budget) as u64;
        let mut kernel = Kernel::draw(&rng, step as usize, &mut faults);
        let peers = (0..rng.between(1, 25)).map(|id| {
            let mut plan = Plan::draw(&mut rng, step);
            if matches!(protocol_config, ProtocolConfig::Collect { .. }) && rng.chance(800) {
                // It sends a complete record.
                plan.closing = Closing::HalfClose;
                plan.reading = Reading::Prompt;
            }
            let script = ClientScript::draw(&mut rng, protocol_config, id, plan.total);
            plan.set_total(script.length());
            Peer::with_script(id, plan, script)
        });
        let mut peers: Vec<Peer> = peers.collect();
        let mut attack = None;
        if max_message == MAX_MESSAGE {
            // Only the attackers may delay well-behaved clients.
            faults = Faults::default();
            window = 1_000 + rng.index(20_000);
            kernel.send_buffer = kernel.send_buffer.min(30_000);
            let drawn = MemoryAttack::draw(&mut rng, protocol_config, window);
            attack = Some(drawn.0);
            (config, peers) = (drawn.1, drawn.2);
        } else {
            let network = (&mut window, &mut kernel);
            flood::maybe_draw(&rng, protocol_config, &mut config, network, &mut peers);
        }
        // Large records pass through a small pipe in at most about a hundred steps.
        let pipe_capacity = 1 + max_message / 100 + rng.index(1 + max_message);
        let pipe = SimStdout::new(pipe_capacity, rng.magnitude(500) * MILLISECOND);
        let pipe = Rc::new(RefCell::new(pipe));
        let faults_end_at = rng.magnitude(60_000) * MILLISECOND;
        let drains_early = rng.chance(300);
        let mut network = Network::new(rng, faults, !DRAINS);
        network.window = window;
        network.kernel = kernel;
        network.budget = config.budget;
        network.least_timeout = least_timeout(&config, None);
        network.fin_is_receipt = matches!(protocol_config, ProtocolConfig::Collect { .. });
        let network = Rc::new(RefCell::new(network));
        let net = SimNet {
            network: network.clone(),
            host: SERVER,
        };
        let pipe_end = pipe.clone();
        let net = WithStdio {
            net,
            stdin: None,
            stdout: pipe_end,
        };
        let mut server = Server::new(net, protocol, config);
        server.set_record_sink(|net, bytes| net.write_stdout(bytes));
        server.listen(&ListenOptions::new(address(1))).unwrap();
        ProtocolRun {
            network,
            server,
            pipe,
            peers,
            protocol_config,
            config,
            max_message,
            iterations: 0,
            exit: None,
            faults_end_at,
            drains_early,
            attack,
        }
    }

    fn run(mut self) -> ProtocolReport {
        while self.now() < self.faults_end_at && !self.are_peers_done() {
            self.step();
        }
        if !self.drains_early {
            self.run_without_faults();
        }
        let drain_timeout = self.config.drain_timeout.as_nanos();
        let drain_timeout = u64::try_from(drain_timeout).unwrap();
        self.network.borrow_mut().stop(drain_timeout);
        while self.exit.is_none() {
            self.step();
        }
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!(self.server.live(), 0);
        assert_eq!(self.server.buffered(), 0, "memory leak");
        let records = self.check_records();
        let counters = self.server.counters();
        let network = self.network.borrow();
        ProtocolReport {
            report: Report {
                digest: network.digest(),
                nanoseconds: network.now,
                iterations: self.iterations,
                tally: network.tally,
            },
            without_memory: counters.closed_for(CloseReason::NoMemory),
            too_long: counters.closed_for(CloseReason::TooLong),
            records,
        }
    }

    fn now(&self) -> u64 {
        self.network.borrow().now
    }

    /// Ends the faults and runs until every peer is served; fails if that takes too long.
    fn run_without_faults(&mut self) {
        self.network.borrow_mut().faults = Faults::default();
        let slowest = self.peers.iter().map(Peer::max_duration).max();
        let until = self.now() + FAULT_FREE_TIME + slowest.unwrap_or(0);
        while self.now() < until && !self.are_peers_done() {
            self.step();
        }
        for peer in &self.peers {
            let served = peer.outcome.is_some() || !peer.will_finish();
            assert!(served, "not served: {peer:?}");
            let stays_open = peer.outcome.is_none() && peer.plan.reading != Reading::Never;
            assert!(
                !stays_open || peer.received_all(),
                "missing replies: {peer:?}"
            );
        }
    }

    fn are_peers_done(&self) -> bool {
        self.peers.iter().all(|peer| {
            let waits = peer.plan.reading != Reading::Never && !peer.received_all();
            peer.outcome.is_some() || !(peer.will_finish() || waits)
        })
    }

    /// Runs the server until it sleeps, then advances the clock.
    fn step(&mut self) {
        while self.exit.is_none() && self.is_awake() {
            self.run_server_iteration();
        }
        if self.exit.is_none() {
            self.advance();
        }
    }

    fn is_awake(&self) -> bool {
        let network = self.network.borrow();
        let asleep = network.hosts[SERVER].asleep_until;
        asleep.is_none_or(|until| until <= network.now)
            || network.is_anything_ready(SERVER)
            || self.pipe.borrow().is_pending()
    }

    fn run_server_iteration(&mut self) {
        self.iterations += 1;
        assert!(self.iterations < MAX_ITERATIONS, "the server never sleeps");
        let refused = {
            let mut network = self.network.borrow_mut();
            network.hosts[SERVER].asleep_until = None;
            network.begin_iteration();
            let chance = network.faults.buffer_alloc_fails;
            network.fault(chance)
        };
        self.server.pool().refuse(refused);
        self.exit = self.server.run_iteration().unwrap();
        self.network.borrow().check_iteration_limits(&self.config);
        let is_scarce = self.server.pool().is_scarce();
        let held = self.server.buffered();
        if let Some(attack) = &mut self.attack {
            attack.check_evicted(&self.network.borrow(), held, is_scarce);
        }
        let counters = self.server.counters();
        let live = self.server.live();
        assert_eq!(counters.opened, counters.closed_in_all() + live as u64);
        // One connection may exceed the limit by a read, and its buffer may be twice as large as its content; each
        // connection with any buffered byte holds a minimum of memory.
        let slack = 4 * (self.max_message + self.config.max_pending + 65_536) + 4096 * live;
        let bound = self.config.max_buffered.saturating_add(slack);
        let buffered = self.server.buffered();
        let counted = self.server.count_buffered();
        assert_eq!(buffered, counted, "buffered total and sum");
        assert!(
            buffered <= bound,
            "{buffered} bytes buffered, limit {bound}"
        );
    }

    /// Advances the clock to the next event: a peer is due, the pipe is read, or the server wakes up.
    fn advance(&mut self) {
        self.iterations += 1;
        assert!(self.iterations < MAX_ITERATIONS, "the run does not end");
        let mut network = self.network.borrow_mut();
        let mut pipe = self.pipe.borrow_mut();
        let peers = self.peers.iter().filter(|peer| peer.outcome.is_none());
        let next = peers.map(|peer| peer.wakes_at).min().unwrap_or(u64::MAX);
        let sleep = network.hosts[SERVER].asleep_until.unwrap_or(network.now);
        let next = next
            .min(sleep)
            .min(pipe.next_read_at)
            .min(network.now + 10_000 * MILLISECOND);
        if !network.is_anything_ready(SERVER) && !pipe.is_pending() {
            network.now = next.max(network.now);
        }
        maybe_pause_server(&mut network, &mut self.peers);
        if pipe.next_read_at <= network.now {
            pipe.drain(&mut network);
        }
        for peer in &mut self.peers {
            if peer.outcome.is_none() && peer.wakes_at <= network.now {
                peer.poll(&mut network);
            }
        }
        if let Some(attack) = self.attack.as_mut().filter(|_| !network.stopping) {
            let window = network.window;
            attack.step(&mut network, &mut self.peers, window);
        }
    }

    /// The output consists of complete records, each written once, and only of clients that sent theirs completely.
    fn check_records(&self) -> u64 {
        let pipe = self.pipe.borrow();
        if !matches!(self.protocol_config, ProtocolConfig::Collect { .. }) {
            assert!(pipe.written.is_empty(), "output without a record");
            return 0;
        }
        let ids = record_ids(&pipe.written);
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len(), "a record was written twice");
        let lengths = ids.iter().map(|id| self.peer(*id).plan.total);
        let complete: u64 = lengths.sum();
        let counters = self.server.counters();
        let is_truncated = complete < pipe.written.len() as u64;
        let expired = counters.closed_for(CloseReason::DrainExpired) > 0;
        assert!(
            !is_truncated || expired,
            "a record was truncated before the drain timeout"
        );
        for peer in &self.peers {
            let is_written = distinct.contains(&peer.id);
            let is_complete =
                peer.sent == peer.plan.total && !matches!(peer.plan.closing, Closing::Reset(_));
            assert!(
                !is_written || is_complete,
                "an incomplete record was written: {peer:?}"
            );
            // The FIN of the server confirms that the record is written.
            let is_confirmed = peer.outcome == Some(Outcome::Fin);
            assert!(
                !is_confirmed || is_written,
                "confirmed, but not written: {peer:?}"
            );
        }
        ids.len() as u64
    }

    fn peer(&self, id: u64) -> &Peer {
        &self.peers[usize::try_from(id).unwrap()]
    }
}
