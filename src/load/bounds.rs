//! Which figures of a response time are lower bounds, because some messages had no reply.

use super::Counts;
use crate::numbers::as_f64;
use serde::{Deserialize, Serialize};

/// The names of the figures of a [`Summary`](super::Summary) in JSON, in the order in which they are shown.
pub const FIGURE_KEYS: [&str; 8] = ["min", "mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"];

/// The percentile of each figure; the mean has none.
const PERCENTS: [Option<f64>; 8] = [
    Some(0.0),
    None,
    Some(50.0),
    Some(90.0),
    Some(99.0),
    Some(99.9),
    Some(99.99),
    Some(100.0),
];

/// Response times that are lower bounds: the age that a message without a reply has reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LowerBounds {
    /// How many of the response times are lower bounds.
    pub count: u64,
    /// The figures that would be larger if these messages were never answered: see [`FIGURE_KEYS`].
    pub figures: Vec<String>,
}

impl LowerBounds {
    /// The lower bounds among `all` times.
    #[must_use]
    pub fn among(all: &Counts, bounds: &Counts) -> LowerBounds {
        let count = bounds.0.iter().map(|(_, count)| *count);
        let count = count.fold(0, u64::saturating_add);
        let total = all.0.iter().map(|(_, count)| *count);
        let total = total.fold(0, u64::saturating_add);
        let answered = all.0.iter().map(|(time, count)| {
            let found = bounds.0.binary_search_by_key(time, |(time, _)| *time);
            let bounds = found.map_or(0, |index| bounds.0[index].1);
            (*time, count.saturating_sub(bounds))
        });
        let answered: Vec<(u64, u64)> = answered.collect();
        let is_bound = |percent: &Option<f64>| match percent {
            None => true,
            Some(percent) => {
                let rank = rank(*percent, total);
                at_rank(&all.0, rank) != at_rank(&answered, rank)
            }
        };
        let keys = FIGURE_KEYS.iter().zip(&PERCENTS);
        let keys = keys.filter(|(_, percent)| count > 0 && is_bound(percent));
        LowerBounds {
            count,
            figures: keys.map(|(key, _)| (*key).to_owned()).collect(),
        }
    }

    /// Whether this figure is a lower bound; `key` is one of [`FIGURE_KEYS`].
    #[must_use]
    pub fn is_bound(&self, key: &str) -> bool {
        self.figures.iter().any(|figure| figure == key)
    }
}

/// The place of a percentile in the sorted times, from 1.
fn rank(percent: f64, total: u64) -> u64 {
    let rank = (as_f64(total) * percent / 100.0).ceil();
    crate::numbers::whole(rank).clamp(1, total.max(1))
}

/// The time at a place; none if there are fewer.
fn at_rank(counts: &[(u64, u64)], rank: u64) -> Option<u64> {
    let mut below = 0_u64;
    let found = counts.iter().find(|(_, count)| {
        below = below.saturating_add(*count);
        below >= rank
    });
    found.map(|(time, _)| *time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(all: &[(u64, u64)], bounds: &[(u64, u64)]) -> LowerBounds {
        LowerBounds::among(&Counts(all.to_vec()), &Counts(bounds.to_vec()))
    }

    #[test]
    fn without_unanswered_messages_no_figure_is_a_bound() {
        assert_eq!(bounds(&[(10, 5)], &[]), LowerBounds::default());
        assert_eq!(bounds(&[], &[]), LowerBounds::default());
    }

    #[test]
    fn one_unanswered_of_1000_makes_the_tail_a_bound() {
        // It had waited for 10 us only, but may take for ever.
        let found = bounds(&[(10, 500), (20, 498), (30, 2)], &[(10, 1)]);
        assert_eq!(found.count, 1);
        // Without it, the median is 20 us: at least the 500th of 999 times.
        assert_eq!(found.figures, ["mean", "p50", "p99_99", "max"]);
        let found = bounds(&[(10, 600), (20, 398), (30, 2)], &[(30, 1)]);
        assert_eq!(found.figures, ["mean", "p99_99", "max"]);
    }

    #[test]
    fn all_unanswered_makes_every_figure_a_bound() {
        let found = bounds(&[(10, 3)], &[(10, 3)]);
        assert_eq!(found.figures, FIGURE_KEYS);
        assert!(found.is_bound("p50") && !found.is_bound("p42"));
    }
}
