//! The real load tester with idle connections in user space, in virtual time: over a network that loses, reorders and
//! duplicates packets, to an independent TCP. Active connections have simulated kernel sockets, to the real server.

#[allow(dead_code)]
#[path = "../userspace_tcp/echo_server.rs"]
mod echo_server;
#[allow(dead_code)]
#[path = "../userspace_tcp/network.rs"]
mod link_network;

mod ending;
mod hello;

use crate::handshake::BACKLOG;
use crate::load::{advance, delay_faults, wake_if_due};
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use echo_server::{EchoServer, Settings};
use echoloop::load::{Config, Load, LoadResult, Lost, Observer, Progress, Stage, WallTime};
use echoloop::net::{ListenOptions, PacketLink};
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use echoloop::userspace::{Endpoints, Timers, UserspaceTcp};
use link_network::{Faults, Network as Packets};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 10;

const MAX_ITERATIONS: u64 = 3_000_000;

/// Where the connections in user space go. The active ones go to the simulated server.
const SERVER_ADDRESS: ([u8; 4], u16) = ([10, 0, 0, 1], 7);

/// With many losses in sequence, backed-off retransmissions take long.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A server that ends a connection sooner after it was accepted has refused it.
const HELD_AFTER: u64 = 600 * MILLISECOND;

/// Where the flags are in a TCP segment in an IPv4 packet without options, and that of RST.
const FLAGS: usize = 20 + 13;
const RST: u8 = 4;

/// The network of packets and the server behind it.
struct Wires {
    to_server: Packets,
    to_client: Packets,
    server: EchoServer,
    /// Packets that the load tester can read.
    arrived: VecDeque<Vec<u8>>,
    rng: Rng,
    /// The probability per thousand that the link accepts no packet.
    refusals: u64,
    /// Packets of the load tester, and those of them that are RST.
    sent: u64,
    resets: u64,
}

impl Wires {
    fn draw(rng: &mut Rng, endpoints: &Endpoints, sockets: usize) -> Wires {
        let faults = Faults {
            loss_per_mille: if rng.chance(700) {
                rng.magnitude(100)
            } else {
                0
            },
            duplicates_per_mille: rng.magnitude(100),
            most_delay: Duration::from_micros(1 + rng.magnitude(200_000)),
        };
        let settings = Settings {
            sockets,
            // The server ends a connection from which nothing arrives for ten times as long: longer than losses last.
            keepalive: rng
                .chance(500)
                .then(|| Duration::from_millis(rng.between(1_000, 5_000))),
        };
        let mut wires = Wires::new(rng, endpoints, faults, settings);
        if rng.chance(300) {
            wires.refusals = rng.magnitude(50);
        }
        wires
    }

    fn new(rng: &mut Rng, endpoints: &Endpoints, faults: Faults, settings: Settings) -> Wires {
        println!("{faults:?}, {settings:?}");
        Wires {
            to_server: Packets::new(faults, rng.next()),
            to_client: Packets::new(faults, rng.next()),
            server: EchoServer::new(endpoints, settings, rng.next()),
            arrived: VecDeque::new(),
            refusals: 0,
            rng: Rng::new(rng.next()),
            sent: 0,
            resets: 0,
        }
    }

    /// Delivers what has arrived; returns whether there is something new for the load tester.
    fn run(&mut self, now: Duration) -> bool {
        while let Some(packet) = self.to_server.receive(now) {
            self.server.receive(packet);
        }
        let to_client = &mut self.to_client;
        self.server.run(now, |packet| to_client.send(packet, now));
        let before = self.arrived.len();
        while let Some(packet) = self.to_client.receive(now) {
            self.arrived.push_back(packet);
        }
        self.arrived.len() > before
    }

    fn next_event(&mut self, now: Duration) -> Option<Duration> {
        let arrivals = [self.to_server.next_arrival(), self.to_client.next_arrival()];
        let deadline = self.server.next_deadline(now);
        arrivals.into_iter().flatten().chain(deadline).min()
    }
}

/// The load tester's end of the network.
struct SimLink {
    wires: Rc<RefCell<Wires>>,
    network: SharedNetwork,
}

