//! The probes of a load, in virtual time: to a server that hangs, and to one that is slow.

use crate::faults::Faults;
use crate::load::{advance, wake_if_due};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use crate::world::{MILLISECOND, SharedWorld, World};
use echoloop::load::{Config, Load, LoadResult, Observer, Progress, Stage, WallTime};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Far more than the probes that are in flight at first.
const IDLE: u32 = 600;

const TIMEOUT: Duration = Duration::from_secs(1);

/// Shows the stage of a load.
struct StageWatch(Rc<Cell<Stage>>);

impl Observer for StageWatch {
    fn on_progress(&mut self, progress: Progress) {
        self.0.set(progress.stage);
    }
}

/// Runs a load against a server that runs one iteration in `every` nanoseconds once probing has begun, and none without.
/// Returns the result, and how long the probing took.
fn probe(faults: Faults, every: Option<u64>) -> (LoadResult, Duration) {
    let world: SharedWorld = Rc::new(RefCell::new(World::new(Rng::new(7), faults, false)));
    let net = |host| SimNet::<true> {
        world: world.clone(),
        host,
    };
    let mut server = Server::new(net(SERVER), Raw, server::Config::default());
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let config = Config {
        idle: IDLE,
        active: 0,
        duration: Duration::from_millis(10),
        warmup: Duration::ZERO,
        window: 16,
        connect_timeout: TIMEOUT,
        ..Config::new(address(1))
    };
    let stage = Rc::new(Cell::new(Stage::Connecting));
    let mut load = Load::new(net(CLIENTS), config, StageWatch(Rc::clone(&stage)));
    while stage.get() != Stage::Probing {
        if wake_if_due(&world, SERVER) {
            server.turn().unwrap();
        }
        if wake_if_due(&world, CLIENTS) {
            load.run_iteration().unwrap();
        }
        advance(&world, u64::MAX);
    }
    let began = world.borrow().now;
    let mut served_at = every.map_or(u64::MAX, |every| began + every);
    while !load.is_done() {
        if served_at <= world.borrow().now {
            served_at += every.unwrap();
            server.turn().unwrap();
        }
        if wake_if_due(&world, CLIENTS) {
            load.run_iteration().unwrap();
        }
        sleep(&world, served_at);
    }
    let took = world.borrow().now - began;
    let mut saved = load.to_saved(WallTime::default());
    load.close(&mut saved);
    let result = saved.result;
    (result, Duration::from_nanos(took))
}

/// Time goes on to when the load wakes or the server runs again.
fn sleep(world: &SharedWorld, served_at: u64) {
    let mut world = world.borrow_mut();
    world.now += MILLISECOND / 20;
    if let Some(until) = world.hosts[CLIENTS].asleep_until
        && !world.is_anything_ready(CLIENTS)
    {
        world.now = world.now.max(until.min(served_at));
    }
}

#[test]
fn probes_to_a_hung_server_all_fail_within_a_timeout() {
    let (result, took) = probe(Faults::default(), None);
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.dead), (IDLE.into(), IDLE.into()));
    assert!(took >= TIMEOUT, "{took:?}");
    assert!(took < TIMEOUT + TIMEOUT / 10, "{took:?}");
    assert_eq!(result.connections.lost, 0);
}

#[test]
fn probes_to_a_slow_server_all_succeed_beyond_a_timeout() {
    let faults = Faults {
        batch: 4,
        ..Faults::default()
    };
    // Four replies at most, then nothing for two thirds of a timeout.
    let (result, took) = probe(faults, Some(660 * MILLISECOND));
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.alive), (IDLE.into(), IDLE.into()));
    assert!(took > 50 * TIMEOUT, "it was slow: {took:?}");
}
