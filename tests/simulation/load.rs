//! The load tester against the server, both as they are, in virtual time: what it reports is what happened, whatever
//! comes late, in pieces or twice. No fault here loses a byte or a connection, so it must find nothing wrong.

use crate::faults::Faults;
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use crate::world::{MILLISECOND, SharedWorld, World};
use echoloop::load::{Config, Load, LoadResult, SynTimers, WallTime};
use echoloop::net::ListenOptions;
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 20;

/// Turns after which a run has gone wrong: it would never end.
const MOST_TURNS: u64 = 1_000_000;

/// How long a turn of either program takes, so that a closed loop does not stand still in time.
const TURN: u64 = MILLISECOND / 20;

/// By how many nanoseconds at most a load sees its connects later or earlier than they are answered.
const LATENESS: i64 = 100 * MILLISECOND as i64;

/// Send buffers in the kernel take at least an eighth of this at once.
const STEP: usize = 8_192;

/// Faults that delay and cut, and lose nothing.
pub fn delays(rng: &mut Rng) -> Faults {
    Faults {
        accept_aborted: 0,
        connect_fails: 0,
        connect_refused: 0,
        connect_lost: 0,
        exhausted: 0,
        watch_refused: 0,
        memory_refused: 0,
        places_refused: 0,
        sources_refused: 0,
        clock_jump: 0,
        ..Faults::draw(rng)
    }
}

fn draw_config(rng: &mut Rng) -> Config {
    let number = |rng: &mut Rng, most| u32::try_from(rng.magnitude(most)).unwrap();
    let active = number(rng, 12);
    Config {
        idle: if active == 0 {
            1 + number(rng, 60)
        } else {
            number(rng, 60)
        },
        active,
        rate: rng.chance(600).then(|| rng.between(1, 2000) as f64),
        size: usize::try_from(rng.magnitude(1500)).unwrap().max(1),
        pipeline: usize::try_from(rng.magnitude(8)).unwrap().max(1),
        duration: Duration::from_millis(rng.between(1, 1500)),
        warmup: Duration::from_millis(rng.magnitude(500)),
        ramp: rng.chance(300).then(|| rng.between(1, 500) as f64),
        // The queue of this world holds as many: one more would be refused.
        window: 16,
        // Longer than a connect may be late here.
        connect_timeout: Duration::from_secs(60),
        ..Config::new(address(1))
    }
}

/// What came of a run.
#[derive(Debug)]
struct Outcome {
    config: Config,
    result: LoadResult,
    connect_times: Vec<u64>,
    /// Waits were interrupted, after which an event may be older than the load knows.
    is_interrupted: bool,
    digest: u64,
}

/// Runs both programs in turn, while time goes on, until the load is done.
fn run<const DRAINS: bool>(mut rng: Rng) -> Outcome {
    let config = draw_config(&mut rng);
    let mut faults = delays(&mut rng);
    let kernel = Kernel::draw(&rng, STEP, &mut faults);
    let is_interrupted = faults.wait_interrupted > 0;
    let mut world = World::new(rng.clone(), faults, !DRAINS);
    world.kernel = kernel;
    let world: SharedWorld = Rc::new(RefCell::new(world));
    let net = |host| SimNet::<DRAINS> {
        world: world.clone(),
        host,
    };
    let mut server = Server::new(net(SERVER), Raw, server::Config::default());
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let mut load = Load::new(net(CLIENTS), config.clone(), ());
    let mut turns = 0;
    while !load.is_done() {
        turns += 1;
        assert!(turns < MOST_TURNS, "it does not come to an end: {config:?}");
        if takes_its_turn(&world, SERVER) {
            server.turn().unwrap();
        }
        if takes_its_turn(&world, CLIENTS) {
            load.run_iteration().unwrap();
        }
        advance(&world, u64::MAX);
    }
    let mut saved = load.to_saved(WallTime::default());
    load.close(&mut saved);
    let result = saved.result;
    let connect_times = world.borrow().connect_times.clone();
    let digest = world.borrow().digest();
    Outcome {
        config,
        result,
        connect_times,
        is_interrupted,
        digest,
    }
}

