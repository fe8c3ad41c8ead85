//! One run of a server with a protocol other than raw echo, determined by a seed.
//!
//! `run` checks what does not depend on the protocol: timeouts, limits, counters. This module checks that each peer
//! receives its replies, that records are written completely, and that incomplete messages block no connection forever.

mod drawing;
mod records;
mod upgrading;

use crate::buffered::count_buffered;
use crate::client_script::{CLOCK_TIME, LONG_PREFIX, PREFIX, ProtocolConfig};
use crate::faults::Faults;
use crate::memory_attack::{MAX_MESSAGE, MemoryAttack};
use crate::network::{MILLISECOND, SharedNetwork};
use crate::peer::Peer;
use crate::peers;
use crate::process_pause::maybe_pause_server;
use crate::rng::Rng;
use crate::run::{MAX_ITERATIONS, Report};
use crate::selector::SERVER;
use crate::sim_stdout::SimStdout;
use crate::stdio::WithStdio;
use crate::upgrade::Upgrades;
use echoloop::admin::{Http, Snapshot};
use echoloop::connection::CloseReason;
use echoloop::protocol::{Clock, Collect, Discard, Frame, Line, Protocol, Width};
use echoloop::server::{Config, Exit, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

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
    run_with(seed, None)
}

/// As [`run`], with upgrades of the server.
pub fn run_with(seed: u64, upgrades: Option<Upgrades>) -> ProtocolReport {
    let mut rng = Rng::new(seed ^ 0x5EEC);
    if rng.chance(500) {
        run_in::<true>(rng, upgrades)
    } else {
        run_in::<false>(rng, upgrades)
    }
}

fn run_in<const DRAINS: bool>(mut rng: Rng, upgrades: Option<Upgrades>) -> ProtocolReport {
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
            let line = || Line::echo(max_message, prefix);
            ProtocolRun::<DRAINS, _>::draw(rng, &line, protocol_config, max_message).run(upgrades)
        }
        4..=6 => {
            let protocol_config = ProtocolConfig::Frame {
                width: bytes,
                max_message,
            };
            let frame = || Frame::echo(width, max_message);
            ProtocolRun::<DRAINS, _>::draw(rng, &frame, protocol_config, max_message).run(upgrades)
        }
        // Separate generators, as above. Admin connections are not passed on.
        7 | 8 if Rng::new(rng.clone().next() ^ 0xAD31).chance(300) => {
            let admin = || Http::new(Snapshot::default(), None);
            ProtocolRun::<DRAINS, _>::draw(rng, &admin, ProtocolConfig::Admin, 0).run(None)
        }
        7 if Rng::new(rng.clone().next() ^ 0xC10C).chance(500) => {
            let clock = || Clock::new(|| Duration::from_nanos(CLOCK_TIME));
            ProtocolRun::<DRAINS, _>::draw(rng, &clock, ProtocolConfig::Clock, 0).run(upgrades)
        }
        7 => {
            let config = ProtocolConfig::Discard;
            ProtocolRun::<DRAINS, _>::draw(rng, &|| Discard, config, 0).run(upgrades)
        }
        _ => {
            let protocol_config = ProtocolConfig::Collect { max_message };
            let collect = || Collect::new(max_message);
            ProtocolRun::<DRAINS, _>::draw(rng, &collect, protocol_config, max_message)
                .run(upgrades)
        }
    }
}

struct ProtocolRun<'p, const DRAINS: bool, P: Protocol> {
    /// Makes the protocol of a server.
    protocol: &'p dyn Fn() -> P,
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
    upgrades: Option<Upgrades>,
}

impl<const DRAINS: bool, P: Protocol> ProtocolRun<'_, DRAINS, P> {
    fn run(mut self, upgrades: Option<Upgrades>) -> ProtocolReport {
        self.upgrades = upgrades;
        while self.now() < self.faults_end_at && !peers::are_done(&self.peers) {
            self.step();
        }
        if !self.drains_early {
            self.run_without_faults();
        }
        let drain_timeout = self.config.drain_timeout.as_nanos();
        let drain_timeout = u64::try_from(drain_timeout).unwrap();
        self.network.borrow_mut().stop(drain_timeout);
        self.maybe_upgrade(true);
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
        let until = self.now() + FAULT_FREE_TIME + peers::longest_duration(&self.peers);
        while self.now() < until && !peers::are_done(&self.peers) {
            self.step();
        }
        peers::check_served(&self.peers, &self.network.borrow());
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
        self.server.parts().1.common.pool.refuse(refused);
        self.exit = self.server.run_iteration().unwrap();
        self.network.borrow().check_iteration_limits(&self.config);
        let is_scarce = self.server.parts().1.common.pool.is_scarce();
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
        let counted = count_buffered(&mut self.server);
        assert_eq!(buffered, counted, "buffered total and sum");
        assert!(
            buffered <= bound,
            "{buffered} bytes buffered, limit {bound}"
        );
        self.maybe_upgrade(false);
    }

    /// Advances the clock to the next event: a peer is due, the pipe is read, or the server wakes up.
    fn advance(&mut self) {
        self.iterations += 1;
        assert!(self.iterations < MAX_ITERATIONS, "the run does not end");
        let mut network = self.network.borrow_mut();
        let mut pipe = self.pipe.borrow_mut();
        let sleep = network.hosts[SERVER].asleep_until.unwrap_or(network.now);
        let next = peers::next_due(&self.peers)
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
            peer.poll_if_due(&mut network);
        }
        if let Some(attack) = self.attack.as_mut().filter(|_| !network.stopping) {
            let window = network.window;
            attack.step(&mut network, &mut self.peers, window);
        }
    }
}
