//! `send` against the server, both as they are, in virtual time, with a standard input and output that have their moods.
//!
//! What is printed is what the protocol owes for what was typed, to the byte; or its beginning, where something was drawn
//! that ends the connection or closes one of the two, and then `send` says so. It always ends, and holds no more memory
//! than it promises.

mod checks;
mod plan;
mod scripted;

use crate::client_script::{ClientScript, PREFIX};
use crate::faults::Faults;
use crate::inlet::Inlet;
use crate::output::Pipe;
use crate::rng::Rng;
use crate::run::least_timeout;
use crate::selector::{CLIENTS, SERVER};
use crate::send_script::{SendProtocol, SendScript};
use crate::sim_net::{SimNet, address};
use crate::standard::WithStandard;
use crate::world::{MILLISECOND, SharedWorld, World};
pub use checks::clients_ends;
use echoloop::client::{Failure, SendReport, Sender};
use echoloop::net::ListenOptions;
use echoloop::protocol::{Discard, Frame, Line, Protocol, Raw};
use echoloop::server::{Exit, Server};
use plan::Plan;
use std::cell::RefCell;
use std::rc::Rc;

/// Turns after which a run has gone wrong: it would never end.
const MOST_TURNS: u64 = 1_000_000;

/// Turns in which the client may do nothing at all before it sleeps. Where calls are interrupted it takes several.
const MOST_IDLE_TURNS: u64 = 1_000;

/// For how long nothing may move before somebody was forgotten.
const PATIENCE: u64 = 1_000_000 * MILLISECOND;

/// How long a turn of either program takes.
const TURN: u64 = MILLISECOND / 20;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How it ended, in a word or two.
    pub end: &'static str,
    digest: u64,
    words: String,
}

/// Runs a seed; panics where something does not hold.
pub fn run(seed: u64) -> Told {
    let mut rng = Rng::new(seed ^ 0x5E4D);
    if rng.chance(500) {
        run_in::<true>(rng)
    } else {
        run_in::<false>(rng)
    }
}

fn run_in<const DRAINS: bool>(mut rng: Rng) -> Told {
    let plan = Plan::draw(&mut rng);
    let dialogue = plan.draw_dialogue(&mut rng);
    let most = dialogue.server_max_message;
    match dialogue.protocol {
        SendProtocol::Raw => Exchange::<DRAINS, _>::draw(rng, plan, dialogue, Raw).run(),
        SendProtocol::Discard => Exchange::<DRAINS, _>::draw(rng, plan, dialogue, Discard).run(),
        SendProtocol::Line => {
            let line = Line::echo(most, PREFIX);
            Exchange::<DRAINS, _>::draw(rng, plan, dialogue, line).run()
        }
        SendProtocol::Frame(width) => {
            let frame = Frame::echo(width, most);
            Exchange::<DRAINS, _>::draw(rng, plan, dialogue, frame).run()
        }
    }
}

/// One server, one client, and what is beside them.
struct Exchange<const DRAINS: bool, P: Protocol> {
    world: SharedWorld,
    server: Server<SimNet<DRAINS>, P>,
    sender: Sender<WithStandard<DRAINS>>,
    inlet: Option<Rc<RefCell<Inlet>>>,
    pipe: Rc<RefCell<Pipe>>,
    plan: Plan,
    dialogue: SendScript,
    speech: Rc<ClientScript>,
    turns: u64,
    idle_turns: u64,
    /// How far everything is, and since when.
    moved: [u64; 6],
    moved_at: u64,
    exit: Option<Exit>,
    /// The server was stopped before the client had come to its end.
    is_stopped_early: bool,
}

impl<const DRAINS: bool, P: Protocol> Exchange<DRAINS, P> {
    /// One in which standard input and output are as drawn.
    fn draw(mut rng: Rng, plan: Plan, dialogue: SendScript, protocol: P) -> Self {
        let inlet = plan.draw_inlet(&mut rng, dialogue.input(), !DRAINS);
        let pipe = plan.draw_pipe(&mut rng, dialogue.expected_output.len());
        Exchange::new(rng, plan, dialogue, inlet, pipe, protocol)
    }

    fn new(
        rng: Rng,
        plan: Plan,
        dialogue: SendScript,
        inlet: Option<Inlet>,
        pipe: Pipe,
        protocol: P,
    ) -> Self {
        let inlet = inlet.map(|inlet| Rc::new(RefCell::new(inlet)));
        let pipe = Rc::new(RefCell::new(pipe));
        // The client under test is the only one.
        let faults = Faults {
            arrival_during_drain: 0,
            ..plan.faults.clone()
        };
        let mut world = World::new(rng, faults, !DRAINS);
        world.window = plan.window;
        world.kernel = plan.kernel;
        if dialogue.protocol == SendProtocol::Raw {
            world.max_pending = plan.server.max_pending;
        }
        world.budget = plan.server.budget;
        world.least_timeout = least_timeout(&plan.server, plan.timeout);
        let world = Rc::new(RefCell::new(world));
        let net = |host| SimNet {
            world: world.clone(),
            host,
        };
        let mut server = Server::new(net(SERVER), protocol, plan.server);
        server.listen(&ListenOptions::new(address(1))).unwrap();
        let clients_net = WithStandard {
            net: net(CLIENTS),
            inlet: inlet.clone(),
            pipe: pipe.clone(),
        };
        let config = plan.config(&dialogue, inlet.is_some());
        Exchange {
            sender: Sender::new(clients_net, config),
            server,
            inlet,
            pipe,
            plan,
            speech: Rc::new(dialogue.client_script()),
            dialogue,
            turns: 0,
            idle_turns: 0,
            moved: [0; 6],
            moved_at: 0,
            exit: None,
            is_stopped_early: false,
            world,
        }
    }

