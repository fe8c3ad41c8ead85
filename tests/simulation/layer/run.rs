//! One run of a server with the layer around a protocol, determined by a seed.

use super::clients::LayerClients;
use super::peer::LayerPeer;
use super::plan::{Conduct, Plan, Wire, draw_script};
use super::record::HEADER;
use super::{Layer, Role, Settings};
use crate::client_script::{PREFIX, ProtocolConfig};
use crate::faults::Faults;
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::run::{Report, least_timeout};
use crate::selector::{CLIENTS, SERVER};
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use crate::sim_stdout::SimStdout;
use crate::stdio::WithStdio;
use echoloop::connection::CloseReason;
use echoloop::net::ListenOptions;
use echoloop::protocol::{Collect, Discard, Frame, Line, Protocol, Raw, Width};
use echoloop::server::{Config, Counters, Exit, Refusal, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The iterations after which a run counts as endless.
const MAX_ITERATIONS: u64 = 2_000_000;

/// The iterations of the clients after which they count as awake forever: one may answer a single record.
const CLIENT_ITERATIONS: u64 = 100_000;

/// The time without faults in which every client must be served, beside the time the clients themselves need.
const FAULT_FREE_TIME: u64 = 900_000 * MILLISECOND;

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub struct LayerReport {
    pub report: Report,
    /// Handshakes that completed, steps that waited, handshakes that timed out, and connections that were refused
    /// because of the handshakes in progress.
    pub completed: u64,
    pub waits: u64,
    pub timeouts: u64,
    pub refused: u64,
    /// FINs without a farewell, and records written.
    pub truncated: u64,
    pub records: u64,
    /// Clients of proxies that were admitted.
    pub admitted: u64,
}

/// Runs a seed; panics if a check fails.
pub fn run(seed: u64) -> LayerReport {
    let mut rng = Rng::new(seed ^ 0x007A_1DE4);
    if rng.chance(500) {
        run_in::<true>(rng)
    } else {
        run_in::<false>(rng)
    }
}

fn run_in<const DRAINS: bool>(mut rng: Rng) -> LayerReport {
    let max_message = 16 + rng.magnitude(20_000) as usize;
    let (width, bytes) = rng.one_of(&[(Width::One, 1), (Width::Two, 2), (Width::Four, 4)]);
    match rng.between(0, 11) {
        0..=3 => LayerRun::<DRAINS, _>::new(rng, Raw, None).run(),
        4..=5 => {
            let (inner, prefix) = (Line::echo(max_message, PREFIX), PREFIX);
            let config = ProtocolConfig::Line {
                max_message,
                prefix,
            };
            LayerRun::<DRAINS, _>::new(rng, inner, Some(config)).run()
        }
        6..=7 => {
            let inner = Frame::echo(width, max_message);
            let width = bytes;
            let config = ProtocolConfig::Frame { width, max_message };
            LayerRun::<DRAINS, _>::new(rng, inner, Some(config)).run()
        }
        8 => LayerRun::<DRAINS, _>::new(rng, Discard, Some(ProtocolConfig::Discard)).run(),
        _ => {
            let config = ProtocolConfig::Collect { max_message };
            LayerRun::<DRAINS, _>::new(rng, Collect::new(max_message), Some(config)).run()
        }
    }
}

pub(super) struct LayerRun<const DRAINS: bool, P: Protocol> {
    pub(super) network: SharedNetwork,
    pub(super) server: Server<WithStdio<DRAINS>, Layer<P>>,
    pub(super) pipe: Rc<RefCell<SimStdout>>,
    pub(super) peers: Vec<LayerPeer>,
    clients: LayerClients<DRAINS>,
    /// The inner protocol, if it is not raw echo.
    pub(super) protocol: Option<ProtocolConfig>,
    pub(super) settings: Settings,
    pub(super) config: Config,
    pub(super) previous_counters: Counters,
    iterations: u64,
    pub(super) exit: Option<Exit>,
    faults_end_at: u64,
    drains_early: bool,
}

/// Draws the limits of the server. In a protected run none of them ends the connection of a well-behaved client that
/// reads at once.
fn draw_config(rng: &mut Rng, is_protected: bool) -> Config {
    let least = if is_protected { 10_000 } else { 100 };
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(least, 30_000));
    let size = |rng: &mut Rng, most| rng.magnitude(most) as usize;
    Config {
        max_connections: size(rng, 60).max(10),
        max_pending: size(rng, 100_000).max(2_000),
        max_buffered: if is_protected || rng.chance(400) {
            1 << 40
        } else {
            40_000 + size(rng, 1_000_000)
        },
        idle_timeout: rng.chance(500).then(|| time(rng)),
        stall_timeout: Some(time(rng)),
        handshake_timeout: Some(time(rng)),
        drain_timeout: time(rng),
        budget: size(rng, 200_000).max(1_000),
        accepts_per_iteration: size(rng, 20).max(1),
        ..Config::default()
    }
}

