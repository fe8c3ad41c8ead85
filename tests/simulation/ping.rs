//! `ping` against the server, both as they are, in virtual time, with a standard output that may be slow or closed: what
//! it tells of its echoes is what happened. No fault here loses a byte, so none is wrong, and one is lost only by time.

use crate::load::{advance, delay_faults, wake_if_due};
use crate::output::Pipe;
use crate::rng::Rng;
use crate::selector::{CLIENTS, SERVER};
use crate::send_queue::Kernel;
use crate::sim_net::{SimNet, address};
use crate::standard::WithStandard;
use crate::world::{MILLISECOND, SharedWorld, World};
use echoloop::client::{Failure, PingConfig, PingReport, Pinger, Style, Target};
use echoloop::net::{ListenOptions, Signal};
use echoloop::protocol::Raw;
use echoloop::server::{Config, Server};
use std::cell::RefCell;
use std::io::ErrorKind;
use std::panic;
use std::rc::Rc;
use std::time::Duration;

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 100;

/// Turns after which a run has gone wrong: it would never end.
const MOST_TURNS: u64 = 300_000;

/// Longer than anything is late here.
const LONG: Duration = Duration::from_secs(100_000);

/// What a run came to.
struct Told {
    config: PingConfig,
    /// Nothing, if a signal came before the connection stood.
    pinged: Option<PingReport>,
    printed: String,
    /// When signals came, and how long it took in all.
    signal_at: Option<u64>,
    took: u64,
    /// Standard output has broken, and a write has told so.
    is_broken: bool,
    digest: u64,
}

fn draw_config(rng: &mut Rng, is_patient: bool) -> PingConfig {
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
        timeout: if is_patient {
            LONG
        } else {
            Duration::from_micros(rng.magnitude(100_000).max(100))
        },
        style: rng.one_of(&[Style::Lines, Style::Lines, Style::Summary, Style::Json]),
    }
}

fn draw_pipe(rng: &mut Rng) -> Pipe {
    let pipe = if rng.chance(300) {
        Pipe::file()
    } else {
        let capacity = usize::try_from(rng.magnitude(5_000)).unwrap().max(50);
        let starts = rng.magnitude(2_000) * MILLISECOND;
        Pipe::empty(capacity, rng.magnitude(100) * MILLISECOND, starts, 100)
    };
    if rng.chance(200) {
        let at = rng.magnitude(10_000) * MILLISECOND;
        pipe.breaks(at, ErrorKind::BrokenPipe)
    } else {
        pipe
    }
}

/// Runs both programs in turn, while time goes on, until `ping` is done.
fn run<const DRAINS: bool>(mut rng: Rng) -> Told {
    let is_patient = rng.chance(500);
    let config = draw_config(&mut rng, is_patient);
    let pipe = Rc::new(RefCell::new(draw_pipe(&mut rng)));
    let mut signal_at =
        (config.count.is_none() || rng.chance(200)).then(|| rng.between(1, 3_000) * MILLISECOND);
    let drawn_signal = signal_at;
    let mut faults = delay_faults(&mut rng);
    let kernel = Kernel::draw(&rng, config.size, &mut faults);
    let mut world = World::new(rng.clone(), faults, !DRAINS);
    world.window = 1 + config.size / 10 + rng.index(20_000);
    world.kernel = kernel;
    let world: SharedWorld = Rc::new(RefCell::new(world));
    let net = |host| SimNet::<DRAINS> {
        world: world.clone(),
        host,
    };
    let mut server = Server::new(net(SERVER), Raw, Config::default());
    server.listen(&ListenOptions::new(address(1))).unwrap();
    let clients_net = WithStandard {
        net: net(CLIENTS),
        inlet: None,
        pipe: pipe.clone(),
    };
    let mut pinger = Pinger::new(clients_net, config.clone()).unwrap();
    let mut turns = 0;
    while !pinger.is_done() {
        turns += 1;
        assert!(turns < MOST_TURNS, "it does not come to an end: {config:?}");
        if wake_if_due(&world, SERVER) {
            server.turn().unwrap();
        }
        let is_told = pipe.borrow().is_pending();
        if wake_if_due(&world, CLIENTS) || is_told {
            world.borrow_mut().hosts[CLIENTS].asleep_until = None;
            pinger.run_iteration().unwrap();
        }
        let next = if pipe.borrow().is_pending() {
            0
        } else {
            let pipe = pipe.borrow();
            let signal = signal_at.unwrap_or(u64::MAX);
            pipe.reads_at.min(pipe.breaks_at).min(signal)
        };
        advance(&world, next);
        let mut world = world.borrow_mut();
        pipe.borrow_mut().goes_on(&mut world);
        if signal_at.take_if(|at| *at <= world.now).is_some() {
            world.signal(CLIENTS, Signal::Interrupt);
        }
    }
    let took = world.borrow().now;
    let pinged = match pinger.finish() {
        Ok(pinged) => Some(pinged),
        Err(Failure::Interrupted { .. }) if signal_at < drawn_signal => None,
        Err(failure) => panic!("without a cause: {failure}"),
    };
    stop(&world, &mut server);
    let world = world.borrow();
    let pipe = pipe.borrow();
    Told {
        config,
        pinged,
        printed: text(&pipe.written, pipe.has_told),
        signal_at: drawn_signal.filter(|_| signal_at.is_none()),
        took,
        is_broken: pipe.has_told,
        digest: world.digest(),
    }
}

