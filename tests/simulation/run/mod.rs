//! One run of the raw echo server with faults, peers and clients, determined by a seed.

mod acknowledged;
mod checks;
mod focused_scenarios;
mod recheck;
mod scenario;
mod traced;
mod upgrading;

use crate::clients::Clients;
use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SharedNetwork, Tally};
use crate::peer::{Peer, Reading};
use crate::peers;
use crate::process_pause::maybe_pause_server;
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use crate::upgrade::Upgrades;
use echoloop::connection::testing::LINGER;
use echoloop::net::{ListenOptions, Signal, Traced};
use echoloop::protocol::Raw;
use echoloop::server::{Config, Counters, Exit, Server};
use scenario::Scenario;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The iterations after which a run counts as endless.
pub const MAX_ITERATIONS: u64 = 2_000_000;

/// The time without faults in which every peer must be served, beside the time the peers themselves need.
const FAULT_FREE_TIME: u64 = 600_000 * MILLISECOND;

/// More memory than all connections of a run can use.
pub const UNLIMITED_MEMORY: usize = 1 << 40;

/// Within this time after the first signal, a second one counts as the same request.
const SIGNAL_REPEAT_WINDOW: u64 = 500 * MILLISECOND;

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub digest: u64,
    pub nanoseconds: u64,
    pub iterations: u64,
    pub tally: Tally,
}

impl Report {
    /// A digest of all that has happened.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// Runs a seed; panics if a check fails.
pub fn run(seed: u64) -> Report {
    run_with(seed, None)
}

/// As [`run`], with upgrades of the server.
pub fn run_with(seed: u64, upgrades: Option<Upgrades>) -> Report {
    let mut rng = Rng::new(seed);
    let second_signal = draw_second_signal(seed);
    let short_read_drains = rng.chance(500);
    let scenario = Scenario::draw(&mut rng);
    run_scenario(rng, scenario, (second_signal, upgrades), short_read_drains)
}

/// Runs a seed with scarce memory or very slow readers; panics if a check fails.
pub fn run_focused(seed: u64) -> Report {
    run_focused_with(seed, None)
}

/// As [`run_focused`], with upgrades of the server.
pub fn run_focused_with(seed: u64, upgrades: Option<Upgrades>) -> Report {
    let mut rng = Rng::new(seed ^ 0x5CA2_CE11);
    let short_read_drains = rng.chance(500);
    let scenario = if rng.chance(700) {
        Scenario::draw_scarce(&mut rng)
    } else {
        Scenario::draw_slow(&mut rng)
    };
    let second_signal = draw_second_signal(seed);
    run_scenario(rng, scenario, (second_signal, upgrades), short_read_drains)
}

/// A signal during the drain, with its delay after the first one, and upgrades.
type Extras = (Option<(Signal, u64)>, Option<Upgrades>);

fn run_scenario(rng: Rng, scenario: Scenario, extras: Extras, short_read_drains: bool) -> Report {
    if short_read_drains {
        Run::<true>::new(rng, scenario, extras).run()
    } else {
        Run::<false>::new(rng, scenario, extras).run()
    }
}

/// Draws, in half of the runs, a signal during the drain and its delay after the first one. It does not end the drain:
/// it is SIGHUP, or it follows within [`SIGNAL_REPEAT_WINDOW`].
fn draw_second_signal(seed: u64) -> Option<(Signal, u64)> {
    // A separate generator: the other draws of the seed do not depend on it.
    let mut rng = Rng::new(seed ^ 0x5167_4A15);
    let signal = rng.one_of(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup]);
    let latest = if signal == Signal::Hangup {
        30_000 * MILLISECOND
    } else {
        SIGNAL_REPEAT_WINDOW
    };
    rng.chance(500).then(|| (signal, rng.magnitude(latest)))
}