    fn run(mut self) -> Told {
        let end = self.send();
        let told = self.conclude(&end);
        let digest = self.world.borrow().digest();
        Told {
            end: told,
            digest,
            words: words(&end),
        }
    }

    /// Both run until the client has come to its end.
    fn send(&mut self) -> Result<SendReport, Failure> {
        loop {
            self.server_turn();
            if let Some(end) = self.client_turn() {
                return end;
            }
            self.advance();
        }
    }

    /// The server is stopped, and all is looked at.
    fn conclude(&mut self, end: &Result<SendReport, Failure>) -> &'static str {
        if self.exit.is_none() {
            self.stop();
        }
        while self.exit.is_none() {
            self.advance();
            self.server_turn();
        }
        self.check_the_end(end)
    }

    /// The server is told to stop.
    fn stop(&mut self) {
        self.plan.stops_at = None;
        let mut world = self.world.borrow_mut();
        if !world.stopping {
            let drain_timeout = self.plan.server.drain_timeout.as_nanos();
            world.stop(u64::try_from(drain_timeout).unwrap());
        }
    }

    fn server_turn(&mut self) {
        if self.exit.is_some() || !self.takes_its_turn(SERVER) {
            return;
        }
        let [memory, places, sources] = {
            let mut world = self.world.borrow_mut();
            world.begin_iteration();
            for id in 0..world.sockets.len() {
                // What the client says is what the server hears.
                if world.sockets[id].peer.is_some_and(|peer| peer < id) {
                    let speech = || Rc::clone(&self.speech);
                    world.sockets[id].script.get_or_insert_with(speech);
                }
            }
            let faults = &world.faults;
            let chances = [
                faults.buffer_alloc_fails,
                faults.queue_alloc_fails,
                faults.source_alloc_fails,
            ];
            chances.map(|chance| world.fault(chance))
        };
        self.server.pool().refuse(memory);
        self.server.refuse_places(places);
        self.server.refuse_sources(sources);
        self.exit = self.server.turn().unwrap();
    }

    fn client_turn(&mut self) -> Option<Result<SendReport, Failure>> {
        if !self.takes_its_turn(CLIENTS) {
            return None;
        }
        let [memory, places] = {
            let mut world = self.world.borrow_mut();
            let chances = [
                world.faults.buffer_alloc_fails,
                world.faults.queue_alloc_fails,
            ];
            chances.map(|chance| world.fault(chance))
        };
        self.sender.pool().refuse(memory);
        self.sender.refuse_places(places);
        let end = self.sender.run_iteration();
        self.check_progress();
        self.check_bounds();
        end
    }

    fn takes_its_turn(&mut self, host: usize) -> bool {
        let is_told = host == CLIENTS && self.is_anything_told();
        let mut world = self.world.borrow_mut();
        let asleep = world.hosts[host].asleep_until;
        let is_awake = is_told
            || asleep.is_none_or(|until| until <= world.now)
            || world.is_anything_ready(host);
        if is_awake {
            world.hosts[host].asleep_until = None;
        }
        is_awake
    }

    /// Whether standard input or output has something to say.
    fn is_anything_told(&self) -> bool {
        let inlet = self.inlet.as_ref();
        self.pipe.borrow().is_pending() || inlet.is_some_and(|inlet| inlet.borrow().is_pending())
    }

    /// A turn takes its time; where both sleep, time goes on until something happens.
    fn advance(&mut self) {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "it does not come to an end");
        let is_told = self.is_anything_told();
        let mut world = self.world.borrow_mut();
        world.now += TURN;
        let mut pipe = self.pipe.borrow_mut();
        let mut inlet = self.inlet.as_ref().map(|inlet| inlet.borrow_mut());
        let ready = [SERVER, CLIENTS].map(|host| world.is_anything_ready(host));
        let sleeps = [SERVER, CLIENTS].map(|host| world.hosts[host].asleep_until);
        // A server that is done sleeps for ever.
        let servers_sleep = self.exit.map_or(sleeps[SERVER], |_| Some(u64::MAX));
        if !is_told
            && ready == [false, false]
            && let (Some(one), Some(other)) = (servers_sleep, sleeps[CLIENTS])
        {
            let next = [
                one.min(other),
                world.next_answer().unwrap_or(u64::MAX),
                inlet.as_ref().map_or(u64::MAX, |inlet| inlet.arrives_at),
                pipe.reads_at.min(pipe.breaks_at),
                self.plan.stops_at.unwrap_or(u64::MAX),
            ];
            // Where nobody has anything to do, a long time passes.
            let next = next.into_iter().min().unwrap().min(world.now + PATIENCE);
            world.now = next.max(world.now);
        }
        let jump = world.faults.clock_jump;
        if world.fault(jump) {
            let most = world.faults.clock_jump_ms;
            let jump = world.rng.between(0, most) * MILLISECOND;
            world.pause(jump);
        }
        world.shake_hands();
        pipe.goes_on(&mut world);
        if let Some(inlet) = &mut inlet {
            inlet.goes_on(&mut world);
        }
        let stops = self.plan.stops_at.is_some_and(|at| at <= world.now);
        drop((world, pipe, inlet));
        if stops {
            self.is_stopped_early = true;
            self.stop();
        }
    }
}

/// What a run came to, to be compared with another.
fn words(end: &Result<SendReport, Failure>) -> String {
    match end {
        Ok(sent) => format!("{sent:?}"),
        Err(failure) => failure.to_string(),
    }
}
