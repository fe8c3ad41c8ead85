//! The summary of a distribution of times: extremes, mean and percentiles.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The figures of a distribution, in the unit of its histogram. All zero if nothing was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "percentiles by their names")]
pub struct Summary<T = u64> {
    pub count: u64,
    pub min: T,
    pub mean: f64,
    pub p50: T,
    pub p90: T,
    pub p99: T,
    pub p99_9: T,
    pub p99_99: T,
    pub max: T,
}

impl Summary {
    /// Summarizes a histogram; the mean is rounded to a tenth.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Summary {
        if histogram.is_empty() {
            return Summary::default();
        }
        let percentile = |percent| percentile(histogram, percent);
        Summary {
            count: histogram.len(),
            min: histogram.min(),
            mean: (histogram.mean() * 10.0).round() / 10.0,
            p50: percentile(50.0),
            p90: percentile(90.0),
            p99: percentile(99.0),
            p99_9: percentile(99.9),
            p99_99: percentile(99.99),
            max: histogram.max(),
        }
    }

    /// The same figures in another unit, `per_unit` times as large.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
    pub fn in_units_of(&self, per_unit: f64) -> Summary<f64> {
        let convert = |value: u64| value as f64 / per_unit;
        Summary {
            count: self.count,
            min: convert(self.min),
            mean: self.mean / per_unit,
            p50: convert(self.p50),
            p90: convert(self.p90),
            p99: convert(self.p99),
            p99_9: convert(self.p99_9),
            p99_99: convert(self.p99_99),
            max: convert(self.max),
        }
    }
}

/// The smallest value that `percent` of all do not exceed; zero if nothing was recorded.
#[must_use]
pub fn percentile(histogram: &Histogram<u64>, percent: f64) -> u64 {
    let value = histogram.value_at_percentile(percent);
    value.min(histogram.max())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_histogram_is_all_zero() {
        let histogram = Histogram::new(3).unwrap();
        assert_eq!(Summary::of(&histogram), Summary::default());
    }

    #[test]
    fn figures_of_1_to_1000_are_their_ranks() {
        let mut histogram = Histogram::new(3).unwrap();
        for time in 1..=1000 {
            histogram.record(time).unwrap();
        }
        let summary = Summary::of(&histogram);
        assert_eq!((summary.count, summary.min, summary.max), (1000, 1, 1000));
        let percentiles = (summary.p50, summary.p90, summary.p99);
        assert_eq!(percentiles, (500, 900, 990));
        let thousandths = summary.in_units_of(1000.0);
        assert!((thousandths.mean - 0.5005).abs() < 1e-9);
        assert!((thousandths.p90 - 0.9).abs() < 1e-9);
    }
}