struct Run<const DRAINS: bool> {
    network: SharedNetwork,
    server: Server<Traced<SimNet<DRAINS>>, Raw>,
    clients: Clients<DRAINS>,
    peers: Vec<Peer>,
    config: Config,
    iterations: u64,
    exit: Option<Exit>,
    /// In this iteration, some allocations of the server fail.
    has_alloc_fault: bool,
    /// In this iteration, slots and the run queue cannot be allocated.
    has_queue_alloc_fault: bool,
    /// The next search of the server for connections to evict starts with the largest.
    search_starts_at_largest: bool,
    /// The counters of the server before its last iteration.
    previous_counters: Counters,
    /// When the faults stop, or SIGTERM comes.
    faults_end_at: u64,
    /// When all peers that do not read reset their connections.
    reset_at: u64,
    /// SIGTERM is sent while faults are active, and not when every peer is served.
    drains_early: bool,
    /// A signal to be sent during the drain, and its delay after the first one.
    second_signal: Option<(Signal, u64)>,
    upgrades: Option<Upgrades>,
}

/// The shortest timeout of any connection of the server or the client, in nanoseconds.
pub fn least_timeout(server: &Config, client: Option<Duration>) -> u64 {
    let timeouts = [
        server.idle_timeout,
        server.stall_timeout,
        client,
        Some(LINGER),
    ];
    let least = timeouts.into_iter().flatten().min().unwrap_or(LINGER);
    u64::try_from(least.as_nanos()).unwrap()
}

impl<const DRAINS: bool> Run<DRAINS> {
    fn new(mut rng: Rng, scenario: Scenario, (second_signal, upgrades): Extras) -> Self {
        let config = scenario.config;
        let mut network = Network::new(rng.clone(), scenario.faults, !DRAINS);
        network.max_pending = config.max_pending;
        network.window = scenario.window;
        network.kernel = scenario.kernel;
        network.budget = config.budget;
        network.least_timeout = least_timeout(&config, None);
        let network = Rc::new(RefCell::new(network));
        let net = SimNet {
            network: network.clone(),
            host: SERVER,
        };
        let mut server = Server::new(Traced::new(net), Raw, config);
        for _ in 0..rng.between(1, 3) {
            server.listen(&ListenOptions::new(address(1))).unwrap();
        }
        if rng.chance(300) {
            // Serial numbers wrap after a few connections.
            server
                .parts()
                .0
                .set_last_serial(u32::MAX - rng.index(20) as u32);
        }
        Run {
            clients: Clients::new(&network, &mut rng, scenario.most_clients, scenario.step),
            previous_counters: server.counters().clone(),
            network,
            server,
            peers: scenario.peers,
            config,
            iterations: 0,
            exit: None,
            has_alloc_fault: false,
            has_queue_alloc_fault: false,
            search_starts_at_largest: true,
            reset_at: scenario.reset_at,
            faults_end_at: scenario.faults_end_at,
            drains_early: scenario.drains_early,
            second_signal,
            upgrades,
        }
    }

    fn run(mut self) -> Report {
        while self.now() < self.faults_end_at && !self.are_peers_done() {
            self.step();
        }
        if !self.drains_early {
            self.run_without_faults();
        }
        let drain_timeout = self.config.drain_timeout.as_nanos();
        self.network
            .borrow_mut()
            .stop(u64::try_from(drain_timeout).unwrap());
        let stopped_at = self.now();
        self.maybe_upgrade(true);
        while self.exit.is_none() {
            self.maybe_send_second_signal(stopped_at);
            self.step();
        }
        self.check_drained(stopped_at);
        let network = self.network.borrow();
        Report {
            digest: network.digest(),
            nanoseconds: network.now,
            iterations: self.iterations,
            tally: network.tally,
        }
    }

    /// Sends the second signal when it is due, unless it is so late that it would end the drain.
    fn maybe_send_second_signal(&mut self, stopped_at: u64) {
        let since = self.now() - stopped_at;
        let Some((signal, after)) = self.second_signal else {
            return;
        };
        if since < after {
            return;
        }
        self.second_signal = None;
        if signal == Signal::Hangup || since <= SIGNAL_REPEAT_WINDOW {
            let mut network = self.network.borrow_mut();
            network.signal(SERVER, signal);
            network.tally.signals_repeated += 1;
        }
    }

    fn now(&self) -> u64 {
        self.network.borrow().now
    }

    /// Ends the faults and runs until every peer is served; fails if that takes too long.
    fn run_without_faults(&mut self) {
        self.network.borrow_mut().faults = Faults::default();
        let until = self.now() + FAULT_FREE_TIME + peers::longest_duration(&self.peers);
        while self.now() < until && !self.are_peers_done() {
            self.step();
        }
        peers::check_served(&self.peers, &self.network.borrow());
        assert!(
            self.clients.received_all(),
            "a client did not receive every echo"
        );
    }