impl PacketLink for SimLink {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let packet = self.wires.borrow_mut().arrived.pop_front();
        let packet = packet.ok_or(ErrorKind::WouldBlock)?;
        buffer[..packet.len()].copy_from_slice(&packet);
        Ok(packet.len())
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let now = Duration::from_nanos(self.network.borrow().now);
        let mut wires = self.wires.borrow_mut();
        wires.sent += 1;
        wires.resets += u64::from(packet[FLAGS] & RST != 0);
        let refusals = wires.refusals;
        if wires.rng.chance(refusals) {
            return Err(ErrorKind::WouldBlock.into());
        }
        wires.to_server.send(packet, now);
        Ok(())
    }
}

/// Shows the stage.
struct StageWatch(Rc<Cell<Stage>>);

impl Observer for StageWatch {
    fn on_progress(&mut self, progress: Progress) {
        self.0.set(progress.stage);
    }
}

/// What the server does to the connections in user space while they are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Fin,
    Reset,
    /// It loses all state, as a machine that is switched off and on.
    Restart,
}

fn draw_config(rng: &mut Rng) -> Config {
    Config {
        idle: 1 + u32::try_from(rng.magnitude(120)).unwrap(),
        active: u32::try_from(rng.magnitude(4)).unwrap(),
        rate: Some(rng.between(1, 500) as f64),
        size: usize::try_from(rng.magnitude(1_000)).unwrap().max(1),
        duration: Duration::from_millis(rng.between(2_000, 20_000)),
        warmup: Duration::from_millis(rng.magnitude(500)),
        ramp: rng.chance(300).then(|| rng.between(1, 500) as f64),
        window: rng
            .chance(300)
            .then(|| u32::try_from(rng.between(1, BACKLOG as u64)).unwrap()),
        connect_timeout: PATIENCE,
        ..Config::new(address(1))
    }
}

/// A run of the load tester.
struct World {
    config: Config,
    network: SharedNetwork,
    wires: Rc<RefCell<Wires>>,
    server: Server<SimNet<true>, Raw>,
    load: Load<SimNet<true>, StageWatch>,
    stage: Rc<Cell<Stage>>,
}

impl World {
    /// `sockets` are those of the server for the idle connections, or as many as there are.
    fn new(rng: &mut Rng, sockets: Option<usize>) -> World {
        let config = draw_config(rng);
        let sockets = sockets.unwrap_or(config.idle as usize);
        World::with(rng, config, |rng, endpoints| {
            Wires::draw(rng, endpoints, sockets)
        })
    }

    fn with(
        rng: &mut Rng,
        config: Config,
        wires: impl FnOnce(&mut Rng, &Endpoints) -> Wires,
    ) -> World {
        let idle = config.idle;
        let endpoints = Endpoints::new(
            SocketAddr::from(SERVER_ADDRESS),
            [198, 18, 0, 2].into(),
            1 + idle / 64_512,
        );
        let endpoints = endpoints.unwrap();
        let timers = Timers {
            connect: PATIENCE,
            unacknowledged: PATIENCE,
        };
        let wires = Rc::new(RefCell::new(wires(rng, &endpoints)));
        let mut faults = delay_faults(rng);
        faults.wait_interrupted = 0;
        let network = Network::new(rng.clone(), faults, false);
        let network: SharedNetwork = Rc::new(RefCell::new(network));
        let net = |host| SimNet::<true> {
            network: network.clone(),
            host,
        };
        let mut server = Server::new(net(SERVER), Raw, server::Config::default());
        server.listen(&ListenOptions::new(address(1))).unwrap();
        let stage = Rc::new(Cell::new(Stage::Connecting));
        let watch = StageWatch(Rc::clone(&stage));
        let mut load = Load::new(net(CLIENTS), config.clone(), watch);
        let tcp = UserspaceTcp::new(endpoints, idle, rng.next(), timers).unwrap();
        let link = SimLink {
            wires: Rc::clone(&wires),
            network: network.clone(),
        };
        load.use_userspace_tcp(tcp, link);
        World {
            config,
            network,
            wires,
            server,
            load,
            stage,
        }
    }

    fn run_while(&mut self, condition: impl Fn(&World) -> bool) {
        let mut iterations = 0;
        while condition(self) {
            iterations += 1;
            assert!(iterations < MAX_ITERATIONS, "the run does not end");
            self.step();
        }
    }

    fn step(&mut self) {
        let now = || Duration::from_nanos(self.network.borrow().now);
        if self.wires.borrow_mut().run(now()) {
            self.network.borrow_mut().notify_packet(CLIENTS);
        }
        if wake_if_due(&self.network, SERVER) {
            self.server.run_iteration().unwrap();
        }
        if wake_if_due(&self.network, CLIENTS) {
            self.load.run_iteration().unwrap();
        }
        let next = self.wires.borrow_mut().next_event(now());
        let until = next.map_or(u64::MAX, |next| u64::try_from(next.as_nanos()).unwrap());
        advance(&self.network, until);
    }

