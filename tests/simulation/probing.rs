//! The probes of the load tester, in virtual time: to a server that hangs, and to a slow server.

use crate::faults::Faults;
use crate::load::{advance, wake_if_due};
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use echoloop::load::{Config, Load, LoadResult, Observer, Progress, Stage, WallTime};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Far more idle connections than initial probes in flight.
const IDLE: u32 = 600;

const TIMEOUT: Duration = Duration::from_secs(1);

/// Records the stage of a load test.
struct StageWatch(Rc<Cell<Stage>>);

impl Observer for StageWatch {
    fn on_progress(&mut self, progress: Progress) {
        self.0.set(progress.stage);
    }
}

/// Runs a load test against a server that, once probing has begun, runs one iteration every `every` nanoseconds; `None`:
/// none. Returns the result, and how long probing duration.
fn probe(faults: Faults, every: Option<u64>) -> (LoadResult, Duration) {
    let network: SharedNetwork = Rc::new(RefCell::new(Network::new(Rng::new(7), faults, false)));
    let net = |host| SimNet::<true> {
        network: network.clone(),
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
        if wake_if_due(&network, SERVER) {
            server.run_iteration().unwrap();
        }
        if wake_if_due(&network, CLIENTS) {
            load.run_iteration().unwrap();
        }
        advance(&network, u64::MAX);
    }
    let started_at = network.borrow().now;
    let mut next_iteration_at = every.map_or(u64::MAX, |every| started_at + every);
    while !load.is_done() {
        if next_iteration_at <= network.borrow().now {
            next_iteration_at += every.unwrap();
            server.run_iteration().unwrap();
        }
        if wake_if_due(&network, CLIENTS) {
            load.run_iteration().unwrap();
        }
        sleep(&network, next_iteration_at);
    }
    let duration = network.borrow().now - started_at;
    let mut saved = load.to_saved(WallTime::default());
    load.close(&mut saved);
    let result = saved.result;
    (result, Duration::from_nanos(duration))
}

/// Advances time until the load tester wakes or the server runs next.
fn sleep(network: &SharedNetwork, next_iteration_at: u64) {
    let mut network = network.borrow_mut();
    network.now += MILLISECOND / 20;
    if let Some(until) = network.hosts[CLIENTS].asleep_until
        && !network.is_anything_ready(CLIENTS)
    {
        network.now = network.now.max(until.min(next_iteration_at));
    }
}

#[test]
fn all_probes_to_a_hung_server_fail_within_a_timeout() {
    let (result, duration) = probe(Faults::default(), None);
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.dead), (IDLE.into(), IDLE.into()));
    assert!(duration >= TIMEOUT, "{duration:?}");
    assert!(duration < TIMEOUT + TIMEOUT / 10, "{duration:?}");
    assert_eq!(result.connections.lost, 0);
}

#[test]
fn all_probes_to_a_slow_server_succeed_beyond_a_timeout() {
    let faults = Faults {
        batch: 4,
        ..Faults::default()
    };
    // Four replies at most, then nothing for two thirds of a timeout.
    let (result, duration) = probe(faults, Some(660 * MILLISECOND));
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.alive), (IDLE.into(), IDLE.into()));
    assert!(
        duration > 50 * TIMEOUT,
        "the server was not slow: {duration:?}"
    );
}
