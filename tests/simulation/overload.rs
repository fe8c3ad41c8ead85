//! The load tester on servers that cannot keep up, in virtual time: what it reports is what happened on the network.

use crate::faults::Faults;
use crate::load::{advance, wake_if_due};
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::sim_net::{SimNet, address};
use echoloop::load::{Config, Load, LoadResult, Observer, Progress, Stage, WallTime, Warning};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// How many servers and schedules are drawn.
const SEEDS: u64 = 40;

/// The duration of an iteration of the load tester.
const ITERATION_TIME: u64 = MILLISECOND / 20;

/// Records the stage of a load test.
struct StageWatch(Rc<Cell<Stage>>);

impl Observer for StageWatch {
    fn on_progress(&mut self, progress: Progress) {
        self.0.set(progress.stage);
    }
}

/// When the server runs an iteration, once the measurement has begun.
#[derive(Clone, Copy, Debug)]
struct Service {
    /// The nanoseconds between two iterations; each serves as many connections as the batch of the network.
    every: u64,
    /// It runs none from this time after the warm-up began, for this long.
    stall: Option<(u64, u64)>,
}

impl Service {
    /// The first iteration after `now`; all times are since the warm-up began.
    fn after(self, now: u64) -> u64 {
        let next = now + self.every;
        match self.stall {
            Some((from, length)) if (from..from + length).contains(&next) => from + length,
            _ => next,
        }
    }
}

/// Messages that the clients have written completely, and replies that they have read completely.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    written: u64,
    read: u64,
}

fn count(network: &SharedNetwork, size: u64) -> Counted {
    let network = network.borrow();
    let clients = network.sockets.iter();
    let clients = clients.filter(|socket| !socket.is_server_side);
    clients.fold(Counted::default(), |sum, socket| Counted {
        written: sum.written + socket.written / size,
        read: sum.read + socket.read / size,
    })
}

/// What happened on the network.
#[derive(Clone, Copy, Debug)]
struct Actual {
    at_warmup: Counted,
    at_start: Counted,
    at_end: Counted,
    after_drain: Counted,
}

/// Runs a load test on a server that, after all connections are established, serves only `batch` connections at a time.
fn run(config: &Config, batch: usize, service: Service) -> (LoadResult, Actual) {
    let faults = Faults {
        batch,
        // A batch may hold any of the connections, so that none is starved.
        shuffle: true,
        ..Faults::default()
    };
    let network: SharedNetwork = Rc::new(RefCell::new(Network::new(Rng::new(7), faults, false)));
    let net = |host| SimNet::<true> {
        network: network.clone(),
        host,
    };
    let mut server = Server::new(net(SERVER), Raw, server::Config::default());
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let stage = Rc::new(Cell::new(Stage::Connecting));
    let mut load = Load::new(net(CLIENTS), config.clone(), StageWatch(Rc::clone(&stage)));
    while stage.get() == Stage::Connecting {
        if wake_if_due(&network, SERVER) {
            server.run_iteration().unwrap();
        }
        if wake_if_due(&network, CLIENTS) {
            load.run_iteration().unwrap();
        }
        if stage.get() == Stage::Connecting {
            advance(&network, u64::MAX);
        }
    }
    let size = config.size as u64;
    let origin = network.borrow().now;
    let start = origin + config.warmup.as_nanos() as u64;
    let end = start + config.duration.as_nanos() as u64;
    let mut next = origin + service.after(0);
    let at_warmup = count(&network, size);
    let mut actual = Actual {
        at_warmup,
        at_start: at_warmup,
        at_end: at_warmup,
        after_drain: at_warmup,
    };
    while !load.is_done() {
        let now = network.borrow().now;
        if next <= now {
            server.run_iteration().unwrap();
            next = origin + service.after(next - origin);
        }
        if wake_if_due(&network, CLIENTS) {
            load.run_iteration().unwrap();
            let counted = count(&network, size);
            if now < start {
                actual.at_start = counted;
            }
            if now < end {
                actual.at_end = counted;
            }
            // Without idle connections, the load ends when it stops waiting for replies.
            actual.after_drain = counted;
        }
        sleep(&network, next);
    }
    let mut saved = load.to_saved(WallTime::default());
    load.close(&mut saved);
    (saved.result, actual)
}

/// Advances time until the load tester wakes or the server runs next.
fn sleep(network: &SharedNetwork, next: u64) {
    let mut network = network.borrow_mut();
    network.now += ITERATION_TIME;
    if let Some(until) = network.hosts[CLIENTS].asleep_until
        && !network.is_anything_ready(CLIENTS)
    {
        network.now = network.now.max(until.min(next));
    }
}

/// The messages due before `end`, counted from the beginning of the warm-up.
fn due_before(rate: f64, end: Duration) -> u64 {
    let due = (0_u64..).map(|index| (index as f64 * 1e9 / rate).round() as u128);
    due.take_while(|due| *due < end.as_nanos()).count() as u64
}