pub fn takes_its_turn(world: &SharedWorld, host: usize) -> bool {
    let mut world = world.borrow_mut();
    let asleep = world.hosts[host].asleep_until;
    let is_awake = asleep.is_none_or(|until| until <= world.now) || world.is_anything_ready(host);
    if is_awake {
        world.hosts[host].asleep_until = None;
    }
    is_awake
}

/// A turn takes its time; where both sleep, time goes on to the first who wakes, and at most until then.
pub fn advance(world: &SharedWorld, until: u64) {
    let mut world = world.borrow_mut();
    world.now += TURN;
    if !world.is_anything_ready(SERVER) && !world.is_anything_ready(CLIENTS) {
        let sleeps = [SERVER, CLIENTS].map(|host| world.hosts[host].asleep_until);
        if let [Some(one), Some(other)] = sleeps {
            let answer = world.next_answer().unwrap_or(u64::MAX);
            world.now = world.now.max(one.min(other).min(answer).min(until));
        }
    }
    world.shake_hands();
}

/// How many messages a schedule has in the measured part: those due in it.
fn on_schedule(config: &Config) -> Option<u64> {
    let nanoseconds_each = 1e9 / config.rate?;
    let (warmup, duration) = (
        config.warmup.as_nanos() as u64,
        config.duration.as_nanos() as u64,
    );
    let due = (0..).map(|index: u64| (index as f64 * nanoseconds_each).round() as u64);
    let before_the_end = due.take_while(|due| *due < warmup + duration);
    Some(before_the_end.filter(|due| *due >= warmup).count() as u64)
}

/// SYN retransmits that connects of these lengths imply, each shorter or longer than it was by a little.
fn syn_retransmits(connect_times: &[u64], moved: i64) -> u64 {
    let moved = connect_times
        .iter()
        .map(|time| time.saturating_add_signed(moved));
    let timers = SynTimers::default();
    moved
        .map(|time| timers.retransmits(Duration::from_nanos(time)))
        .sum()
}

fn check(outcome: &Outcome) {
    let Outcome { config, result, .. } = outcome;
    let asked = u64::from(config.connections());
    assert_eq!(
        (result.connections.asked, result.connections.opened),
        (asked, asked)
    );
    assert_eq!(
        (result.connections.lost, result.connections.failed.total()),
        (0, 0)
    );
    let echo = &result.echo;
    assert_eq!((echo.mismatched, echo.unanswered), (0, 0));
    assert_eq!(echo.received, echo.sent);
    assert_eq!(echo.response_time_us.count, echo.received);
    assert_eq!(echo.service_time_us.count, echo.received);
    if config.active > 0
        && let Some(expected) = on_schedule(config)
    {
        assert_eq!(echo.sent, expected, "the schedule is kept to the message");
        assert_eq!(result.generator.lag_us.count, expected);
        assert!(echo.response_time_us.max >= echo.service_time_us.max);
    }
    let in_time: u64 = result
        .intervals
        .iter()
        .map(|interval| interval.echoes)
        .sum();
    assert!(in_time <= echo.received);
    let fewest = match outcome.is_interrupted {
        true => 0,
        false => syn_retransmits(&outcome.connect_times, -LATENESS),
    };
    let most = syn_retransmits(&outcome.connect_times, LATENESS);
    let counted = result.connect.retransmitted;
    assert!(
        (fewest..=most).contains(&counted),
        "{fewest} to {most}: {counted}"
    );
    let idle = u64::from(config.idle);
    assert_eq!((result.probe.asked, result.probe.alive), (idle, idle));
}

#[test]
fn a_load_finds_nothing_wrong_with_an_honest_server_in_whatever_pieces_its_answers_come() {
    // As with the other simulation, more of them are run by asking.
    let seeds = crate::variable("ECHOLOOP_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let run = |seed| {
            let mut rng = Rng::new(seed);
            if rng.chance(500) {
                run::<true>(rng)
            } else {
                run::<false>(rng)
            }
        };
        println!("seed {seed}");
        let outcome = run(seed);
        println!("{outcome:#?}");
        check(&outcome);
        let again = run(seed);
        assert_eq!(
            (outcome.result, outcome.digest),
            (again.result, again.digest),
            "seed {seed} is not deterministic"
        );
    }
}
