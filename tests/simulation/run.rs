//! One run: a server with its faults, a crowd of peers, and a seed that decides everything.

use crate::faults::Faults;
use crate::peer::{Leaving, Outcome, Peer, Plan};
use crate::rng::Rng;
use crate::sim_net::{SimNet, somewhere};
use crate::world::{MILLISECOND, SharedWorld, Tally, World};
use echoloop::net::{ListenOptions, Signal};
use echoloop::protocol::Raw;
use echoloop::server::{Config, Exit, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Turns after which a run has gone wrong: it would never end.
const MOST_TURNS: u64 = 2_000_000;

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
    peers: Vec<Peer>,
    config: Config,
    turns: u64,
    exit: Option<Exit>,
    /// When SIGTERM comes, unless all peers are done before.
    stops_at: u64,
}

fn draw_config(rng: &mut Rng) -> Config {
    let seconds = |rng: &mut Rng| Duration::from_millis(rng.between(100, 30_000));
    let max_pending = usize::try_from(rng.magnitude(200_000)).unwrap().max(1);
    Config {
        max_connections: usize::try_from(rng.magnitude(40)).unwrap().max(1),
        max_per_source: None,
        max_pending,
        max_buffered: usize::try_from(rng.magnitude(2_000_000)).unwrap().max(1),
        idle_timeout: rng.chance(500).then(|| seconds(rng)),
        stall_timeout: Some(seconds(rng)),
        drain_timeout: seconds(rng),
        spin: Duration::ZERO,
    }
}

impl<const DRAINS: bool> Run<DRAINS> {
    fn new(mut rng: Rng) -> Self {
        let config = draw_config(&mut rng);
        let faults = Faults::draw(&mut rng);
        let window = usize::try_from(rng.magnitude(200_000)).unwrap().max(1);
        let step = window.min(config.max_pending) as u64;
        let count = rng.magnitude(40).max(1);
        let peers = (0..count)
            .map(|id| Peer::new(id, Plan::draw(&mut rng, step)))
            .collect();
        let stops_at = rng.between(1_000, 120_000) * MILLISECOND;
        let mut world = World::new(rng, faults, !DRAINS);
        world.window = window;
        world.max_pending = config.max_pending;
        let world = Rc::new(RefCell::new(world));
        let net = SimNet {
            world: world.clone(),
        };
        let mut server = Server::new(net, Raw, config);
        server.listen(&ListenOptions::new(somewhere())).unwrap();
        Run {
            world,
            server,
            peers,
            config,
            turns: 0,
            exit: None,
            stops_at,
        }
    }

    fn run(mut self) -> Report {
        while !self.is_over() {
            self.serve_until_asleep();
            self.advance();
        }
        // Faults stop, and the server is asked to end: everything must come to an end.
        self.world.borrow_mut().faults = Faults::default();
        self.world.borrow_mut().signal(Signal::Terminate);
        let stopped_at = self.world.borrow().now;
        while self.exit.is_none() {
            self.serve_until_asleep();
            if self.exit.is_none() {
                self.advance();
            }
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

    /// No peer has anything left to do, or the time has come.
    fn is_over(&self) -> bool {
        let mut peers = self.peers.iter();
        self.world.borrow().now >= self.stops_at || peers.all(|peer| peer.outcome.is_some())
    }

    /// Turns of the server until it would sleep.
    fn serve_until_asleep(&mut self) {
        self.world.borrow_mut().asleep_until = None;
        while self.exit.is_none() && self.world.borrow().asleep_until.is_none() {
            self.turns += 1;
            assert!(self.turns < MOST_TURNS, "the server does not come to rest");
            self.exit = self.server.turn().unwrap();
            self.check();
        }
    }

    /// What holds after each turn.
    fn check(&self) {
        let counters = self.server.counters();
        let live = self.server.live();
        assert_eq!(counters.opened, counters.closed_in_all() + live as u64);
        assert_eq!(self.world.borrow().open, live, "sockets left open");
        assert!(live <= self.config.max_connections, "{live} connections");
        // One read may be held beyond the limit, and each buffer is at most twice what was ever in it.
        let bound = 2 * (self.config.max_buffered + self.config.max_pending.min(65_536)) + 1024;
        let buffered = self.server.buffered();
        assert!(
            buffered <= bound,
            "{buffered} bytes held, allowed are {bound}"
        );
    }

    /// Time goes on until something happens: a peer acts, or the server's sleep is over.
    fn advance(&mut self) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "the run does not come to an end");
        let mut world = self.world.borrow_mut();
        if world.is_anything_ready() {
            return;
        }
        let peers = self.peers.iter().filter(|peer| peer.outcome.is_none());
        let next = peers.map(|peer| peer.wakes_at).min().unwrap_or(u64::MAX);
        let sleeps = world.asleep_until.unwrap_or(world.now);
        let next = next
            .min(sleeps)
            .min(self.stops_at.max(world.now + MILLISECOND));
        world.now = next.max(world.now);
        let jump = world.faults.clock_jump;
        if world.rng.chance(jump) {
            let most = world.faults.clock_jump_ms;
            world.now += world.rng.between(0, most) * MILLISECOND;
        }
        let now = world.now;
        for peer in &mut self.peers {
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
        let drained_in = Duration::from_nanos(world.now - stopped_at);
        assert!(
            drained_in <= self.config.drain_timeout + Duration::from_secs(1),
            "the drain took {drained_in:?}"
        );
        for peer in &self.peers {
            // What a peer that half-closed got before the server's FIN is all that it sent, unless the server was
            // stopping: then it is all that the server had read.
            let half_closed = peer.plan.leaving == Leaving::HalfClose;
            if peer.outcome == Some(Outcome::Fin) && half_closed && peer.wakes_at < stopped_at {
                let end = &world.ends[peer.end.unwrap()];
                let server = &world.ends[end.peer.unwrap()];
                let refused = server.written == 0 && server.read == 0;
                if end.fin_sent && !refused {
                    assert_eq!(peer.received, peer.sent, "not all came back");
                }
            }
        }
    }
}
