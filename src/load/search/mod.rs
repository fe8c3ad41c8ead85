//! How much a server takes: the values to try, one after another, and what they show.
//!
//! The value is doubled until a step is not met, then the interval between the largest value that was met and the
//! smallest that was not is bisected. It ends within [`TOLERANCE`], or with two adjacent numbers if connections failed,
//! since a limit of connections is exact. No I/O: the caller runs a load per value and records its [`Verdict`].

mod found;
mod verdict;

#[cfg(test)]
mod tests;

pub use found::{Find, FindStep};
pub use verdict::{Cause, Verdict, judge};

use crate::numbers::{as_f64, whole};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A search ends when the value that was not met is at most this share above the one that was: one in 20, so 5 %.
pub const TOLERANCE: u64 = 20;

/// While no value was met, each next one is this share of the last.
const DESCENT: u64 = 4;

/// The quantity that a search varies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Messages per second.
    #[default]
    Rate,
    /// Active connections.
    Active,
    /// Idle connections.
    Idle,
}

impl Quantity {
    /// The value at which a search begins.
    #[must_use]
    pub fn first(self) -> u64 {
        match self {
            Quantity::Rate => 1000,
            Quantity::Active => 10,
            Quantity::Idle => 100,
        }
    }

    /// The name in flags and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Rate => "rate",
            Quantity::Active => "active",
            Quantity::Idle => "idle",
        }
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Quantity, String> {
        let mut all = [Quantity::Rate, Quantity::Active, Quantity::Idle].into_iter();
        all.find(|quantity| quantity.name() == text)
            .ok_or_else(|| "not a quantity: write rate, active or idle".to_owned())
    }
}

/// A value that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tried {
    value: u64,
    is_met: bool,
    /// If connections failed: how many were held.
    held: Option<u64>,
}

/// A search for the largest value that is met.
#[derive(Clone, Debug)]
pub struct Search {
    first: u64,
    max: u64,
    tried: Vec<Tried>,
}

impl Search {
    /// A search from `first` to at most `max`; both are at least 1.
    #[must_use]
    pub fn new(first: u64, max: u64) -> Search {
        let max = max.max(1);
        Search {
            first: first.clamp(1, max),
            max,
            tried: Vec::new(),
        }
    }

    /// Records a step. `held` is the number of connections that were held if others failed or were lost.
    pub fn record(&mut self, value: u64, is_met: bool, held: Option<u64>) {
        self.tried.push(Tried {
            value,
            is_met,
            held,
        });
    }

    /// The next value to try; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        match (self.best(), self.lowest_unmet()) {
            (None, None) => Some(self.first),
            (Some(best), None) => {
                (best < self.max).then(|| best.saturating_mul(2).clamp(1, self.max))
            }
            (best, Some(unmet)) => self.between(best.unwrap_or(0), unmet),
        }
    }

    /// The largest value that was met.
    #[must_use]
    pub fn best(&self) -> Option<u64> {
        let met = self.tried.iter().filter(|tried| tried.is_met);
        met.map(|tried| tried.value).max()
    }

    /// The smallest value above the best that was not met.
    fn lowest_unmet(&self) -> Option<Tried> {
        let best = self.best().unwrap_or(0);
        let unmet = self.tried.iter().filter(|tried| tried.value > best);
        // Of equal values the last one, which is the latest.
        unmet.rev().min_by_key(|tried| tried.value).copied()
    }

    /// The next value between `low`, which was met or is 0, and a higher one that was not.
    fn between(&self, low: u64, unmet: Tried) -> Option<u64> {
        let distance = unmet.value - low;
        let is_near = unmet.held.is_none() && distance.saturating_mul(TOLERANCE) <= low;
        if distance <= 1 || is_near {
            return self.confirm(unmet.value);
        }
        match unmet.held {
            // As many as were held are expected to be the limit.
            Some(held) if low < held && held < unmet.value => Some(held),
            Some(held) if held == low => Some(low + 1),
            _ if low == 0 => Some((unmet.value / DESCENT).max(1)),
            _ => Some(low + distance / 2),
        }
    }

    /// A value that was not met is tried twice before the search ends, so that a disturbance does not decide it.
    fn confirm(&self, value: u64) -> Option<u64> {
        let times = self.tried.iter().filter(|tried| tried.value == value);
        (times.count() < 2).then_some(value)
    }
}

/// The values of a sweep: from `low` to `high`, each the same factor above the last; by equal differences from 0.
#[must_use]
pub fn sweep(low: u64, high: u64, steps: u32) -> Vec<u64> {
    let last = steps.saturating_sub(1).max(1);
    let (from, to) = (as_f64(low), as_f64(high));
    let value = |step: u32| {
        let share = f64::from(step) / f64::from(last);
        if low == 0 {
            return whole(to * share);
        }
        whole(from * (to / from).powf(share)).clamp(low, high.max(low))
    };
    let mut values: Vec<u64> = (0..steps).map(value).collect();
    values.dedup();
    values
}