fn draw_settings(rng: &mut Rng, config: &Config, has_notices: bool) -> Settings {
    // Without an effect on what is drawn next.
    let has_proxies = rng.clone().chance(300);
    let step_length = 2 + rng.magnitude(2_000) as usize;
    Settings {
        has_proxies,
        steps: 1 + rng.index(4),
        step_length,
        costly: rng.between(0, 15) as u32,
        budget: 1 + rng.index(8),
        max_handshakes: 1 + rng.magnitude(30) as usize,
        records_per_call: 1 + rng.magnitude(60) as usize,
        chunk: 1 + rng.index(config.max_pending.min(8_000)),
        notices: if has_notices {
            rng.magnitude(20) as u32
        } else {
            0
        },
        notice_interval: Duration::from_millis(rng.between(1, 2_000)),
    }
}

fn draw_faults(rng: &mut Rng, is_protected: bool) -> Faults {
    let mut faults = Faults::draw(rng);
    faults.process_paused = 0;
    if is_protected {
        faults.epoll_add_fails = 0;
        faults.buffer_alloc_fails = 0;
        faults.queue_alloc_fails = 0;
        faults.source_alloc_fails = 0;
        faults.clock_jump = 0;
        faults.clock_jump_if_busy = 0;
    }
    faults
}

impl<const DRAINS: bool, P: Protocol> LayerRun<DRAINS, P> {
    fn new(mut rng: Rng, inner: P, protocol: Option<ProtocolConfig>) -> Self {
        let is_protected = rng.chance(600);
        let mut config = draw_config(&mut rng, is_protected);
        let is_collect = matches!(protocol, Some(ProtocolConfig::Collect { .. }));
        let has_notices = rng.chance(300) && !is_collect;
        if has_notices && is_protected {
            // A notice to a client with more pending output than this closes its connection.
            config.max_pending = config.max_pending.max(1 << 20);
        }
        let settings = draw_settings(&mut rng, &config, has_notices);
        let mut faults = draw_faults(&mut rng, is_protected);
        let least = if is_protected { 2_000 } else { 64 };
        let window = (rng.magnitude(200_000) as usize).max(least);
        let step = window.min(config.max_pending).min(config.budget);
        let kernel = Kernel::draw(&rng, step, &mut faults);
        let crowd = rng.chance(250).then(|| rng.magnitude(5_000) * MILLISECOND);
        let peers = (0..rng.between(1, 25)).map(|id| {
            let mut plan = Plan::draw(&mut rng, is_collect && id % 4 > 0);
            plan.starts_at = crowd.unwrap_or(plan.starts_at);
            let total = rng.magnitude((200 * step as u64).min(100_000));
            let script = draw_script(&mut rng, protocol, id, total);
            let parts = (id, &script.0, script.1);
            let wire = Wire::draw(&mut rng, &settings, &mut plan, parts);
            let mut peer = LayerPeer::new(id, plan, settings, wire, script);
            peer.is_protected = is_protected;
            if let Some(ProtocolConfig::Collect { max_message }) = protocol {
                peer.is_rejected = peer.length > max_message as u64;
                // An idle connection without a record is reset.
                peer.is_protected &= peer.plan.conduct != Conduct::StaysOpen;
            }
            peer
        });
        let peers: Vec<LayerPeer> = peers.collect();
        if config.idle_timeout.is_none() {
            // Some clients may keep their connections; the others are to find a place.
            let may_last = |peer: &&LayerPeer| !peer.plan.conduct.will_finish();
            let lasting = peers.iter().filter(may_last).count();
            config.max_connections = config.max_connections.max(lasting + 5);
        }
        let pipe = SimStdout::new(1_000 + rng.index(20_000), rng.magnitude(500) * MILLISECOND);
        let pipe = Rc::new(RefCell::new(pipe));
        let faults_end_at = rng.magnitude(60_000) * MILLISECOND;
        let drains_early = rng.chance(300);
        let mut network = Network::new(rng.clone(), faults, !DRAINS);
        network.window = window;
        network.kernel = kernel;
        network.budget = config.budget;
        network.least_timeout = least_timeout(&config, None);
        network.fin_is_receipt = is_collect;
        network.is_layered = true;
        network.record = (settings.chunk, HEADER);
        let network = Rc::new(RefCell::new(network));
        let net = WithStdio {
            net: SimNet {
                network: network.clone(),
                host: SERVER,
            },
            stdin: None,
            stdout: pipe.clone(),
        };
        let records = net.stdout();
        let mut server = Server::new(net, Layer::new(inner, Role::Server, settings), config);
        server.set_record_sink(records);
        server.listen(&ListenOptions::new(address(1))).unwrap();
        let most = if protocol.is_none() { 4 } else { 0 };
        let clients = LayerClients::new(&network, &mut rng, settings, most, is_protected);
        LayerRun {
            previous_counters: server.counters().clone(),
            network,
            server,
            pipe,
            peers,
            clients,
            protocol,
            settings,
            config,
            iterations: 0,
            exit: None,
            faults_end_at,
            drains_early,
        }
    }

