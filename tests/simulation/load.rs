//! The real load tester against the real server, in virtual time. The faults delay, split and repeat events, but lose
//! neither bytes nor connections, so the load tester must report what happened and no failure.

use crate::faults::Faults;
use crate::handshake::BACKLOG;
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use echoloop::load::{Config, Load, LoadResult, Observer, SynTimers, WallTime};
use echoloop::net::{AcceptQueue, ListenOptions};
use echoloop::protocol::Raw;
use echoloop::server::{self, Server};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 20;

/// The iterations after which a run counts as endless.
const MAX_ITERATIONS: u64 = 1_000_000;

/// The duration of an iteration of either program: without it, time would not pass in a closed loop.
const ITERATION_TIME: u64 = MILLISECOND / 20;

/// The most nanoseconds between the answer to a connection attempt and the time the load tester measures.
const LATENESS: i64 = 100 * MILLISECOND as i64;

/// Send buffers accept at least an eighth of this many bytes at once.
const STEP: usize = 8_192;

/// Draws faults that delay and split, and lose nothing.
pub fn delay_faults(rng: &mut Rng) -> Faults {
    Faults {
        accept_aborted: 0,
        connect_fails: 0,
        connect_refused: 0,
        connect_lost: 0,
        fds_exhausted: 0,
        epoll_add_fails: 0,
        buffer_alloc_fails: 0,
        queue_alloc_fails: 0,
        source_alloc_fails: 0,
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
        window: rng
            .chance(300)
            .then(|| u32::try_from(rng.between(1, BACKLOG as u64)).unwrap()),
        // Longer than any delay of a connection attempt.
        connect_timeout: Duration::from_secs(60),
        ..Config::new(address(1))
    }
}

/// Reads the server's accept queue, if it is visible.
struct QueueObserver {
    network: SharedNetwork,
    is_visible: bool,
}

impl Observer for QueueObserver {
    fn accept_queue(&mut self) -> Option<AcceptQueue> {
        let network = self.network.borrow();
        let length = u32::try_from(network.listeners[0].queue.len()).unwrap();
        let backlog = u32::try_from(BACKLOG).unwrap() - 1;
        let queue = AcceptQueue::new(length, backlog);
        self.is_visible.then_some(queue)
    }
}

/// The result of a run.
#[derive(Debug)]
struct Outcome {
    config: Config,
    result: LoadResult,
    connect_times: Vec<u64>,
    /// The accept queue was visible to the load tester.
    is_visible: bool,
    dropped_syns: u64,
    /// Waits may be interrupted: an event may then be older than the load tester measures.
    is_interrupted: bool,
    digest: u64,
}

/// A run of both programs.
fn run<const DRAINS: bool>(mut rng: Rng) -> Outcome {
    let config = draw_config(&mut rng);
    let mut faults = delay_faults(&mut rng);
    let kernel = Kernel::draw(&rng, STEP, &mut faults);
    let is_interrupted = faults.wait_interrupted > 0;
    let mut network = Network::new(rng.clone(), faults, !DRAINS);
    network.kernel = kernel;
    let network: SharedNetwork = Rc::new(RefCell::new(network));
    let net = |host| SimNet::<DRAINS> {
        network: network.clone(),
        host,
    };
    let mut server = Server::new(net(SERVER), Raw, server::Config::default());
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let is_visible = rng.chance(700);
    let observer = QueueObserver {
        network: network.clone(),
        is_visible,
    };
    let load = Load::new(net(CLIENTS), config.clone(), observer);
    let result = run_to_the_end(&network, &mut server, load);
    let connect_times = network.borrow().connect_times.clone();
    let dropped_syns = network.borrow().dropped_syns;
    let digest = network.borrow().digest();
    Outcome {
        config,
        result,
        connect_times,
        is_visible,
        dropped_syns,
        is_interrupted,
        digest,
    }
}

/// Runs iterations of both programs and advances the clock until the load test is done. Returns its result.
pub fn run_to_the_end<const DRAINS: bool, S: Observer>(
    network: &SharedNetwork,
    server: &mut Server<SimNet<DRAINS>, Raw>,
    mut load: Load<SimNet<DRAINS>, S>,
) -> LoadResult {
    let mut iterations = 0;
    while !load.is_done() {
        iterations += 1;
        assert!(iterations < MAX_ITERATIONS, "the run does not end");
        if wake_if_due(network, SERVER) {
            server.run_iteration().unwrap();
        }
        if wake_if_due(network, CLIENTS) {
            load.run_iteration().unwrap();
        }
        advance(network, u64::MAX);
    }
    let mut saved = load.to_saved(WallTime::default());
    load.close(&mut saved);
    saved.result
}

