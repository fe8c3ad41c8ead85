//! The seeds of a suite, and the environment variables that select them.

use crate::rng;
use std::fmt::Debug;
use std::ops::Range;
use std::panic::{self, RefUnwindSafe};
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of seeds without `ECHOLOOP_SIM_SEEDS`.
pub const SEEDS: u64 = 300;

/// Runs each seed of a suite twice, with the same digest. Returns how many there are. A failure panics with the command
/// that replays its seed.
pub fn run_seeds<R, D: PartialEq + Debug>(
    suite: &str,
    run: impl Fn(u64) -> R + RefUnwindSafe,
    digest: impl Fn(&R) -> D,
    count: impl FnMut(&R),
) -> u64 {
    run_most(SEEDS, suite, run, digest, count)
}

/// As [`run_seeds`], but without `ECHOLOOP_SIM_SEEDS` only `usual` seeds.
pub fn run_most<R, D: PartialEq + Debug>(
    usual: u64,
    suite: &str,
    run: impl Fn(u64) -> R + RefUnwindSafe,
    digest: impl Fn(&R) -> D,
    mut count: impl FnMut(&R),
) -> u64 {
    let seeds = seeds(usual);
    let runs_once = std::env::var_os("ECHOLOOP_SIM_ONCE").is_some();
    for seed in seeds.clone() {
        let replay = format!("ECHOLOOP_SIM_SEED={seed} cargo test --test simulation {suite}");
        let replay = replay.trim_end();
        let Ok(first) = panic::catch_unwind(|| run(seed)) else {
            panic!("seed {seed} failed; replay it: {replay}");
        };
        if !runs_once {
            let digests = [digest(&first), digest(&run(seed))];
            assert_eq!(
                digests[0], digests[1],
                "seed {seed} is not deterministic: {replay}"
            );
        }
        count(&first);
    }
    seeds.end - seeds.start
}

fn seeds(usual: u64) -> Range<u64> {
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
        None => 0..usual,
    }
}

/// Reads a number from an environment variable.
pub fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}