    fn run(mut self) -> LayerReport {
        while self.now() < self.faults_end_at && !self.are_peers_done() {
            self.step();
        }
        if !self.drains_early {
            self.run_without_faults();
        }
        let drain_timeout = u64::try_from(self.config.drain_timeout.as_nanos()).unwrap();
        self.network.borrow_mut().stop(drain_timeout);
        while self.exit.is_none() {
            self.step();
        }
        // The clients read what was sent before.
        self.poll_clients_once();
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!(self.server.live(), 0);
        assert_eq!(self.server.buffered(), 0, "memory leak");
        let records = self.check_records();
        self.check_totals(&self.network.borrow());
        let counters = self.server.counters().clone();
        let network = self.network.borrow();
        let observed = &self.server.parts().1.common.protocol.observed;
        LayerReport {
            report: Report {
                digest: network.digest(),
                nanoseconds: network.now,
                iterations: self.iterations,
                tally: network.tally,
            },
            completed: observed.completed,
            waits: observed.waits,
            timeouts: counters.closed_for(CloseReason::HandshakeTimeout),
            refused: counters.refused_for(Refusal::MaxHandshakes),
            truncated: observed.truncated,
            admitted: observed.admitted,
            records,
        }
    }

    fn poll_clients_once(&mut self) {
        let mut network = self.network.borrow_mut();
        let peers = self.peers.iter_mut();
        for peer in peers.filter(|peer| peer.outcome.is_none() && peer.socket.is_some()) {
            peer.poll(&mut network);
        }
    }

    fn now(&self) -> u64 {
        self.network.borrow().now
    }

    /// Ends the faults and runs until every client is served; fails if that takes too long.
    fn run_without_faults(&mut self) {
        self.network.borrow_mut().faults = Faults::default();
        let slowest = self.peers.iter().map(LayerPeer::max_duration).max();
        let until = self.now() + FAULT_FREE_TIME + slowest.unwrap_or(0);
        while self.now() < until && !self.are_peers_done() {
            self.step();
        }
        for peer in &self.peers {
            let served = peer.outcome.is_some() || !peer.plan.conduct.will_finish();
            assert!(served, "not served: {peer:?}, {}", self.server_socket(peer));
        }
        self.clients.check_done();
    }

