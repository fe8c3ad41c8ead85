//! One run: a server with its faults, a crowd of peers and clients, and a seed that decides everything.

use crate::clients::Clients;
use crate::ends::End;
use crate::faults::Faults;
use crate::peer::{Peer, Plan, Reading};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use crate::world::{MILLISECOND, SharedWorld, Tally, World};
use echoloop::connection::{CloseReason, LINGER};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::reactor::TICK;
use echoloop::server::{Config, Counters, Exit, Refusal, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Turns after which a run has gone wrong: it would never end.
const MOST_TURNS: u64 = 2_000_000;

/// For how long the world is watched, once faults have stopped, for everybody to get what he is owed.
const CALM: u64 = 600_000 * MILLISECOND;

/// More memory than all connections of a run could fill.
const PLENTY: usize = 1 << 40;

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
    if rng.chance(500) {
        Run::<true>::new(rng).run()
    } else {
        Run::<false>::new(rng).run()
    }
}

struct Run<const DRAINS: bool> {
    world: SharedWorld,
    server: Server<SimNet<DRAINS>, Raw>,
    clients: Clients<DRAINS>,
    peers: Vec<Peer>,
    config: Config,
    turns: u64,
    exit: Option<Exit>,
    /// What the server had counted before its last turn.
    counted: Counters,
    /// When the faults stop, or SIGTERM comes.
    turning_point: u64,
    /// When all who do not read are cut off at once.
    cut_at: u64,
    /// Whether SIGTERM comes in the middle of it all, and not when everybody is served.
    stops_early: bool,
}

fn draw_config(rng: &mut Rng) -> Config {
    let time = |rng: &mut Rng| Duration::from_millis(rng.between(100, 30_000));
    let size = |rng: &mut Rng, most| usize::try_from(rng.magnitude(most)).unwrap().max(1);
    let max_pending = size(rng, 200_000);
    Config {
        max_connections: size(rng, 60),
        max_per_source: rng.chance(300).then(|| size(rng, 10)),
        max_pending,
        max_buffered: if rng.chance(600) {
            size(rng, 8 * max_pending as u64)
        } else {
            PLENTY
        },
        idle_timeout: rng.chance(500).then(|| time(rng)),
        stall_timeout: Some(time(rng)),
        drain_timeout: time(rng),
        spin: Duration::ZERO,
        // In some runs reads are small against what may be owed, so that one that owes is read on.
        budget: if rng.chance(300) {
            (max_pending / 8).max(1)
        } else {
            size(rng, 300_000)
        },
        accepts_per_turn: size(rng, 20),
    }
}

