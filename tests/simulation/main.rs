//! Deterministic simulation: the real server and the real clients over a simulated network, in virtual time.
//!
//! One seed determines a whole run. `cargo test --test simulation` runs a fixed set of a few hundred seeds.
//! `ECHOLOOP_SIM_SEEDS=N` runs N seeds from a random start (use `--release` for many). `ECHOLOOP_SIM_SEED=S` replays one
//! seed with a log, or without if `ECHOLOOP_SIM_QUIET=1`; a failure prints the command. Each seed runs twice, which shows
//! whether it is deterministic; `ECHOLOOP_SIM_ONCE=1` runs twice as many seeds in the same time.
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
mod seeds;
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

use layer::LayerReport;
use protocol_run::ProtocolReport;
use run::Report;
use seeds::{SEEDS, run_seeds};
use std::collections::BTreeMap;

#[test]
fn every_seed_holds_and_runs_twice_alike() {
    let mut hours = 0.0;
    let (mut iterations, mut waits, mut faults, mut repeated) = (0, 0, 0, 0);
    let seeds = run_seeds("", run::run, Report::digest, |report| {
        hours += report.nanoseconds as f64 / 3.6e12;
        iterations += report.iterations;
        waits += report.tally.waits;
        faults += report.tally.faults;
        repeated += report.tally.signals_repeated;
    });
    println!(
        "{seeds} seeds, {hours:.1} virtual hours, {iterations} iterations, {waits} waits, {faults} faults, \
         {repeated} signals repeated"
    );
    // Coverage: some seed must repeat the signal during a drain.
    assert!(seeds < SEEDS || repeated > 0);
}

#[test]
fn every_seed_holds_in_scenes_and_runs_twice_alike() {
    let mut waits = 0;
    let seeds = run_seeds("scenes", run::run_focused, Report::digest, |report| {
        waits += report.tally.waits;
    });
    println!("{seeds} seeds, {waits} waits");
}

#[test]
fn every_seed_holds_in_every_protocol_and_runs_twice_alike() {
    let (mut without_memory, mut too_long, mut records) = (0, 0, 0);
    let digest = |run: &ProtocolReport| run.report.digest;
    let seeds = run_seeds("protocol", protocol_run::run, digest, |run| {
        without_memory += run.without_memory;
        too_long += run.too_long;
        records += run.records;
    });
    println!(
        "{seeds} seeds, {without_memory} closed for lack of memory, {too_long} for messages too long, \
         {records} records"
    );
    // Coverage: some seeds must exceed each limit and complete a record.
    assert!(seeds < SEEDS || (without_memory > 0 && too_long > 0 && records > 0));
}

#[test]
fn every_seed_holds_across_upgrades_and_runs_twice_alike() {
    let (mut upgrades, mut failed) = (0, 0);
    let seeds = run_seeds("upgrades", upgrade::run, Report::digest, |report| {
        upgrades += report.tally.upgrades;
        failed += report.tally.upgrades_failed;
    });
    println!("{seeds} seeds, {upgrades} upgrades, {failed} failed");
    // Coverage: both must occur, several times per run.
    assert!(seeds < SEEDS || upgrades > 2 * seeds && failed > seeds);
}

#[test]
fn every_seed_holds_for_layers_and_runs_twice_alike() {
    let mut totals = [0; 7];
    let digest = |run: &LayerReport| run.report.digest;
    let seeds = run_seeds("layers", layer::run, digest, |run| {
        let more = [
            run.completed,
            run.waits,
            run.timeouts,
            run.refused,
            run.truncated,
            run.records,
            run.admitted,
        ];
        totals = std::array::from_fn(|index| totals[index] + more[index]);
    });
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
        "{seeds} seeds, {completed} handshakes, {waits} waits for another iteration, {timeouts} timeouts, \
         {refused} refused, {truncated} truncated, {records} records, {admitted} clients of proxies"
    );
    // Coverage: each of these must occur.
    assert!(seeds < SEEDS || totals.iter().all(|total| *total > 0));
}

#[test]
fn every_seed_holds_for_send_and_runs_twice_alike() {
    let mut outcomes = BTreeMap::<&str, u64>::new();
    let seeds = run_seeds("send", send::run, send::Outcome::clone, |run| {
        *outcomes.entry(run.outcome).or_default() += 1;
    });
    println!("{seeds} seeds, by outcome: {outcomes:?}");
    // Coverage: both success and each of these failures must occur.
    let mut expected = [
        "complete",
        "truncated",
        "output closed",
        "lost",
        "no memory",
    ]
    .iter();
    assert!(seeds < SEEDS || expected.all(|outcome| outcomes.contains_key(outcome)));
}