    fn server_socket(&self, peer: &LayerPeer) -> String {
        let network = self.network.borrow();
        let socket = peer.socket.and_then(|socket| network.sockets[socket].peer);
        socket.map_or("not connected".to_owned(), |socket| {
            format!("{:?}", network.sockets[socket])
        })
    }

    fn are_peers_done(&self) -> bool {
        let mut peers = self.peers.iter();
        self.clients.are_done()
            && peers.all(|peer| peer.outcome.is_some() || !peer.plan.conduct.will_finish())
    }

    /// Runs both programs until they sleep, then advances the clock.
    fn step(&mut self) {
        while self.exit.is_none() && self.is_awake(SERVER) {
            self.run_server_iteration();
        }
        let mut iterations = 0;
        while self.is_awake(CLIENTS) && iterations < CLIENT_ITERATIONS {
            self.network.borrow_mut().hosts[CLIENTS].asleep_until = None;
            self.clients.run_iteration();
            iterations += 1;
        }
        assert!(
            iterations < CLIENT_ITERATIONS,
            "the clients do not go to sleep"
        );
        if self.exit.is_none() {
            self.advance();
        }
    }

    fn is_awake(&self, host: usize) -> bool {
        let network = self.network.borrow();
        let asleep = network.hosts[host].asleep_until;
        asleep.is_none_or(|until| until <= network.now)
            || network.is_anything_ready(host)
            || (host == SERVER && self.pipe.borrow().is_pending())
    }

    fn run_server_iteration(&mut self) {
        self.iterations += 1;
        assert!(self.iterations < MAX_ITERATIONS, "the server never sleeps");
        let refused = {
            let mut network = self.network.borrow_mut();
            network.hosts[SERVER].asleep_until = None;
            network.begin_iteration();
            let chances = [
                network.faults.buffer_alloc_fails,
                network.faults.queue_alloc_fails,
            ];
            chances.map(|chance| network.fault(chance))
        };
        let [buffers, queues] = refused;
        self.server.set_out_of_memory(queues, false);
        let common = &mut self.server.parts().1.common;
        common.pool.refuse(buffers);
        let observed = &mut common.protocol.observed;
        observed.steps = 0;
        let before = observed.handshakes.clone();
        self.exit = self.server.run_iteration().unwrap();
        // A call ends after the output of the inner session that has filled its outbox. Its output may be that of input
        // that was held, and is not charged as far as the call consumes other input.
        let config = Config {
            budget: 2 * self.config.budget,
            max_pending: self.config.max_pending + self.settings.chunk + HEADER,
            ..self.config
        };
        self.network.borrow().check_iteration_limits(&config);
        self.check_iteration(&before);
        self.previous_counters = self.server.counters().clone();
    }

    /// Advances the clock to the next event: a client is due, the pipe is read, or a program wakes up.
    fn advance(&mut self) {
        self.iterations += 1;
        assert!(self.iterations < MAX_ITERATIONS, "the run does not end");
        let mut network = self.network.borrow_mut();
        let mut pipe = self.pipe.borrow_mut();
        let peers = self.peers.iter().filter(|peer| peer.outcome.is_none());
        let next = peers.map(|peer| peer.wakes_at).min().unwrap_or(u64::MAX);
        let sleeps = network.hosts.iter().filter_map(|host| host.asleep_until);
        let next = next
            .min(sleeps.min().unwrap_or(network.now))
            .min(network.next_answer().unwrap_or(u64::MAX))
            .min(pipe.next_event_at())
            .min(network.now + 10_000 * MILLISECOND);
        let is_ready = [SERVER, CLIENTS].map(|host| network.is_anything_ready(host));
        if is_ready == [false, false] && !pipe.is_pending() {
            network.now = next.max(network.now);
        }
        let jump = network.faults.clock_jump;
        if network.fault(jump) {
            let most = network.faults.clock_jump_ms;
            let jump = network.rng.between(0, most) * MILLISECOND;
            network.pause(jump);
        }
        network.complete_handshakes();
        if pipe.next_read_at <= network.now {
            pipe.drain(&mut network);
        }
        for peer in &mut self.peers {
            if peer.outcome.is_none() && peer.wakes_at <= network.now {
                peer.poll(&mut network);
            }
        }
    }
}