    fn end_all(&mut self, ending: Ending) {
        let mut wires = self.wires.borrow_mut();
        match ending {
            Ending::Fin => wires.server.end_all(true),
            Ending::Reset => wires.server.end_all(false),
            Ending::Restart => wires.server.lose_state(),
        }
    }

    /// Ends the run. Returns its result.
    fn finish(mut self) -> (Config, LoadResult) {
        self.run_while(|world| !world.load.is_done());
        let mut saved = self.load.to_saved(WallTime::default());
        self.load.close(&mut saved);
        (self.config, saved.result)
    }
}

/// Runs each seed twice, which must give the same result.
fn for_each_seed(run: impl Fn(Rng) -> LoadResult) {
    let seeds = crate::seeds::variable("ECHOLOOP_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        println!("seed {seed}");
        let result = run(Rng::new(seed));
        assert_eq!(
            result,
            run(Rng::new(seed)),
            "seed {seed} is not deterministic"
        );
    }
}

#[test]
fn userspace_connections_are_all_alive_over_any_network() {
    for_each_seed(|mut rng| {
        let (config, result) = World::new(&mut rng, None).finish();
        crate::load::check_no_failure(&config, &result);
        assert_eq!(
            result.connect.time_us.count,
            u64::from(config.connections())
        );
        let figures = result.userspace_tcp.unwrap();
        assert!(
            figures.packets_sent >= 4 * u64::from(config.idle),
            "{figures:?}"
        );
        assert_eq!(figures.bad_checksums, 0);
        result
    });
}

#[test]
fn userspace_connections_that_the_server_ends_are_lost_with_their_cause() {
    for_each_seed(|mut rng| {
        let ending = rng.one_of(&[Ending::Fin, Ending::Reset, Ending::Restart]);
        let mut world = World::new(&mut rng, None);
        world.run_while(|world| world.stage.get() < Stage::Measuring);
        // Before that, the server would have refused them.
        let held_at = world.network.borrow().now + HELD_AFTER;
        world.run_while(|world| world.network.borrow().now < held_at);
        // The last ACK of a handshake may be lost: that connection is not established for the server.
        let established = world.wires.borrow().server.established() as u64;
        world.end_all(ending);
        let (config, result) = world.finish();
        let idle = u64::from(config.idle);
        let (fin, reset) = match ending {
            Ending::Fin => (established, 0),
            Ending::Reset => (0, established),
            Ending::Restart => (0, idle),
        };
        let expected = Lost {
            fin,
            reset,
            ..Lost::default()
        };
        assert_eq!(
            result.connections.lost_by, expected,
            "{ending:?}: {result:#?}"
        );
        assert_eq!(result.connections.lost, fin + reset);
        let probe = &result.probe;
        assert_eq!((probe.asked, probe.dead), (idle, fin + reset));
        assert_eq!(
            result.echo.unanswered, 0,
            "the active connections notice nothing"
        );
        result
    });
}

#[test]
fn userspace_connections_beyond_the_sockets_of_a_server_are_refused() {
    for_each_seed(|mut rng| {
        let sockets = rng.index(20);
        let (config, result) = World::new(&mut rng, Some(sockets)).finish();
        let held = (config.idle as usize).min(sockets) as u64;
        let refused = u64::from(config.idle) - held;
        assert_eq!(result.connections.failed.refused, refused, "{result:#?}");
        assert_eq!(result.connections.failed.total(), refused);
        assert_eq!((result.probe.asked, result.probe.alive), (held, held));
        result
    });
}

#[test]
fn packets_are_read_until_none_is_left() {
    let mut world = World::new(&mut Rng::new(7), None);
    world.run_while(|world| world.stage.get() < Stage::Measuring);
    // More than one iteration reads, and no further event comes for them.
    for _ in 0..5_000 {
        world.wires.borrow_mut().arrived.push_back(vec![0; 40]);
    }
    world.network.borrow_mut().notify_packet(CLIENTS);
    let before = world.network.borrow().now;
    world.run_while(|world| !world.wires.borrow().arrived.is_empty());
    let took = world.network.borrow().now - before;
    assert!(took < 50 * MILLISECOND, "{took}");
}