/// What was printed. Only output that has closed may end within a character, such as the micro sign of a duration.
fn text(printed: &[u8], is_broken: bool) -> String {
    let valid = match std::str::from_utf8(printed) {
        Err(error) if is_broken && error.error_len().is_none() => &printed[..error.valid_up_to()],
        _ => printed,
    };
    String::from_utf8(valid.to_vec()).unwrap()
}

/// The server is stopped, and finds that nobody is left.
fn stop<const DRAINS: bool>(world: &SharedWorld, server: &mut Server<SimNet<DRAINS>, Raw>) {
    let drain_timeout = Config::default().drain_timeout.as_nanos();
    world.borrow_mut().stop(drain_timeout as u64);
    while !wake_if_due(world, SERVER) || server.turn().unwrap().is_none() {
        advance(world, u64::MAX);
    }
    let world = world.borrow();
    assert!(world.sockets.iter().all(|end| end.closed), "left open");
}

fn check(told: &Told) {
    let Some(pinged) = &told.pinged else {
        assert_eq!(told.printed, "");
        return;
    };
    let config = &told.config;
    let echoes = &pinged.echoes;
    assert_eq!((echoes.mismatched, echoes.surplus), (0, 0));
    let known = echoes.received + echoes.lost + echoes.in_flight();
    assert_eq!(echoes.sent, known, "each is back, lost or awaited");
    assert!(echoes.late <= echoes.lost);
    assert_eq!(echoes.round_trips.len(), echoes.received);
    let slots = u128::from(told.took) / config.interval.as_nanos() + 1;
    assert!(u128::from(echoes.sent) <= slots, "ahead of the schedule");
    assert_eq!(pinged.output_closed, told.is_broken);
    assert!(config.timeout < LONG || (echoes.lost == 0 && pinged.failure.is_none()));
    if told.is_broken {
        return;
    }
    if told.signal_at.is_none() && pinged.failure.is_none() {
        assert_eq!(Some(echoes.sent), config.count, "all are sent");
        assert_eq!(echoes.in_flight(), 0, "and none is left behind");
    }
    let lines = |what: &str| {
        told.printed
            .lines()
            .filter(|line| line.contains(what))
            .count()
    };
    match config.style {
        Style::Json => {
            let printed: serde_json::Value = serde_json::from_str(&told.printed).unwrap();
            assert_eq!(printed["sent"], echoes.sent);
            assert_eq!(printed["received"], echoes.received);
            assert_eq!(printed["lost"], echoes.lost);
        }
        Style::Summary => assert_eq!(lines("seq="), 0),
        Style::Lines => {
            let left_out = told.printed.lines().find(|line| line.contains("left out"));
            let left_out = left_out.map_or(0, |line| {
                let count = line.split(' ').next().unwrap();
                count.parse().unwrap()
            });
            let (told, back) = (lines(" time=") as u64, echoes.received + echoes.late);
            assert!(told <= back && back <= told + left_out, "{told} of {back}");
            assert!(lines("no echo from") as u64 <= echoes.lost);
        }
    }
    let summary = format!("{} sent, {} received", echoes.sent, echoes.received);
    assert_eq!(lines(&summary), usize::from(config.style != Style::Json));
}

#[test]
fn every_seed_holds_for_ping_and_runs_twice_alike() {
    let mut seeds = crate::seeds();
    if seeds.end - seeds.start == crate::SEEDS {
        seeds.end = seeds.start + SEEDS;
    }
    let (mut lost, mut broken, mut interrupted) = (0, 0, 0);
    for seed in seeds.clone() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation ping");
        let run = || {
            let mut rng = Rng::new(seed ^ 0x9146);
            let told = if rng.chance(500) {
                run::<true>(rng)
            } else {
                run::<false>(rng)
            };
            check(&told);
            told
        };
        let Ok(first) = panic::catch_unwind(run) else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        let second = run();
        let ends = [&first, &second].map(|told| (&told.printed, told.digest));
        assert_eq!(
            ends[0], ends[1],
            "seed {seed} is not deterministic: {replay}"
        );
        lost += first.pinged.map_or(0, |pinged| pinged.echoes.lost);
        broken += u64::from(first.is_broken);
        interrupted += u64::from(first.signal_at.is_some());
    }
    println!("{lost} echoes lost, {broken} outputs broken, {interrupted} interrupted");
    let is_sample = seeds.end - seeds.start >= SEEDS;
    assert!(!is_sample || (lost > 0 && broken > 0 && interrupted > 0));
}