/// All connections were established and held, all messages and probes answered correctly.
pub fn check_no_failure(config: &Config, result: &LoadResult) {
    let requested = u64::from(config.connections());
    let (connections, echo, probe) = (&result.connections, &result.echo, &result.probe);
    let established = (connections.asked, connections.opened);
    assert_eq!(established, (requested, requested), "{result:#?}");
    let failed = (connections.lost, connections.failed.total());
    assert_eq!(failed, (0, 0), "{result:#?}");
    let unanswered = (echo.mismatched, echo.unanswered, echo.missing);
    assert_eq!(unanswered, (0, 0, 0), "{result:#?}");
    let idle = u64::from(config.idle);
    assert_eq!((probe.asked, probe.alive), (idle, idle), "{result:#?}");
    // Each type of warning about a wrong reply is written so or in capitals.
    let mut warnings = result.warnings.iter().map(|text| text.to_lowercase());
    assert_eq!(warnings.find(|text| text.contains("wrong")), None);
}

/// Whether a program is to run: its wait has timed out, or something is ready. If so, its sleep ends.
pub fn wake_if_due(network: &SharedNetwork, host: usize) -> bool {
    let mut network = network.borrow_mut();
    let asleep = network.hosts[host].asleep_until;
    let is_awake =
        asleep.is_none_or(|until| until <= network.now) || network.is_anything_ready(host);
    if is_awake {
        network.hosts[host].asleep_until = None;
    }
    is_awake
}

/// Advances the clock by one iteration or, if both programs sleep, to the next wake-up, but not beyond `until`.
pub fn advance(network: &SharedNetwork, until: u64) {
    let mut network = network.borrow_mut();
    network.now += ITERATION_TIME;
    if !network.is_anything_ready(SERVER) && !network.is_anything_ready(CLIENTS) {
        let sleeps = [SERVER, CLIENTS].map(|host| network.hosts[host].asleep_until);
        if let [Some(one), Some(other)] = sleeps {
            let answer = network.next_answer().unwrap_or(u64::MAX);
            network.now = network.now.max(one.min(other).min(answer).min(until));
        }
    }
    network.complete_handshakes();
}

/// The number of messages due in the measured part of the schedule.
fn scheduled_messages(config: &Config) -> Option<u64> {
    let nanoseconds_each = 1e9 / config.rate?;
    let (warmup, duration) = (
        config.warmup.as_nanos() as u64,
        config.duration.as_nanos() as u64,
    );
    let due = (0..).map(|index: u64| (index as f64 * nanoseconds_each).round() as u64);
    let before_end = due.take_while(|due| *due < warmup + duration);
    Some(before_end.filter(|due| *due >= warmup).count() as u64)
}

/// The SYN retransmits implied by connect times, after `shift` nanoseconds are added to each.
fn syn_retransmits(connect_times: &[u64], shift: i64) -> u64 {
    let shifted = connect_times
        .iter()
        .map(|time| time.saturating_add_signed(shift));
    let timers = SynTimers::default();
    shifted
        .map(|time| timers.retransmits(Duration::from_nanos(time)))
        .sum()
}

/// The most messages that can be outstanding when the measured part begins.
fn in_flight_before(config: &Config) -> u64 {
    let in_flight = u64::from(config.active) * config.pipeline as u64;
    let due = config
        .rate
        .map_or(0.0, |rate| rate * config.warmup.as_secs_f64());
    in_flight + due.ceil() as u64
}

fn check(outcome: &Outcome) {
    let Outcome { config, result, .. } = outcome;
    check_no_failure(config, result);
    let echo = &result.echo;
    assert!(echo.received <= echo.due + in_flight_before(config));
    // All are answered: in the measured part, or while the load waits after it.
    let answered = echo.received + echo.outstanding;
    assert_eq!(echo.response_time_us.count, answered);
    assert_eq!(echo.service_time_us.count, answered);
    assert_eq!(echo.response_time_lower_bounds.count, 0);
    if config.active > 0
        && let Some(expected) = scheduled_messages(config)
    {
        assert_eq!(echo.due, expected, "every scheduled message is due");
        assert_eq!(result.generator.lag_us.count, expected);
        assert!(echo.response_time_us.max >= echo.service_time_us.max);
    }
    let in_time: u64 = result
        .intervals
        .iter()
        .map(|interval| interval.echoes)
        .sum();
    assert_eq!(in_time, echo.received);
    let fewest = match outcome.is_interrupted {
        true => 0,
        false => syn_retransmits(&outcome.connect_times, -LATENESS),
    };
    let most = syn_retransmits(&outcome.connect_times, LATENESS);
    let counted = result.connect.retransmitted;
    assert!(
        (fewest..=most).contains(&counted),
        "{counted} SYN retransmits, expected {fewest} to {most}"
    );
    if outcome.is_visible {
        assert_eq!(outcome.dropped_syns, 0, "the accept queue overflowed");
    }
}

#[test]
fn load_on_a_correct_server_reports_no_failure() {
    // As in the other suites, ECHOLOOP_SIM_SEEDS sets the number of seeds.
    let seeds = crate::seeds::variable("ECHOLOOP_SIM_SEEDS").unwrap_or(SEEDS);
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