    /// No peer and no client has anything left to do.
    fn are_peers_done(&self) -> bool {
        self.clients.are_done() && peers::are_done(&self.peers)
    }

    /// Runs both programs until they sleep, then advances the clock.
    fn step(&mut self) {
        while self.exit.is_none() && self.is_awake(SERVER) {
            self.run_server_iteration();
        }
        let mut iterations = 0;
        while self.is_awake(CLIENTS) && iterations < 1000 {
            self.network.borrow_mut().hosts[CLIENTS].asleep_until = None;
            self.clients.run_iteration();
            iterations += 1;
        }
        assert!(iterations < 1000, "the clients do not go to sleep");
        self.clients.check_connecting();
        if self.exit.is_none() {
            self.advance();
        }
    }

    fn is_awake(&self, host: usize) -> bool {
        let network = self.network.borrow();
        let asleep = network.hosts[host].asleep_until;
        asleep.is_none_or(|until| until <= network.now) || network.is_anything_ready(host)
    }

    fn run_server_iteration(&mut self) {
        self.iterations += 1;
        assert!(
            self.iterations < MAX_ITERATIONS,
            "the server does not go to sleep"
        );
        {
            let mut network = self.network.borrow_mut();
            network.hosts[SERVER].asleep_until = None;
            let jump = network.faults.clock_jump_if_busy;
            if network.hosts[SERVER].is_busy && network.fault(jump) {
                let most = network.faults.clock_jump_ms;
                let jump = network.rng.between(0, most) * MILLISECOND;
                network.pause(jump);
            }
            network.begin_iteration();
        }
        self.inject_alloc_faults();
        self.exit = self.server.run_iteration().unwrap();
        let mut network = self.network.borrow_mut();
        network.check_iteration_limits(&self.config);
        network.record_refused_requeues(self.has_queue_alloc_fault);
        drop(network);
        self.check_counts();
        self.check_deadlines();
        self.check_closures_noticed();
        self.check_input_read();
        self.check_scarcity();
        self.previous_counters = self.server.counters().clone();
        self.maybe_upgrade(false);
    }

    /// Makes allocations of the server fail in some iterations: for pending output and waiting connections, for slots
    /// and the run queue, for sources.
    fn inject_alloc_faults(&mut self) {
        let mut network = self.network.borrow_mut();
        let faults = &network.faults;
        let chances = [
            faults.buffer_alloc_fails,
            faults.queue_alloc_fails,
            faults.source_alloc_fails,
        ];
        let [buffers, queues, sources] = chances.map(|chance| network.fault(chance));
        self.server.parts().1.common.pool.refuse(buffers);
        self.server.set_out_of_memory(queues, sources);
        self.has_alloc_fault = buffers || queues || sources;
        self.has_queue_alloc_fault = queues;
    }

    /// Advances the clock to the next event: a peer is due, or a program wakes up.
    fn advance(&mut self) {
        self.iterations += 1;
        assert!(self.iterations < MAX_ITERATIONS, "the run does not end");
        let mut network = self.network.borrow_mut();
        let next = peers::next_due(&self.peers);
        let sleeps = network.hosts.iter().filter_map(|host| host.asleep_until);
        let next = next.min(sleeps.min().unwrap_or(network.now));
        let next = next.min(network.next_answer().unwrap_or(u64::MAX));
        // Without any event, a long time passes.
        let next = next.min(network.now + 10_000 * MILLISECOND);
        if !network.is_anything_ready(SERVER) && !network.is_anything_ready(CLIENTS) {
            network.now = next.max(network.now);
        }
        let jump = network.faults.clock_jump;
        if network.fault(jump) {
            let most = network.faults.clock_jump_ms;
            let jump = network.rng.between(0, most) * MILLISECOND;
            network.pause(jump);
        }
        maybe_pause_server(&mut network, &mut self.peers);
        network.complete_handshakes();
        let now = network.now;
        for peer in &mut self.peers {
            if now >= self.reset_at && peer.plan.reading == Reading::Never {
                peer.reset_connection(&mut network);
            }
            peer.poll_if_due(&mut network);
        }
    }
}
