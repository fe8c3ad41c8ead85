//! One run of a protocol other than raw echo: peers that know what they are owed in it, and a seed that decides the rest.
//!
//! What holds of connections whatever they speak (deadlines, sources, refusals) is checked in `run.rs`; here it is that
//! each gets its answers, that records arrive whole, and that memory full of unfinished messages stops nobody for ever.

use crate::attack::{Attack, MAX_MESSAGE};
use crate::faults::Faults;
use crate::flood;
use crate::output::Pipe;
use crate::peer::{Leaving, Outcome, Peer, Plan, Reading};
use crate::rng::Rng;
use crate::run::{Report, least_timeout};
use crate::selector::SERVER;
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use crate::speech::{LONG_PREFIX, Language, PREFIX, Speech, whose_records};
use crate::standard::WithStandard;
use crate::stopping::maybe_stop_server;
use crate::world::{MILLISECOND, SharedWorld, World};
use echoloop::connection::CloseReason;
use echoloop::net::ListenOptions;
use echoloop::protocol::{Collect, Discard, Frame, Line, Protocol, Width};
use echoloop::server::{Config, Exit, Server};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// Turns after which a run has gone wrong: it would never end.
const MOST_TURNS: u64 = 2_000_000;

/// For how long the world is watched, once faults have stopped, for everybody to get what he is owed.
const CALM: u64 = 900_000 * MILLISECOND;

/// How often somebody gave way in a run, and how many records were taken, for the report.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub report: Report,
    pub without_memory: u64,
    pub too_long: u64,
    pub records: u64,
}

/// Runs a seed; panics where something does not hold.
pub fn run(seed: u64) -> Told {
    let mut rng = Rng::new(seed ^ 0x5EEC);
    if rng.chance(500) {
        run_in::<true>(rng)
    } else {
        run_in::<false>(rng)
    }
}

fn run_in<const DRAINS: bool>(mut rng: Rng) -> Told {
    let is_attack = rng.chance(80);
    let max_message = if is_attack {
        MAX_MESSAGE
    } else {
        16 + usize::try_from(rng.magnitude(60_000)).unwrap()
    };
    let (width, bytes) = rng.one_of(&[(Width::One, 1), (Width::Two, 2), (Width::Four, 4)]);
    match rng.between(0, if is_attack { 6 } else { 9 }) {
        0..=3 => {
            // From a sequence apart, so that all else that a seed decides does not depend on it.
            let has_long_prefix = Rng::new(rng.clone().next() ^ 0x9E4F).chance(300);
            let prefix = if has_long_prefix && !is_attack {
                LONG_PREFIX
            } else {
                PREFIX
            };
            let language = Language::Line {
                max_message,
                prefix,
            };
            let line = Line::echo(max_message, prefix);
            Conversation::<DRAINS, _>::new(rng, line, language, max_message).run()
        }
        4..=6 => {
            let language = Language::Frame {
                width: bytes,
                max_message,
            };
            let frame = Frame::echo(width, max_message);
            Conversation::<DRAINS, _>::new(rng, frame, language, max_message).run()
        }
        7 => Conversation::<DRAINS, _>::new(rng, Discard, Language::Discard, 0).run(),
        _ => {
            let language = Language::Collect { max_message };
            let collect = Collect::new(max_message);
            Conversation::<DRAINS, _>::new(rng, collect, language, max_message).run()
        }
    }
}

struct Conversation<const DRAINS: bool, P: Protocol> {
    world: SharedWorld,
    server: Server<WithStandard<DRAINS>, P>,
    pipe: Rc<RefCell<Pipe>>,
    peers: Vec<Peer>,
    language: Language,
    config: Config,
    max_message: usize,
    turns: u64,
    exit: Option<Exit>,
    turning_point: u64,
    stops_early: bool,
    attack: Option<Attack>,
}

fn draw_config(rng: &mut Rng, max_message: usize) -> Config {
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 30_000));
    let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap().max(1);
    Config {
        max_connections: size(rng, 60).max(10),
        max_pending: size(rng, 100_000).max(64),
        max_buffered: if rng.chance(600) {
            // From memory that some messages alone are too large for, to memory for several.
            4_000 + size(rng, 8 * max_message as u64 + 40_000)
        } else {
            1 << 40
        },
        idle_timeout: rng.chance(300).then(|| time(rng)),
        stall_timeout: Some(time(rng)),
        drain_timeout: time(rng),
        budget: size(rng, 200_000).max(64),
        accepts_per_turn: size(rng, 20),
        ..Config::default()
    }
}

