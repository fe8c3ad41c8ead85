//! Counts of values by their size.

use std::time::Duration;

/// The number of bounds of a [`Histogram`].
const BOUNDS: usize = 33;

/// Counts values by size: how many are at most 1, 2, 4 and so on up to 2^32, and how many are larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS],
    above: u64,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: [0; BOUNDS],
            above: 0,
            sum: 0,
        }
    }
}

impl Histogram {
    /// Counts a value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        // The number of bits of `value - 1`: the exponent of the least power of two that is not less than the value.
        let exponent = u64::BITS - value.saturating_sub(1).leading_zeros();
        match self.counts.get_mut(exponent as usize) {
            Some(count) => *count += 1,
            None => self.above += 1,
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Counts a duration, in nanoseconds.
    #[inline]
    pub fn record_time(&mut self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The bounds from 2^`first` to 2^`last`, each with the number of values that are not above it.
    pub fn cumulative(&self, first: u32, last: u32) -> impl Iterator<Item = (u64, u64)> {
        let mut count = 0;
        let all = (0..).zip(&self.counts).map(move |(exponent, here)| {
            count += here;
            (exponent, count)
        });
        all.filter(move |(exponent, _)| (first..=last).contains(exponent))
            .map(|(exponent, count)| (1_u64 << exponent, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_counted_at_the_least_bound_that_is_not_below_it() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 32, (1 << 32) + 1, u64::MAX] {
            histogram.record(value);
        }
        let counts: Vec<_> = histogram.cumulative(0, 4).collect();
        assert_eq!(counts, [(1, 2), (2, 3), (4, 5), (8, 6), (16, 6)]);
        let last: Vec<_> = histogram.cumulative(32, 40).collect();
        assert_eq!(last, [(1 << 32, 7)], "two values are above all bounds");
        assert_eq!(histogram.count(), 9);
        assert_eq!(histogram.sum(), u64::MAX, "the sum does not overflow");
    }

    #[test]
    fn time_is_counted_in_nanoseconds() {
        let mut histogram = Histogram::default();
        histogram.record_time(Duration::from_micros(3));
        assert_eq!(histogram.sum(), 3000);
        let bounds: Vec<_> = histogram.cumulative(11, 12).collect();
        assert_eq!(bounds, [(2048, 0), (4096, 1)]);
    }
}
