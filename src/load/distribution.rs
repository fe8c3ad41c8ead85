//! Distributions of times: an HDR histogram of microseconds, its summary, and a form that can be saved and merged.

use crate::echo::{Summary, percentile};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time that is distinguished, in microseconds; longer times count as this.
pub const LONGEST_US: u64 = 60_000_000;

/// Significant decimal digits of every time: precise to a thousandth.
const DIGITS: u8 = 3;

/// How often each time was recorded: pairs of microseconds and a count, in ascending order, without zeros.
///
/// The microseconds are those of the histogram's buckets. Counts of several distributions can be added; percentiles
/// cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(pub Vec<(u64, u64)>);

/// A distribution of times, from 1 us to 60 s, to three significant digits.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: Histogram<u64>,
}

impl Default for Distribution {
    fn default() -> Self {
        Distribution::new()
    }
}

impl Distribution {
    /// An empty distribution.
    #[must_use]
    pub fn new() -> Distribution {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        #[expect(
            clippy::expect_used,
            clippy::missing_panics_doc,
            reason = "the bounds are constants"
        )]
        let histogram = histogram.expect("valid bounds");
        Distribution { histogram }
    }

    /// Records one time, rounded to the nearest microsecond.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.histogram
            .saturating_record(nanoseconds.saturating_add(500) / 1000);
    }

    /// Adds the times of another distribution.
    pub fn add(&mut self, counts: &Counts) {
        for &(microseconds, count) in &counts.0 {
            self.histogram.saturating_record_n(microseconds, count);
        }
    }

    /// Removes all times.
    pub fn clear(&mut self) {
        self.histogram.reset();
    }

    /// The number of times recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The smallest time, in microseconds, that `percent` of all do not exceed; zero if empty.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> u64 {
        percentile(&self.histogram, percent)
    }

    /// The longest time, in microseconds.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    /// The usual figures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(&self.histogram)
    }

    /// All recorded times, to be saved.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let recorded = self.histogram.iter_recorded();
        let pair = recorded.map(|bucket| {
            let value = bucket.value_iterated_to();
            (value, bucket.count_at_value())
        });
        Counts(pair.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(microseconds: &[u64]) -> Distribution {
        let mut distribution = Distribution::new();
        for time in microseconds {
            distribution.record(Duration::from_micros(*time));
        }
        distribution
    }

    #[test]
    fn empty_distribution_is_all_zero() {
        assert_eq!(Distribution::new().summary(), Summary::default());
        assert_eq!(Distribution::new().percentile(99.0), 0);
    }

    #[test]
    fn too_long_times_are_clamped_and_short_ones_are_zero() {
        let mut distribution = Distribution::new();
        distribution.record(Duration::from_secs(3600));
        distribution.record(Duration::from_nanos(400));
        assert_eq!(distribution.count(), 2);
        assert!(distribution.max() >= LONGEST_US);
        assert!(distribution.max() <= LONGEST_US + LONGEST_US / 1000);
        assert_eq!(distribution.summary().min, 0);
    }

    proptest! {
        /// Equal to those of the sorted list, within a thousandth.
        #[test]
        fn percentiles_are_those_of_the_sorted_times(mut times in proptest::collection::vec(0_u64..LONGEST_US, 1..300)) {
            let distribution = of(&times);
            times.sort_unstable();
            for percent in [50_u32, 90, 99, 100] {
                let rank = (times.len() * percent as usize).div_ceil(100).max(1);
                let exact = times[rank - 1];
                let found = distribution.percentile(f64::from(percent));
                prop_assert!(found.abs_diff(exact) <= exact / 1000 + 1, "p{percent}: {found}, not {exact}");
            }
        }

        #[test]
        fn saved_parts_add_up_to_the_whole(
            left in proptest::collection::vec(0_u64..2 * LONGEST_US, 0..200),
            right in proptest::collection::vec(0_u64..2 * LONGEST_US, 0..200),
        ) {
            let text = serde_json::to_string(&of(&left).counts()).unwrap();
            let mut sum = Distribution::new();
            sum.add(&serde_json::from_str(&text).unwrap());
            sum.add(&of(&right).counts());
            let whole = of(&[left, right].concat());
            prop_assert_eq!(sum.counts(), whole.counts());
            let (sum, whole) = (sum.summary(), whole.summary());
            prop_assert_eq!((sum.count, sum.p50, sum.p99, sum.max), (whole.count, whole.p50, whole.p99, whole.max));
        }
    }
}
