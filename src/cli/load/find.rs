//! `--find` and `--sweep`: a complete load per value, on fresh connections, and one sentence about all of them.
//!
//! After each step its connections are reset, and the next step begins when the server has answered one more connection:
//! by then it has processed what the step before has left.

mod run;

use super::{Flags, usage};
use crate::cli::units;
use crate::cli::value::by;
use crate::load::{Condition, Quantity, sweep};
use clap::Args;
use std::time::Duration;

/// The highest rate that is tried.
const MAX_RATE: u64 = 100_000_000;

/// The number of steps of a sweep.
const SWEEP_STEPS: u32 = 10;

/// The default of `--step`.
const STEP: Duration = Duration::from_secs(2);

/// The most steps of a sweep.
const MAX_SWEEP_STEPS: u32 = 1000;

/// How much the server takes.
#[derive(Debug, Args)]
pub(super) struct FindFlags {
    /// Find the highest rate, or the most active or idle connections, that the server takes
    #[arg(long, value_name = "rate|active|idle", value_parser = by(quantity),
        conflicts_with_all = ["sweep", "duration", "start_at", "jobs"])]
    find: Option<Quantity>,

    /// With --find and --sweep: the condition each step must meet, such as p99<5ms [default: nothing fails]
    #[arg(long = "while", value_name = "EXPR")]
    condition: Option<Condition>,

    /// Measure each step of --find and --sweep for D [default: 2s]
    #[arg(long, value_name = "D", value_parser = by(units::positive_duration))]
    step: Option<Duration>,

    /// Measure at each of STEPS values, such as rate=1k..200k; also active= and idle= [default: 10 steps]
    #[arg(long, value_name = "WHAT=LOW..HIGH[:STEPS]", value_parser = by(sweep_range),
        conflicts_with_all = ["duration", "start_at", "jobs"])]
    sweep: Option<Sweep>,
}

/// The values of `--sweep`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sweep {
    what: Quantity,
    values: Vec<u64>,
}

fn quantity(text: &str) -> Result<Quantity, String> {
    text.parse()
}

fn sweep_range(text: &str) -> Result<Sweep, String> {
    let wrong = || "not a sweep: write rate=1k..200k, or with 20 steps idle=0..10k:20".to_owned();
    let (what, range) = text.split_once('=').ok_or_else(wrong)?;
    let what: Quantity = what.parse()?;
    let (range, steps) = match range.split_once(':') {
        Some((range, steps)) => (range, steps.parse().map_err(|_| wrong())?),
        None => (range, SWEEP_STEPS),
    };
    let (low, high) = range.split_once("..").ok_or_else(wrong)?;
    let value = |text: &str| units::count(text).map(|value| value as u64);
    let (low, high) = (value(low)?, value(high)?);
    let is_first_allowed = low > 0 || what == Quantity::Idle;
    if low > high || !is_first_allowed || !(2..=MAX_SWEEP_STEPS).contains(&steps) {
        return Err(format!(
            "LOW is at least 1 (idle: 0) and at most HIGH, with 2 to {MAX_SWEEP_STEPS} steps"
        ));
    }
    let values = sweep(low, high, steps);
    Ok(Sweep { what, values })
}

/// What is varied, and how.
pub(super) enum Plan<'a> {
    Search(Quantity),
    Sweep(Quantity, &'a [u64]),
}

impl Plan<'_> {
    fn what(&self) -> Quantity {
        match self {
            Plan::Search(what) | Plan::Sweep(what, _) => *what,
        }
    }
}

impl FindFlags {
    /// The plan, if there is one.
    pub(super) fn plan(&self) -> Option<Plan<'_>> {
        let sweep = self.sweep.as_ref();
        let sweep = sweep.map(|sweep| Plan::Sweep(sweep.what, &sweep.values));
        self.find.map(Plan::Search).or(sweep)
    }

    /// The condition of each step, if one is given.
    pub(super) fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// The number of active connections unless it is given.
    pub(super) fn default_active(&self) -> Option<usize> {
        self.plan().map(|plan| match plan.what() {
            Quantity::Rate => 50,
            Quantity::Active => 1,
            Quantity::Idle => 0,
        })
    }
}

impl Flags {
    /// Checks the flags of a search against the others.
    pub(super) fn check_find(&self) -> Result<(), String> {
        let Some(plan) = self.find.plan() else {
            let given = [
                ("--while", self.find.condition.is_some()),
                ("--step", self.find.step.is_some()),
            ];
            let given = given.into_iter().find(|(_, is_given)| *is_given);
            return given.map_or(Ok(()), |(flag, _)| {
                Err(format!("{flag} is for --find and --sweep: add one of them"))
            });
        };
        let flag = if self.find.find.is_some() {
            "--find"
        } else {
            "--sweep"
        };
        let what = plan.what();
        let is_given = match what {
            Quantity::Rate => self.rate.is_some(),
            Quantity::Active => self.active.is_some(),
            Quantity::Idle => self.idle > 0,
        };
        let name = what.name();
        if is_given {
            return Err(format!("{flag} varies --{name}: leave --{name} out"));
        }
        if self.addresses.bind.is_some_and(|bind| bind.port() != 0) {
            return Err(format!(
                "{flag} opens many connections: leave the port of --bind out"
            ));
        }
        if what == Quantity::Rate && self.active() == 0 {
            return Err(format!(
                "{flag} of the rate needs active connections: --active 50"
            ));
        }
        let needs_echoes = self
            .find
            .condition
            .as_ref()
            .is_some_and(Condition::needs_echoes);
        if needs_echoes && what == Quantity::Idle && self.active() == 0 {
            return Err(
                "--while has a condition on echoes: add connections with --active 10".to_owned(),
            );
        }
        Ok(())
    }

    /// The largest value of a search: what the other flags leave.
    fn largest(&self, what: Quantity) -> u64 {
        let all = usage::MAX_CONNECTIONS;
        match what {
            Quantity::Rate => MAX_RATE,
            Quantity::Active => all.saturating_sub(self.idle) as u64,
            Quantity::Idle => all.saturating_sub(self.active()) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweep_is_a_quantity_a_range_and_steps() {
        let sweep = |text| sweep_range(text).map(|sweep| (sweep.what, sweep.values));
        assert_eq!(
            sweep("rate=1k..4k:3"),
            Ok((Quantity::Rate, vec![1000, 2000, 4000]))
        );
        assert_eq!(sweep("idle=0..10:2"), Ok((Quantity::Idle, vec![0, 10])));
        assert_eq!(sweep("active=1..1m").unwrap().1.len(), 10);
        for wrong in [
            "",
            "rate",
            "rate=1k",
            "rate=2..1",
            "rate=0..5",
            "pace=1..2",
            "rate=1..x",
            "rate=1..2:1",
            "rate=1..2:x",
            "rate=1..2:5k",
        ] {
            assert!(sweep_range(wrong).is_err(), "{wrong}");
        }
    }
}
