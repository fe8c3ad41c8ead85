//! The result of a search in JSON.

use super::Quantity;
use crate::load::LoadResult;
use serde::{Deserialize, Serialize};

/// What a search or a sweep has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Find {
    /// What was varied.
    pub what: Quantity,
    /// The condition, as typed.
    #[serde(rename = "while")]
    pub condition: Option<String>,
    /// The largest value that was met, below all that were not; none if none was.
    pub best: Option<u64>,
    /// The smallest value above it that was not met.
    pub next: Option<u64>,
    /// The result in words.
    pub sentence: String,
    /// All steps, by value; those of the same value in the order of time.
    pub steps: Vec<FindStep>,
}

/// One step of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FindStep {
    /// Messages per second requested, or connections.
    pub value: u64,
    /// Replies received per second.
    pub rate: f64,
    /// Response time: the median; none without a reply.
    pub p50_us: Option<u64>,
    /// Response time: the 99th percentile; none without a reply.
    pub p99_us: Option<u64>,
    /// Whether the condition held, nothing failed and the rate was reached.
    pub met: bool,
}

impl FindStep {
    /// The step with this value, of a load with this result.
    #[must_use]
    pub fn of(value: u64, result: &LoadResult, met: bool) -> FindStep {
        let times = &result.echo.response_time_us;
        let measured = |time: u64| (times.count > 0).then_some(time);
        FindStep {
            value,
            rate: result.echo.per_second,
            p50_us: measured(times.p50),
            p99_us: measured(times.p99),
            met,
        }
    }
}

impl Find {
    /// Adds a step in its place, and finds best and next.
    pub fn add(&mut self, step: FindStep) {
        let at = self
            .steps
            .partition_point(|other| other.value <= step.value);
        self.steps.insert(at, step);
        // A value that was met once counts as met: the other time was disturbed.
        let is_met = |value: u64| {
            let mut same = self.steps.iter().filter(|step| step.value == value);
            same.any(|step| step.met)
        };
        let mut values = self.steps.iter().map(|step| step.value);
        self.next = values.clone().find(|value| !is_met(*value));
        self.best = match self.next {
            Some(next) => values.take_while(|value| *value < next).last(),
            None => values.next_back(),
        };
    }
}