impl<const DRAINS: bool, P: Protocol> Conversation<DRAINS, P> {
    fn new(mut rng: Rng, protocol: P, language: Language, max_message: usize) -> Self {
        let mut config = draw_config(&mut rng, max_message);
        let has_long_answers =
            matches!(language, Language::Line { prefix, .. } if prefix == LONG_PREFIX);
        if has_long_answers {
            // Less memory than an answer takes could be held by one slow reader for very long.
            config.max_buffered = 1 << 40;
        }
        let mut faults = Faults::draw(&mut rng);
        let mut window = usize::try_from(rng.magnitude(200_000)).unwrap().max(64);
        if has_long_answers {
            window = window.max(20_000);
        }
        let step = window.min(config.max_pending).min(config.budget) as u64;
        let mut kernel = Kernel::draw(&rng, step as usize, &mut faults);
        let peers = (0..rng.between(1, 25)).map(|id| {
            let mut plan = Plan::draw(&mut rng, step);
            if matches!(language, Language::Collect { .. }) && rng.chance(800) {
                // It means to leave a record.
                plan.leaving = Leaving::HalfClose;
                plan.reading = Reading::Prompt;
            }
            let speech = Speech::draw(&mut rng, language, id, plan.total);
            plan.says(speech.length());
            Peer::speaking(id, plan, speech)
        });
        let mut peers: Vec<Peer> = peers.collect();
        let mut attack = None;
        if max_message == MAX_MESSAGE {
            // What an honest client waits for is to be the attackers' doing alone.
            faults = Faults::default();
            window = 1_000 + rng.index(20_000);
            kernel.send_buffer = kernel.send_buffer.min(30_000);
            let drawn = Attack::draw(&mut rng, language, window);
            attack = Some(drawn.0);
            (config, peers) = (drawn.1, drawn.2);
        } else {
            let kernels = (&mut window, &mut kernel);
            flood::maybe_draw(&rng, language, &mut config, kernels, &mut peers);
        }
        // Large records pass through a small pipe in many steps, but not in very many.
        let pipe_room = 1 + max_message / 100 + rng.index(1 + max_message);
        let pipe = Pipe::new(pipe_room, rng.magnitude(500) * MILLISECOND);
        let pipe = Rc::new(RefCell::new(pipe));
        let turning_point = rng.magnitude(60_000) * MILLISECOND;
        let stops_early = rng.chance(300);
        let mut world = World::new(rng, faults, !DRAINS);
        world.window = window;
        world.kernel = kernel;
        world.budget = config.budget;
        world.least_timeout = least_timeout(&config, None);
        world.fin_is_receipt = matches!(language, Language::Collect { .. });
        let world = Rc::new(RefCell::new(world));
        let net = SimNet {
            world: world.clone(),
            host: SERVER,
        };
        let pipe_end = pipe.clone();
        let net = WithStandard {
            net,
            inlet: None,
            pipe: pipe_end,
        };
        let mut server = Server::new(net, protocol, config);
        server.listen(&ListenOptions::new(address(1))).unwrap();
        Conversation {
            world,
            server,
            pipe,
            peers,
            language,
            config,
            max_message,
            turns: 0,
            exit: None,
            turning_point,
            stops_early,
            attack,
        }
    }

    fn run(mut self) -> Told {
        while self.now() < self.turning_point && !self.is_everybody_served() {
            self.step();
        }
        if !self.stops_early {
            self.calm_down();
        }
        let drain_timeout = self.config.drain_timeout.as_nanos();
        let drain_timeout = u64::try_from(drain_timeout).unwrap();
        self.world.borrow_mut().stop(drain_timeout);
        while self.exit.is_none() {
            self.step();
        }
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!(self.server.live(), 0);
        assert_eq!(self.server.buffered(), 0, "memory held for nobody");
        let records = self.check_records();
        let counters = self.server.counters();
        let world = self.world.borrow();
        Told {
            report: Report {
                digest: world.digest(),
                nanoseconds: world.now,
                turns: self.turns,
                tally: world.tally,
            },
            without_memory: counters.closed_for(CloseReason::NoMemory),
            too_long: counters.closed_for(CloseReason::TooLong),
            records,
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
            assert!(served, "forgotten: {peer:?}");
            let stays = peer.outcome.is_none() && peer.plan.reading != Reading::Never;
            assert!(!stays || peer.received_all(), "not answered: {peer:?}");
        }
    }

    fn is_everybody_served(&self) -> bool {
        self.peers.iter().all(|peer| {
            let waits = peer.plan.reading != Reading::Never && !peer.received_all();
            peer.outcome.is_some() || !(peer.comes_to_an_end() || waits)
        })
    }

