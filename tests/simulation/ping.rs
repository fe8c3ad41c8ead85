//! The real `ping` client against the real server, in virtual time, with a standard output that may be slow or closed.
//!
//! The report must match what happened. No fault here loses a byte, so no echo is mismatched, and an echo is lost only
//! by its timeout.

use crate::load::{advance, delay_faults, wake_if_due};
use crate::network::{MILLISECOND, Network, SharedNetwork};
use crate::rng::Rng;
use crate::seeds::run_most;
use crate::selector::{CLIENTS, SERVER};
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use crate::sim_stdout::SimStdout;
use crate::stdio::WithStdio;
use echoloop::client::{Failure, PingConfig, PingReport, Pinger, Style, Target};
use echoloop::net::{ListenOptions, Signal};
use echoloop::protocol::Raw;
use echoloop::server::{Config, Server};
use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

/// Number of seeds without `ECHOLOOP_SIM_SEEDS`.
const SEEDS: u64 = 100;

/// Iterations after which a run counts as endless.
const MAX_ITERATIONS: u64 = 300_000;

/// A timeout that no delay of a run exceeds.
const UNLIMITED: Duration = Duration::from_secs(100_000);

/// The outcome of a run.
struct Outcome {
    config: PingConfig,
    /// `None` if a signal arrived before the connection was established.
    report: Option<PingReport>,
    printed: String,
    /// When a signal was sent, and how long the run took.
    signal_at: Option<u64>,
    duration: u64,
    /// Standard output was closed, and a write has failed.
    output_closed: bool,
    digest: u64,
}

fn draw_config(rng: &mut Rng, is_unlimited: bool) -> PingConfig {
    PingConfig {
        target: Target {
            name: "simulated".to_owned(),
            addresses: vec![address(1)],
            local: None,
            connect_timeout: None,
        },
        count: rng.chance(800).then(|| rng.between(1, 40)),
        interval: Duration::from_micros(rng.magnitude(1_000_000).max(2_000)),
        size: usize::try_from(rng.magnitude(3_000)).unwrap().max(1),
        timeout: if is_unlimited {
            UNLIMITED
        } else {
            Duration::from_micros(rng.magnitude(100_000).max(100))
        },
        style: rng.one_of(&[Style::Lines, Style::Lines, Style::Summary, Style::Json]),
    }
}

fn draw_stdout(rng: &mut Rng) -> SimStdout {
    let stdout = if rng.chance(300) {
        SimStdout::file()
    } else {
        let capacity = usize::try_from(rng.magnitude(5_000)).unwrap().max(50);
        let starts = rng.magnitude(2_000) * MILLISECOND;
        SimStdout::empty(capacity, rng.magnitude(100) * MILLISECOND, starts, 100)
    };
    if rng.chance(200) {
        let at = rng.magnitude(10_000) * MILLISECOND;
        stdout.failing_at(at, ErrorKind::BrokenPipe)
    } else {
        stdout
    }
}

/// Runs both programs alternately in virtual time until `ping` ends.
fn run<const DRAINS: bool>(mut rng: Rng) -> Outcome {
    let is_unlimited = rng.chance(500);
    let config = draw_config(&mut rng, is_unlimited);
    let stdout = Rc::new(RefCell::new(draw_stdout(&mut rng)));
    let mut signal_at =
        (config.count.is_none() || rng.chance(200)).then(|| rng.between(1, 3_000) * MILLISECOND);
    let drawn_signal = signal_at;
    let mut faults = delay_faults(&mut rng);
    let kernel = Kernel::draw(&rng, config.size, &mut faults);
    let mut network = Network::new(rng.clone(), faults, !DRAINS);
    network.window = 1 + config.size / 10 + rng.index(20_000);
    network.kernel = kernel;
    let network: SharedNetwork = Rc::new(RefCell::new(network));
    let net = |host| SimNet::<DRAINS> {
        network: network.clone(),
        host,
    };
    let mut server = Server::new(net(SERVER), Raw, Config::default());
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let client_net = WithStdio {
        net: net(CLIENTS),
        stdin: None,
        stdout: stdout.clone(),
    };
    let output = Box::new(client_net.stdout());
    let mut pinger = Pinger::new(client_net, config.clone(), output).unwrap();
    let mut iterations = 0;
    while !pinger.is_done() {
        iterations += 1;
        assert!(
            iterations < MAX_ITERATIONS,
            "the run does not end: {config:?}"
        );
        if wake_if_due(&network, SERVER) {
            server.run_iteration().unwrap();
        }
        let has_stdio_event = stdout.borrow().is_pending();
        if wake_if_due(&network, CLIENTS) || has_stdio_event {
            network.borrow_mut().hosts[CLIENTS].asleep_until = None;
            pinger.run_iteration().unwrap();
        }
        let next = if stdout.borrow().is_pending() {
            0
        } else {
            let stdout = stdout.borrow();
            let signal = signal_at.unwrap_or(u64::MAX);
            stdout.next_read_at.min(stdout.fails_at).min(signal)
        };
        advance(&network, next);
        let mut network = network.borrow_mut();
        stdout.borrow_mut().advance(&mut network);
        if signal_at.take_if(|at| *at <= network.now).is_some() {
            network.signal(CLIENTS, Signal::Interrupt);
        }
    }
    let duration = network.borrow().now;
    let report = match pinger.finish() {
        Ok(report) => Some(report),
        Err(Failure::Interrupted { .. }) if signal_at < drawn_signal => None,
        Err(failure) => panic!("failed without a cause: {failure}"),
    };
    stop(&network, &mut server);
    let network = network.borrow();
    let stdout = stdout.borrow();
    Outcome {
        config,
        report,
        printed: text(&stdout.written, stdout.error_reported),
        signal_at: drawn_signal.filter(|_| signal_at.is_none()),
        duration,
        output_closed: stdout.error_reported,
        digest: network.digest(),
    }
}

