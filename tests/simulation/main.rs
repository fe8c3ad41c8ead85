//! Deterministic simulation: the real server and the real clients over a simulated network, in virtual time.
//!
//! One seed determines a whole run. `cargo test --test simulation` runs a fixed set of a few hundred seeds.
//! `ECHOLOOP_SIM_SEEDS=N` runs N seeds from a random start (use `--release` for many). `ECHOLOOP_SIM_SEED=S` replays one
//! seed with a log, or without if `ECHOLOOP_SIM_QUIET=1`; a failure prints the command.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    missing_docs,
    reason = "a test binary has no public API, and its panics are test failures"
)]

mod any_state;
mod buffered;
mod client_script;
mod clients;
mod contract;
mod faults;
mod flood;
mod handshake;
mod iteration_limits;
mod layer;
mod load;
mod load_script;
mod memory_attack;
mod network;
mod overload;
mod peer;
mod peers;
mod ping;
mod probing;
mod process_pause;
mod protocol_run;
mod rng;
mod run;
mod selector;
mod send;
mod send_queue;
mod send_script;
mod sim_net;
mod sim_stdin;
mod sim_stdout;
mod socket;
mod stdio;
mod steady_readers;
mod syscalls;
mod two_processes;
mod uneven_output;
mod upgrade;
mod userspace;

use std::collections::BTreeMap;
use std::panic;
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of seeds without `ECHOLOOP_SIM_SEEDS`.
const SEEDS: u64 = 300;

/// Reads a number from an environment variable.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}

fn seeds() -> std::ops::Range<u64> {
    if let Some(seed) = variable("ECHOLOOP_SIM_SEED") {
        // A single seed is replayed to be debugged, so the server logs everything. While it logs input, no connection takes
        // the usual path.
        if std::env::var_os("ECHOLOOP_SIM_QUIET").is_none() {
            let _ = echoloop::logging::start(log::LevelFilter::Trace, Default::default());
        }
        return seed..seed + 1;
    }
    match variable("ECHOLOOP_SIM_SEEDS") {
        Some(count) => {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let start = rng::mix(time.as_nanos() as u64) >> 24;
            println!("seeds from {start}");
            start..start + count
        }
        None => 0..SEEDS,
    }
}

#[test]
fn every_seed_holds_and_runs_twice_alike() {
    let mut hours = 0.0;
    let (mut iterations, mut waits, mut faults, mut repeated, mut count) = (0, 0, 0, 0, 0);
    for seed in seeds() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation");
        let first = panic::catch_unwind(|| run::run(seed));
        let Ok(first) = first else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        let second = run::run(seed);
        assert_eq!(
            first.digest, second.digest,
            "seed {seed} is not deterministic: {replay}"
        );
        hours += first.nanoseconds as f64 / 3.6e12;
        iterations += first.iterations;
        waits += first.tally.waits;
        faults += first.tally.faults;
        repeated += first.tally.signals_repeated;
        count += 1;
    }
    println!(
        "{count} seeds, {hours:.1} virtual hours, {iterations} iterations, {waits} waits, {faults} faults, \
         {repeated} signals repeated"
    );
    // Coverage: some seed must repeat the signal during a drain.
    let is_sample = count >= SEEDS;
    assert!(!is_sample || repeated > 0);
}

#[test]
fn every_seed_holds_in_scenes_and_runs_twice_alike() {
    let (mut waits, mut count) = (0, 0);
    for seed in seeds() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation scenes");
        let first = panic::catch_unwind(|| run::run_focused(seed));
        let Ok(first) = first else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        let second = run::run_focused(seed);
        assert_eq!(
            first.digest, second.digest,
            "seed {seed} is not deterministic: {replay}"
        );
        waits += first.tally.waits;
        count += 1;
    }
    println!("{count} seeds, {waits} waits");
}

#[test]
fn every_seed_holds_in_every_protocol_and_runs_twice_alike() {
    let (mut count, mut without_memory, mut too_long, mut records) = (0, 0, 0, 0);
    for seed in seeds() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation protocol");
        let first = panic::catch_unwind(|| protocol_run::run(seed));
        let Ok(first) = first else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        let second = protocol_run::run(seed);
        assert_eq!(
            first.report.digest, second.report.digest,
            "seed {seed} is not deterministic: {replay}"
        );
        without_memory += first.without_memory;
        too_long += first.too_long;
        records += first.records;
        count += 1;
    }
    println!(
        "{count} seeds, {without_memory} closed for lack of memory, {too_long} for messages too long, \
         {records} records"
    );
    // Coverage: some seeds must exceed each limit and complete a record.
    let is_sample = count >= SEEDS;
    assert!(!is_sample || (without_memory > 0 && too_long > 0 && records > 0));
}

#[test]
fn every_seed_holds_across_upgrades_and_runs_twice_alike() {
    let (mut upgrades, mut failed, mut count) = (0, 0, 0);
    for seed in seeds() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation upgrades");
        let first = panic::catch_unwind(|| upgrade::run(seed));
        let Ok(first) = first else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        let second = upgrade::run(seed);
        assert_eq!(
            first.digest, second.digest,
            "seed {seed} is not deterministic: {replay}"
        );
        upgrades += first.tally.upgrades;
        failed += first.tally.upgrades_failed;
        count += 1;
    }
    println!("{count} seeds, {upgrades} upgrades, {failed} failed");
    // Coverage: both must occur, several times per run.
    let is_sample = count >= SEEDS;
    assert!(!is_sample || upgrades > 2 * count && failed > count);
}

#[test]
fn every_seed_holds_for_layers_and_runs_twice_alike() {
    let mut totals = [0; 7];
    let mut count = 0;
    for seed in seeds() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation layers");
        let first = panic::catch_unwind(|| layer::run(seed));
        let Ok(first) = first else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        let second = layer::run(seed);
        assert_eq!(
            first.report.digest, second.report.digest,
            "seed {seed} is not deterministic: {replay}"
        );
        let more = [
            first.completed,
            first.waits,
            first.timeouts,
            first.refused,
            first.truncated,
            first.records,
            first.admitted,
        ];
        totals = std::array::from_fn(|index| totals[index] + more[index]);
        count += 1;
    }
    let [
        completed,
        waits,
        timeouts,
        refused,
        truncated,
        records,
        admitted,
    ] = totals;
    println!(
        "{count} seeds, {completed} handshakes, {waits} waits for another iteration, {timeouts} timeouts, \
         {refused} refused, {truncated} truncated, {records} records, {admitted} clients of proxies"
    );
    // Coverage: each of these must occur.
    let is_sample = count >= SEEDS;
    assert!(!is_sample || totals.iter().all(|total| *total > 0));
}

#[test]
fn every_seed_holds_for_send_and_runs_twice_alike() {
    let mut outcomes = BTreeMap::<&str, u64>::new();
    let mut count = 0;
    for seed in seeds() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation send");
        let first = panic::catch_unwind(|| send::run(seed));
        let Ok(first) = first else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        let second = send::run(seed);
        assert_eq!(first, second, "seed {seed} is not deterministic: {replay}");
        *outcomes.entry(first.outcome).or_default() += 1;
        count += 1;
    }
    println!("{count} seeds, by outcome: {outcomes:?}");
    // Coverage: both success and each of these failures must occur.
    let is_sample = count >= SEEDS;
    let expected = [
        "complete",
        "truncated",
        "output closed",
        "lost",
        "no memory",
    ];
    assert!(
        !is_sample
            || expected
                .iter()
                .all(|outcome| outcomes.contains_key(outcome))
    );
}
