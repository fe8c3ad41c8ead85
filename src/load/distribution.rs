//! Distributions of times: an HDR histogram of microseconds, its summary, and a form that can be saved and merged.

use crate::echo::{Summary, percentile};
use crate::time::Time;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time that is distinguished, in microseconds; longer times count as this.
pub const LONGEST_US: u64 = 60_000_000;

/// Significant decimal digits of every time: precise to a thousandth.
const DIGITS: u8 = 3;

/// The most groups in which evenly spread times are recorded.
const MAX_GROUPS: u64 = 10_000;

/// How often each time was recorded: pairs of microseconds and a count, in ascending order, without zeros.
///
/// The microseconds are those of the histogram's buckets. Counts of several distributions can be added; percentiles
/// cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(pub Vec<(u64, u64)>);

impl Counts {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

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
    #[inline(never)]
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
        self.histogram.saturating_record(microseconds(time));
    }

    /// Records the time from `earlier` to `now`.
    #[inline]
    pub fn record_since(&mut self, earlier: Time, now: Time) {
        // Without a `Duration`, whose seconds would be divided off and multiplied back for every message.
        let nanoseconds = now.as_nanos().saturating_sub(earlier.as_nanos());
        self.histogram.saturating_record(rounded(nanoseconds));
    }

    /// Records one time this many times.
    pub fn record_n(&mut self, time: Duration, count: u64) {
        self.histogram
            .saturating_record_n(microseconds(time), count);
    }

    /// Records `count` times that are spread evenly from `shortest` to `longest`. Very many are recorded in groups, each with
    /// its shortest time.
    pub fn record_evenly(&mut self, shortest: Duration, longest: Duration, count: u64) {
        let range = longest.saturating_sub(shortest).as_nanos();
        let group = count.div_ceil(MAX_GROUPS).max(1);
        let mut recorded = 0;
        while recorded < count {
            let in_group = group.min(count - recorded);
            let part = range * u128::from(recorded) / u128::from((count - 1).max(1));
            let part = Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX));
            self.record_n(shortest.saturating_add(part), in_group);
            recorded += in_group;
        }
    }

    /// Adds the times of another distribution.
    #[inline(never)]
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

    /// The mean, in microseconds; zero if empty.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.histogram.mean()
    }

    /// The standard deviation, in microseconds; zero if empty.
    #[must_use]
    pub fn standard_deviation(&self) -> f64 {
        self.histogram.stdev()
    }

    /// The number of buckets of the histogram, each twice as wide as the one before.
    #[must_use]
    pub fn buckets(&self) -> u8 {
        self.histogram.buckets()
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

/// Rounded to the nearest microsecond.
#[inline]
fn microseconds(time: Duration) -> u64 {
    rounded(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Nanoseconds, rounded to the nearest microsecond.
#[inline]
fn rounded(nanoseconds: u64) -> u64 {
    nanoseconds.saturating_add(500) / 1000
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

    #[test]
    fn evenly_spread_times_are_recorded_from_first_to_last() {
        let mut distribution = Distribution::new();
        distribution.record_evenly(Duration::from_micros(10), Duration::from_micros(50), 5);
        let each = [10, 20, 30, 40, 50].map(|time| (time, 1));
        assert_eq!(distribution.counts().0, each);
        let mut distribution = Distribution::new();
        distribution.record_evenly(Duration::ZERO, Duration::from_secs(1), 10_000_000);
        assert_eq!(distribution.count(), 10_000_000);
        assert!(distribution.percentile(50.0).abs_diff(500_000) <= 1_000);
        distribution.record_evenly(Duration::ZERO, Duration::ZERO, 0);
        assert_eq!(distribution.count(), 10_000_000);
    }

    #[test]
    fn time_since_is_recorded_as_its_duration() {
        let (mut one, mut other) = (Distribution::new(), Distribution::new());
        for nanoseconds in [0, 499, 500, 1_499, 1_500, 7_000_000_123] {
            let (from, to) = (Time::from_nanos(77), Time::from_nanos(77 + nanoseconds));
            one.record_since(from, to);
            other.record(to.since(from));
        }
        assert_eq!(one.counts(), other.counts());
        one.record_since(Time::from_nanos(1), Time::ZERO);
        assert_eq!(one.summary().min, 0);
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