/// The output as text. Only output that was closed may end inside a character, such as the micro sign of a duration.
fn text(printed: &[u8], output_closed: bool) -> String {
    let valid = match std::str::from_utf8(printed) {
        Err(error) if output_closed && error.error_len().is_none() => {
            &printed[..error.valid_up_to()]
        }
        _ => printed,
    };
    String::from_utf8(valid.to_vec()).unwrap()
}

/// Stops the server; all connections must be closed.
fn stop<const DRAINS: bool>(network: &SharedNetwork, server: &mut Server<SimNet<DRAINS>, Raw>) {
    let drain_timeout = Config::default().drain_timeout.as_nanos();
    network.borrow_mut().stop(drain_timeout as u64);
    while !wake_if_due(network, SERVER) || server.run_iteration().unwrap().is_none() {
        advance(network, u64::MAX);
    }
    let network = network.borrow();
    assert!(
        network.sockets.iter().all(|socket| socket.closed),
        "left open"
    );
}

fn check(outcome: &Outcome) {
    let Some(report) = &outcome.report else {
        assert_eq!(outcome.printed, "");
        return;
    };
    let config = &outcome.config;
    let echoes = &report.echoes;
    assert_eq!((echoes.mismatched, echoes.surplus), (0, 0));
    let sum = echoes.received + echoes.lost + echoes.in_flight();
    assert_eq!(
        echoes.sent, sum,
        "each message is received, lost or in flight"
    );
    assert!(echoes.late <= echoes.lost);
    assert_eq!(echoes.round_trips.len(), echoes.received);
    let slots = u128::from(outcome.duration) / config.interval.as_nanos() + 1;
    assert!(u128::from(echoes.sent) <= slots, "ahead of the schedule");
    assert_eq!(report.output_closed, outcome.output_closed);
    assert!(config.timeout < UNLIMITED || (echoes.lost == 0 && report.failure.is_none()));
    if outcome.output_closed {
        return;
    }
    if outcome.signal_at.is_none() && report.failure.is_none() {
        assert_eq!(
            Some(echoes.sent),
            config.count,
            "not all messages were sent"
        );
        assert_eq!(echoes.in_flight(), 0, "ended with messages in flight");
    }
    let lines = |pattern: &str| {
        outcome
            .printed
            .lines()
            .filter(|line| line.contains(pattern))
            .count()
    };
    match config.style {
        Style::Json => {
            let printed: serde_json::Value = serde_json::from_str(&outcome.printed).unwrap();
            assert_eq!(printed["sent"], echoes.sent);
            assert_eq!(printed["received"], echoes.received);
            assert_eq!(printed["lost"], echoes.lost);
        }
        Style::Summary => assert_eq!(lines("seq="), 0),
        Style::Lines => {
            let mut printed = outcome.printed.lines();
            let left_out = printed.find(|line| line.contains("left out"));
            let left_out = left_out.map_or(0, |line| {
                let count = line.split(' ').next().unwrap();
                count.parse().unwrap()
            });
            let (printed, received) = (lines(" time=") as u64, echoes.received + echoes.late);
            assert!(
                printed <= received && received <= printed + left_out,
                "{printed} of {received}"
            );
            assert!(lines("no echo from") as u64 <= echoes.lost);
        }
    }
    let summary = format!("{} sent, {} received", echoes.sent, echoes.received);
    assert_eq!(lines(&summary), usize::from(config.style != Style::Json));
}

/// Runs a seed; panics if a check fails.
fn run_seed(seed: u64) -> Outcome {
    let mut rng = Rng::new(seed ^ 0x9146);
    let outcome = if rng.chance(500) {
        run::<true>(rng)
    } else {
        run::<false>(rng)
    };
    check(&outcome);
    outcome
}

#[test]
fn every_seed_holds_for_ping_and_runs_twice_alike() {
    let (mut lost, mut closed, mut interrupted) = (0, 0, 0);
    let digest = |outcome: &Outcome| (outcome.printed.clone(), outcome.digest);
    let seeds = run_most(SEEDS, "ping", run_seed, digest, |outcome| {
        lost += outcome
            .report
            .as_ref()
            .map_or(0, |report| report.echoes.lost);
        closed += u64::from(outcome.output_closed);
        interrupted += u64::from(outcome.signal_at.is_some());
    });
    println!("{lost} echoes lost, {closed} outputs closed, {interrupted} interrupted");
    assert!(seeds < SEEDS || (lost > 0 && closed > 0 && interrupted > 0));
}
