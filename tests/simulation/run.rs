//! One run: a server with its faults, a crowd of peers and clients, and a seed that decides everything.

mod acknowledged;
mod checks;
mod recheck;
mod scene;
mod scenes;

use crate::clients::Clients;
use crate::faults::Faults;
use crate::peer::{Peer, Reading};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use crate::stopping::maybe_stop_server;
use crate::world::{MILLISECOND, SharedWorld, Tally, World};
use echoloop::connection::LINGER;
use echoloop::net::{ListenOptions, Signal};
use echoloop::protocol::Raw;
use echoloop::server::{Config, Counters, Exit, Server};
use scene::Scene;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Turns after which a run has gone wrong: it would never end.
const MOST_TURNS: u64 = 2_000_000;

/// For how long the world is watched, once faults have stopped, for everybody to get what he is owed.
const CALM: u64 = 600_000 * MILLISECOND;

/// More memory than all connections of a run could fill.
pub const PLENTY: usize = 1 << 40;

/// For so long after the first signal a second one is the same request.
const REPEAT_WINDOW: u64 = 500 * MILLISECOND;

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub digest: u64,
    pub nanoseconds: u64,
    pub turns: u64,
    pub tally: Tally,
}

/// Runs a seed; panics where something does not hold.
pub fn run(seed: u64) -> Report {
    let mut rng = Rng::new(seed);
    let repeat = draw_repeat(seed);
    let drains = rng.chance(500);
    let scene = Scene::draw(&mut rng);
    run_scene(rng, scene, repeat, drains)
}

/// Runs a seed in which memory is used up or peers read very slowly; panics where something does not hold.
pub fn run_scene_of(seed: u64) -> Report {
    let mut rng = Rng::new(seed ^ 0x5CA2_CE11);
    let drains = rng.chance(500);
    let scene = if rng.chance(700) {
        Scene::draw_scarce(&mut rng)
    } else {
        Scene::draw_slow(&mut rng)
    };
    run_scene(rng, scene, draw_repeat(seed), drains)
}

fn run_scene(rng: Rng, scene: Scene, repeat: Option<(Signal, u64)>, drains: bool) -> Report {
    if drains {
        Run::<true>::new(rng, scene, repeat).run()
    } else {
        Run::<false>::new(rng, scene, repeat).run()
    }
}

/// In half of the runs, a signal that comes during the drain, and how long after the first one. It is not to cut the drain
/// short: it is SIGHUP, or soon enough to be the first one repeated.
fn draw_repeat(seed: u64) -> Option<(Signal, u64)> {
    // From a sequence apart, so that all else that a seed decides does not depend on it.
    let mut rng = Rng::new(seed ^ 0x5167_4A15);
    let signal = rng.one_of(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup]);
    let latest = if signal == Signal::Hangup {
        30_000 * MILLISECOND
    } else {
        REPEAT_WINDOW
    };
    rng.chance(500).then(|| (signal, rng.magnitude(latest)))
}

struct Run<const DRAINS: bool> {
    world: SharedWorld,
    server: Server<SimNet<DRAINS>, Raw>,
    clients: Clients<DRAINS>,
    peers: Vec<Peer>,
    config: Config,
    turns: u64,
    exit: Option<Exit>,
    /// In this turn the server is refused memory of some kind.
    refused_memory: bool,
    /// In this turn it is refused memory for further turns of connections.
    refused_places: bool,
    /// The server's next search for connections to evict begins with the largest.
    is_fresh_round: bool,
    /// What the server had counted before its last turn.
    counted: Counters,
    /// When the faults stop, or SIGTERM comes.
    turning_point: u64,
    /// When all who do not read are cut off at once.
    cut_at: u64,
    /// Whether SIGTERM comes in the middle of it all, and not when everybody is served.
    stops_early: bool,
    /// A signal to be sent during the drain, and how long after the first one.
    repeat: Option<(Signal, u64)>,
}