fn check(config: &Config, result: &LoadResult, actual: &Actual) {
    let echo = &result.echo;
    let rate = config.rate.unwrap();
    let before = due_before(rate, config.warmup);
    let due = due_before(rate, config.warmup + config.duration);
    assert_eq!(echo.due, due - before, "due");
    let sent = actual.at_end.written - actual.at_start.written;
    assert_eq!(echo.sent, sent, "sent");
    let received = actual.at_end.read - actual.at_start.read;
    assert_eq!(echo.received, received, "received");
    let answered = actual.at_end.read - actual.at_warmup.read;
    assert_eq!(echo.outstanding, due - answered, "outstanding");
    let answered = actual.after_drain.read - actual.at_warmup.read;
    assert_eq!(echo.unanswered, due - answered, "unanswered");
    assert_eq!(echo.mismatched, 0);
    let per_second = received as f64 / config.duration.as_secs_f64();
    assert!((echo.per_second - per_second).abs() < 1e-6, "rate");
    let in_intervals: u64 = result.intervals.iter().map(|one| one.echoes).sum();
    assert_eq!(in_intervals, received, "intervals");
    let asked: u64 = result.intervals.iter().map(|one| one.asked).sum();
    assert_eq!(asked, echo.due, "due by interval");
    let times = echo.response_time_us.count;
    assert_eq!(
        times,
        received + echo.outstanding,
        "each message has a time"
    );
    assert_eq!(echo.response_time_lower_bounds.count, echo.unanswered);
}

/// Connections, and a server that serves `batch` of them each `every`.
fn draw(rng: &mut Rng) -> (Config, usize, u64) {
    let batch = 1 + rng.index(4);
    let config = Config {
        active: u32::try_from(batch).unwrap() + u32::try_from(rng.index(8)).unwrap(),
        size: 1 + rng.index(300),
        pipeline: 1 + rng.index(3),
        duration: Duration::from_millis(rng.between(300, 1500)),
        warmup: Duration::from_millis(if rng.chance(500) {
            0
        } else {
            rng.between(1, 900)
        }),
        window: Some(16),
        ..Config::new(address(1))
    };
    (config, batch, rng.between(2, 20) * MILLISECOND)
}

#[test]
fn figures_of_an_overloaded_server_are_those_of_the_network() {
    let mut unanswered = 0;
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let (mut config, batch, every) = draw(&mut rng);
        let capacity = (batch * config.pipeline) as f64 * 1e9 / every as f64;
        let factor = [1.5, 3.0, 10.0][rng.index(3)];
        config.rate = Some((capacity * factor).ceil());
        println!("{config:#?}, {batch} each {every} ns, {factor} times its capacity");
        let service = Service { every, stall: None };
        let (result, actual) = run(&config, batch, service);
        println!("{result:#?}");
        check(&config, &result, &actual);
        let first = &result.warning_details[0];
        let is_overload = matches!(first, Warning::ServerOverloaded(..));
        assert!(is_overload, "{:#?}", result.warnings);
        assert!(!result.generator.saturated);
        assert_eq!(result.echo.missing, 0, "every connection replies");
        // At capacity, but for the iterations at both ends and the batches that the draw leaves incomplete.
        let reached = result.echo.per_second / capacity;
        assert!((0.5..1.1).contains(&reached), "{reached}");
        unanswered += result.echo.unanswered;
    }
    assert!(unanswered > 0, "some backlog outlasts the wait");
}

#[test]
fn figures_below_capacity_are_those_of_the_network() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let (mut config, batch, every) = draw(&mut rng);
        let capacity = batch as f64 * 1e9 / every as f64;
        config.rate = Some((capacity / 3.0).ceil());
        let service = Service { every, stall: None };
        let (result, actual) = run(&config, batch, service);
        check(&config, &result, &actual);
        assert_eq!(result.echo.unanswered, 0, "{result:#?}");
        assert!(!result.generator.saturated, "{result:#?}");
    }
}

#[test]
fn stall_of_500_ms_shows_at_every_rate() {
    let stall = (800 * MILLISECOND, 500 * MILLISECOND);
    for rate in [20.0, 200.0, 2_000.0, 20_000.0] {
        let config = Config {
            active: 8,
            rate: Some(rate),
            duration: Duration::from_secs(2),
            warmup: Duration::from_millis(300),
            window: Some(16),
            ..Config::new(address(1))
        };
        let service = Service {
            every: MILLISECOND / 4,
            stall: Some(stall),
        };
        let (result, actual) = run(&config, 8, service);
        check(&config, &result, &actual);
        let p99_9 = result.echo.response_time_us.p99_9;
        assert!(p99_9 >= 450_000, "{rate}: {result:#?}");
    }
}