    /// The server runs until it would sleep; then time goes on.
    fn step(&mut self) {
        while self.exit.is_none() && self.is_awake() {
            self.server_turn();
        }
        if self.exit.is_none() {
            self.advance();
        }
    }

    fn is_awake(&self) -> bool {
        let world = self.world.borrow();
        let asleep = world.hosts[SERVER].asleep_until;
        asleep.is_none_or(|until| until <= world.now)
            || world.is_anything_ready(SERVER)
            || self.pipe.borrow().is_pending()
    }

    fn server_turn(&mut self) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "the server does not come to rest");
        let refused = {
            let mut world = self.world.borrow_mut();
            world.hosts[SERVER].asleep_until = None;
            world.begin_iteration();
            let chance = world.faults.memory_refused;
            world.fault(chance)
        };
        self.server.pool().refuse(refused);
        self.exit = self.server.turn().unwrap();
        self.world.borrow().check_work(&self.config);
        let is_scarce = self.server.pool().is_scarce();
        let held = self.server.buffered();
        if let Some(attack) = &mut self.attack {
            attack.check_evicted(&self.world.borrow(), held, is_scarce);
        }
        let counters = self.server.counters();
        let live = self.server.live();
        assert_eq!(counters.opened, counters.closed_in_all() + live as u64);
        // One connection may go beyond the limit by a read, and its buffer may be twice as large as what is in it; each
        // holds some memory as soon as it holds anything.
        let beyond = 4 * (self.max_message + self.config.max_pending + 65_536) + 4096 * live;
        let bound = self.config.max_buffered.saturating_add(beyond);
        let buffered = self.server.buffered();
        let counted = self.server.count_buffered();
        assert_eq!(buffered, counted, "held in all, and by each connection");
        assert!(
            buffered <= bound,
            "{buffered} bytes held, allowed are {bound}"
        );
    }

    /// Time goes on until something happens: a peer acts, the pipe is read, or the server's sleep is over.
    fn advance(&mut self) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "the run does not come to an end");
        let mut world = self.world.borrow_mut();
        let mut pipe = self.pipe.borrow_mut();
        let peers = self.peers.iter().filter(|peer| peer.outcome.is_none());
        let next = peers.map(|peer| peer.wakes_at).min().unwrap_or(u64::MAX);
        let sleep = world.hosts[SERVER].asleep_until.unwrap_or(world.now);
        let next = next
            .min(sleep)
            .min(pipe.reads_at)
            .min(world.now + 10_000 * MILLISECOND);
        if !world.is_anything_ready(SERVER) && !pipe.is_pending() {
            world.now = next.max(world.now);
        }
        maybe_stop_server(&mut world, &mut self.peers);
        if pipe.reads_at <= world.now {
            pipe.is_read(&mut world);
        }
        for peer in &mut self.peers {
            if peer.outcome.is_none() && peer.wakes_at <= world.now {
                peer.act(&mut world);
            }
        }
        if let Some(attack) = self.attack.as_mut().filter(|_| !world.stopping) {
            let window = world.window;
            attack.go_on(&mut world, &mut self.peers, window);
        }
    }

    /// Records lie one behind the other in the output, each whole and once, and only of those who meant them.
    fn check_records(&self) -> u64 {
        let pipe = self.pipe.borrow();
        if !matches!(self.language, Language::Collect { .. }) {
            assert!(pipe.written.is_empty(), "output of nobody's");
            return 0;
        }
        let ids = whose_records(&pipe.written);
        let different: BTreeSet<u64> = ids.iter().copied().collect();
        assert_eq!(different.len(), ids.len(), "a record was written twice");
        let lengths = ids.iter().map(|id| self.peer(*id).plan.total);
        let whole: u64 = lengths.sum();
        let counters = self.server.counters();
        let is_cut = whole < pipe.written.len() as u64;
        let expired = counters.closed_for(CloseReason::DrainExpired) > 0;
        assert!(!is_cut || expired, "a record was cut off without need");
        for peer in &self.peers {
            let is_there = different.contains(&peer.id);
            let is_meant =
                peer.sent == peer.plan.total && !matches!(peer.plan.leaving, Leaving::Reset(_));
            assert!(!is_there || is_meant, "not meant: {peer:?}");
            // The server's FIN says that the record is written.
            let is_told = peer.outcome == Some(Outcome::Fin);
            assert!(!is_told || is_there, "told, but not written: {peer:?}");
        }
        ids.len() as u64
    }

    fn peer(&self, id: u64) -> &Peer {
        &self.peers[usize::try_from(id).unwrap()]
    }
}