impl<const DRAINS: bool> Run<DRAINS> {
    fn new(mut rng: Rng) -> Self {
        let mut config = draw_config(&mut rng);
        let faults = Faults::draw(&mut rng);
        let window = usize::try_from(rng.magnitude(200_000)).unwrap().max(1);
        let step = window.min(config.max_pending).min(config.budget) as u64;
        let count = rng.magnitude(40).max(1);
        let peers = (0..count).map(|id| Peer::new(id, Plan::draw(&mut rng, step)));
        let mut peers: Vec<Peer> = peers.collect();
        let mut cut_at = rng.between(0, 60_000) * MILLISECOND;
        // With small steps and large windows it would take too many turns to fill them.
        if window as u64 <= 100 * step && rng.chance(200) {
            // Many who do not read fill the memory of all, others wait for it, and then all of the first are gone.
            config.max_buffered = config.max_pending;
            config.max_connections = 60;
            config.stall_timeout = Some(Duration::from_secs(60));
            cut_at = rng.between(2_000, 10_000) * MILLISECOND;
            for peer in peers.iter_mut().filter(|_| rng.chance(600)) {
                peer.plan
                    .never_reads(4 * window as u64 + config.max_pending as u64);
            }
        }
        let turning_point = rng.magnitude(60_000) * MILLISECOND;
        let stops_early = rng.chance(400);
        let mut world = World::new(rng.clone(), faults, !DRAINS);
        world.max_pending = config.max_pending;
        world.window = window;
        world.budget = config.budget;
        let world = Rc::new(RefCell::new(world));
        let net = SimNet {
            world: world.clone(),
            host: SERVER,
        };
        let mut server = Server::new(net, Raw, config);
        server.listen(&ListenOptions::new(address(1))).unwrap();
        Run {
            clients: Clients::new(&world, &mut rng, step),
            counted: server.counters().clone(),
            world,
            server,
            peers,
            config,
            turns: 0,
            exit: None,
            cut_at,
            turning_point,
            stops_early,
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

    fn now(&self) -> u64 {
        self.world.borrow().now
    }

    /// Faults stop, and everybody is to get what he is owed.
    fn calm_down(&mut self) {
        self.world.borrow_mut().faults = Faults::default();
        let until = self.now() + CALM;
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
                let waits = peer.plan.reading != Reading::Never && !peer.received_all();
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
        let refused = {
            let mut world = self.world.borrow_mut();
            world.hosts[SERVER].asleep_until = None;
            world.closed.clear();
            let chance = world.faults.memory_refused;
            world.fault(chance)
        };
        self.server.pool().refuse(refused);
        self.exit = self.server.turn().unwrap();
        self.check_counts();
        self.check_deadlines();
        self.counted = self.server.counters().clone();
    }

    /// What holds after each turn.
    fn check_counts(&self) {
        let counters = self.server.counters();
        let live = self.server.live();
        assert_eq!(counters.opened, counters.closed_in_all() + live as u64);
        let world = self.world.borrow();
        assert_eq!(world.open().count(), live, "sockets left open");
        assert!(live <= self.config.max_connections, "{live} connections");
        let refused = |refusal| counters.refused_for(refusal) > self.counted.refused_for(refusal);
        if refused(Refusal::MaxConnections) {
            let there_were = live + world.closed.len();
            assert!(
                there_were >= self.config.max_connections,
                "refused without need"
            );
        }
        if let Some(most) = self.config.max_per_source {
            let others = refused(Refusal::MaxConnections) || refused(Refusal::NoMemory);
            self.check_sources(&world, most, refused(Refusal::MaxPerSource) && !others);
        }
        // One read may be held beyond the limit, and each buffer is at most four times what was ever in it.
        let slack = 4 * self.config.max_pending.min(65_536) + 4096;
        let bound = 4 * self.config.max_buffered + slack;
        let buffered = self.server.buffered();
        assert!(
            buffered <= bound,
            "{buffered} bytes held, allowed are {bound}"
        );
        let open = world.open().filter(|end| !end.fin_sent);
        let owed: u64 = open.map(|end| end.owed()).sum();
        assert!(
            owed <= buffered as u64,
            "{owed} bytes are owed, {buffered} held"
        );
        let tally = &world.tally;
        assert_eq!(counters.accept_failed, tally.aborted);
        assert_eq!(counters.accept_paused, tally.exhausted);
    }

    /// In the end, what the server has counted is what the world has seen.
    fn check_totals(&self, world: &World) {
        let counters = self.server.counters();
        let (refused, served): (Vec<&End>, Vec<&End>) = world
            .ends
            .iter()
            .filter(|end| end.is_servers)
            .partition(|end| end.was_refused);
        assert_eq!(counters.refused_in_all(), refused.len() as u64);
        assert_eq!(counters.opened, served.len() as u64);
        let written: u64 = served.iter().map(|end| end.written).sum();
        assert_eq!(counters.bytes_out, written);
        let read: u64 = served.iter().map(|end| end.read).sum();
        assert!(
            counters.bytes_in <= read,
            "what came after our FIN is dropped"
        );
        assert!(
            counters.bytes_in >= written,
            "nothing is sent that was not read"
        );
    }

    fn check_sources(&self, world: &World, most: usize, refused: bool) {
        for source in 1..=4 {
            let is_from = |end: &&End| end.source == source;
            let open = world.open().filter(is_from).count();
            assert!(open <= most, "{open} connections from one source");
            let closed = world.closed.iter().map(|id| &world.ends[*id]);
            let (gone, turned_away): (Vec<&End>, Vec<&End>) =
                closed.filter(is_from).partition(|end| !end.was_refused);
            let was_full = open + gone.len() >= most;
            assert!(
                !refused || was_full || turned_away.is_empty(),
                "refused without need"
            );
        }
    }

    /// Deadlines are neither early nor more than their slack late.
    fn check_deadlines(&self) {
        let world = self.world.borrow();
        let late = Duration::from_millis(world.faults.late_wake_ms + 1) + TICK;
        if self.exit.is_none() && world.hosts[SERVER].asleep_until.is_some() {
            for end in world.open() {
                let (waited, allowed) = self.waits_for(&world, end);
                let most = allowed.map(|allowed| allowed + late);
                assert!(
                    most.is_none_or(|most| waited <= most),
                    "{waited:?}: {end:?}"
                );
            }
        }
        let counters = self.server.counters();
        for reason in [CloseReason::Idle, CloseReason::Stalled] {
            let closed = counters.closed_for(reason) - self.counted.closed_for(reason);
            let mut due = 0;
            for &id in &world.closed {
                let end = &world.ends[id];
                let (waited, allowed) = self.waited_when_closed(&world, end, reason);
                due += u64::from(allowed.is_some_and(|allowed| waited >= allowed));
            }
            assert!(closed <= due, "closed too early: {reason}");
            if reason == CloseReason::Stalled && closed == world.closed.len() as u64 {
                self.check_stalled(&world);
            }
        }
    }

    /// Who was closed as stalled had really taken nothing: there was no room for what he was owed.
    fn check_stalled(&self, world: &World) {
        for &id in &world.closed {
            let end = &world.ends[id];
            let only_just = end.room_since >= world.before;
            assert!(end.room_when_closed == 0 || only_just, "not paid: {end:?}");
        }
    }

    /// How long a connection has waited for what it waits for, and how long it may.
    fn waits_for(&self, world: &World, end: &End) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(world.now - then);
        if end.fin_sent {
            (since(end.fin_at), Some(LINGER))
        } else if end.owed() > 0 {
            (since(end.owed_since), self.config.stall_timeout)
        } else {
            // Who waits for memory is not idle, and neither is who may have waited for a moment.
            let idle_timeout = self.config.idle_timeout;
            let plenty = self.config.max_buffered == PLENTY;
            (since(end.moved_at), idle_timeout.filter(|_| plenty))
        }
    }

    fn waited_when_closed(
        &self,
        world: &World,
        end: &End,
        reason: CloseReason,
    ) -> (Duration, Option<Duration>) {
        let since = |then| Duration::from_nanos(world.now - then);
        match reason {
            CloseReason::Stalled => (since(end.owed_since), self.config.stall_timeout),
            _ => (since(end.moved_at), self.config.idle_timeout),
        }
    }

    /// Time goes on until something happens: a peer acts, or a program's sleep is over.
    fn advance(&mut self) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "the run does not come to an end");
        let mut world = self.world.borrow_mut();
        world.before = world.now;
        let peers = self.peers.iter().filter(|peer| peer.outcome.is_none());
        let next = peers.map(|peer| peer.wakes_at).min().unwrap_or(u64::MAX);
        let sleeps = world.hosts.iter().filter_map(|host| host.asleep_until);
        let next = next.min(sleeps.min().unwrap_or(world.now));
        // Where nobody has anything to do, a long time passes.
        let next = next.min(world.now + 10_000 * MILLISECOND);
        if !world.is_anything_ready(SERVER) && !world.is_anything_ready(CLIENTS) {
            world.now = next.max(world.now);
        }
        let jump = world.faults.clock_jump;
        if world.fault(jump) {
            let most = world.faults.clock_jump_ms;
            world.now += world.rng.between(0, most) * MILLISECOND;
        }
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

    fn check_the_end(&mut self, stopped_at: u64) {
        assert_eq!(self.exit, Some(Exit::Drained));
        assert_eq!(self.server.live(), 0);
        assert_eq!(self.server.buffered(), 0, "memory held for nobody");
        let world = self.world.borrow();
        self.check_totals(&world);
        let mut listeners = world.listeners.iter();
        assert!(listeners.all(|listener| listener.closed), "listens on");
        let drained_in = Duration::from_nanos(world.now - stopped_at);
        let late = Duration::from_millis(world.faults.late_wake_ms + world.faults.clock_jump_ms);
        let most = self.config.drain_timeout + late + Duration::from_secs(1);
        assert!(drained_in <= most, "the drain took {drained_in:?}");
    }
}