/// The shortest timeout that a connection of the server, or of a client with a timeout, may have, in nanoseconds.
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
    fn new(mut rng: Rng, scene: Scene, repeat: Option<(Signal, u64)>) -> Self {
        let config = scene.config;
        let mut world = World::new(rng.clone(), scene.faults, !DRAINS);
        world.max_pending = config.max_pending;
        world.window = scene.window;
        world.kernel = scene.kernel;
        world.budget = config.budget;
        world.least_timeout = least_timeout(&config, None);
        let world = Rc::new(RefCell::new(world));
        let net = SimNet {
            world: world.clone(),
            host: SERVER,
        };
        let mut server = Server::new(net, Raw, config);
        for _ in 0..rng.between(1, 3) {
            server.listen(&ListenOptions::new(address(1))).unwrap();
        }
        if rng.chance(300) {
            // Numbers of connections wrap after a few.
            server.number_after(u32::MAX - rng.index(20) as u32);
        }
        Run {
            clients: Clients::new(&world, &mut rng, scene.most_clients, scene.step),
            counted: server.counters().clone(),
            world,
            server,
            peers: scene.peers,
            config,
            turns: 0,
            exit: None,
            refused_memory: false,
            refused_places: false,
            is_fresh_round: true,
            cut_at: scene.cut_at,
            turning_point: scene.turning_point,
            stops_early: scene.stops_early,
            repeat,
        }
    }

    fn run(mut self) -> Report {
        while self.now() < self.turning_point && !self.is_everybody_served() {
            self.step();
        }
        if !self.stops_early {
            self.calm_down();
        }
        let drain_timeout = self.config.drain_timeout.as_nanos();
        self.world
            .borrow_mut()
            .stop(u64::try_from(drain_timeout).unwrap());
        let stopped_at = self.now();
        while self.exit.is_none() {
            self.repeat_signal(stopped_at);
            self.step();
        }
        self.check_the_end(stopped_at);
        let world = self.world.borrow();
        Report {
            digest: world.digest(),
            nanoseconds: world.now,
            turns: self.turns,
            tally: world.tally,
        }
    }

    /// Sends the second signal when it is time, unless that has been passed by so much that it would end the server.
    fn repeat_signal(&mut self, stopped_at: u64) {
        let since = self.now() - stopped_at;
        let Some((signal, after)) = self.repeat else {
            return;
        };
        if since < after {
            return;
        }
        self.repeat = None;
        if signal == Signal::Hangup || since <= REPEAT_WINDOW {
            let mut world = self.world.borrow_mut();
            world.signal(SERVER, signal);
            world.tally.signals_repeated += 1;
        }
    }

    fn now(&self) -> u64 {
        self.world.borrow().now
    }

    /// Faults stop, and everybody is to get what he is owed.
    fn calm_down(&mut self) {
        self.world.borrow_mut().faults = Faults::default();
        let slowest = self.peers.iter().map(Peer::own_time).max();
        let until = self.now() + CALM + slowest.unwrap_or(0);
        while self.now() < until && !self.is_everybody_served() {
            self.step();
        }
        for peer in &self.peers {
            let served = peer.outcome.is_some() || !peer.comes_to_an_end();
            assert!(served, "forgotten: {peer:?}, {:?}", self.servers_end(peer));
            // One that stays has at least got everything back, if it reads.
            let stays = peer.outcome.is_none() && peer.plan.reading != Reading::Never;
            assert!(!stays || peer.received_all(), "not all came back: {peer:?}");
        }
        assert!(self.clients.received_all(), "a client did not get all back");
    }

    fn servers_end(&self, peer: &Peer) -> String {
        let world = self.world.borrow();
        let end = peer.end.and_then(|end| world.ends[end].peer);
        end.map_or("not connected".to_owned(), |end| {
            format!("{:?}", world.ends[end])
        })
    }

    /// No peer or client has anything left to do.
    fn is_everybody_served(&self) -> bool {
        let mut peers = self.peers.iter();
        self.clients.are_done()
            && peers.all(|peer| {
                // One that stops reading is to be closed by the server.
                let reads = peer.plan.reading != Reading::Never || peer.plan.stops_at.is_some();
                let waits = reads && !peer.received_all();
                peer.outcome.is_some() || !(peer.comes_to_an_end() || waits)
            })
    }

    /// Both programs run until they would sleep; then time goes on.
    fn step(&mut self) {
        while self.exit.is_none() && self.is_awake(SERVER) {
            self.server_turn();
        }
        let mut turns = 0;
        while self.is_awake(CLIENTS) && turns < 1000 {
            self.world.borrow_mut().hosts[CLIENTS].asleep_until = None;
            self.clients.turn();
            turns += 1;
        }
        assert!(turns < 1000, "the clients do not come to rest");
        self.clients.check_connecting();
        if self.exit.is_none() {
            self.advance();
        }
    }

    fn is_awake(&self, host: usize) -> bool {
        let world = self.world.borrow();
        let asleep = world.hosts[host].asleep_until;
        asleep.is_none_or(|until| until <= world.now) || world.is_anything_ready(host)
    }

    fn server_turn(&mut self) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "the server does not come to rest");
        {
            let mut world = self.world.borrow_mut();
            world.hosts[SERVER].asleep_until = None;
            let jump = world.faults.busy_jump;
            if world.hosts[SERVER].is_busy && world.fault(jump) {
                let most = world.faults.clock_jump_ms;
                let jump = world.rng.between(0, most) * MILLISECOND;
                world.pause(jump);
            }
            world.begin_iteration();
        }
        self.refuse_memory();
        self.exit = self.server.turn().unwrap();
        let mut world = self.world.borrow_mut();
        world.check_work(&self.config);
        world.note_refused_turns(self.refused_places);
        drop(world);
        self.check_counts();
        self.check_deadlines();
        self.check_ends_noticed();
        self.check_input_read();
        self.check_scarcity();
        self.counted = self.server.counters().clone();
    }

    /// In some turns there is no memory: for what is owed and for who waits, for slots and further turns, for sources.
    fn refuse_memory(&mut self) {
        let mut world = self.world.borrow_mut();
        let faults = &world.faults;
        let chances = [
            faults.memory_refused,
            faults.places_refused,
            faults.sources_refused,
        ];
        let [memory, places, sources] = chances.map(|chance| world.fault(chance));
        self.server.pool().refuse(memory);
        self.server.refuse_places(places);
        self.server.refuse_sources(sources);
        self.refused_memory = memory || places || sources;
        self.refused_places = places;
    }

    /// Time goes on until something happens: a peer acts, or a program's sleep is over.
    fn advance(&mut self) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "the run does not come to an end");
        let mut world = self.world.borrow_mut();
        let peers = self.peers.iter().filter(|peer| peer.outcome.is_none());
        let next = peers.map(|peer| peer.wakes_at).min().unwrap_or(u64::MAX);
        let sleeps = world.hosts.iter().filter_map(|host| host.asleep_until);
        let next = next.min(sleeps.min().unwrap_or(world.now));
        let next = next.min(world.next_answer().unwrap_or(u64::MAX));
        // Where nobody has anything to do, a long time passes.
        let next = next.min(world.now + 10_000 * MILLISECOND);
        if !world.is_anything_ready(SERVER) && !world.is_anything_ready(CLIENTS) {
            world.now = next.max(world.now);
        }
        let jump = world.faults.clock_jump;
        if world.fault(jump) {
            let most = world.faults.clock_jump_ms;
            let jump = world.rng.between(0, most) * MILLISECOND;
            world.pause(jump);
        }
        maybe_stop_server(&mut world, &mut self.peers);
        world.shake_hands();
        let now = world.now;
        for peer in &mut self.peers {
            if now >= self.cut_at && peer.plan.reading == Reading::Never {
                peer.is_cut_off(&mut world);
            }
            if peer.outcome.is_none() && peer.wakes_at <= now {
                peer.act(&mut world);
            }
        }
    }
}
