//! The probes of the load tester, in virtual time: to a server that hangs, to a slow server, and to one that replies late.

use crate::faults::Faults;
use crate::load::{advance, wake_if_due};
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use echoloop::load::{Config, Load, LoadResult, Observer, Progress, Script, Stage, WallTime};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
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

fn script_of(text: &str) -> Script {
    let script = Script::parse("probes", text, |_| Err(ErrorKind::NotFound.into()));
    script.unwrap().resolve(0, "target").unwrap()
}

/// Runs a load test against a server that, once probing has begun, runs one iteration every `every` nanoseconds; `None`:
/// none. Returns the result, and how long probing lasted.
fn probe(faults: Faults, every: Option<u64>) -> (LoadResult, Duration) {
    probe_with(None, faults, every)
}

/// As [`probe`], with the messages of this script instead of the pattern.
fn probe_with(script: Option<&str>, faults: Faults, every: Option<u64>) -> (LoadResult, Duration) {
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
        connect_timeout: TIMEOUT,
        script: script.map(|text| Arc::new(script_of(text))),
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

#[test]
fn late_right_replies_to_probes_are_not_wrong() {
    // The line of a connection differs from that of any other.
    let lines = "[message]\nsend = \"{connection}-{sequence}\\n\"\n\
        expect = { line = true, equals = \"{connection}-{sequence}\" }\n";
    for script in [None, Some(lines)] {
        // By then the probes of the initial window have expired, and the later ones have not.
        let every = 1_002 * MILLISECOND;
        let (result, _) = probe_with(script, Faults::default(), Some(every));
        let probe = &result.probe;
        let counts = (probe.asked, probe.dead, probe.alive, probe.mismatched);
        let window = 256;
        let idle = u64::from(IDLE);
        assert_eq!(counts, (idle, window, idle - window, 0), "{result:#?}");
        let is_of_wrong = |warning: &&String| warning.to_lowercase().contains("wrong");
        let wrong = result.warnings.iter().find(is_of_wrong);
        assert_eq!(wrong, None, "with script {script:?}");
    }
}
