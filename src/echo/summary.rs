//! The summary of a distribution of times: extremes, mean and percentiles.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The figures of a distribution, in the unit of its histogram. If nothing was recorded, all are zero here and null in
/// JSON, except the count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "SummaryJson<T>",
    into = "SummaryJson<T>",
    bound(
        serialize = "T: Copy + Serialize",
        deserialize = "T: Default + Deserialize<'de>"
    )
)]
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

/// A [`Summary`] in JSON.
#[derive(Serialize, Deserialize)]
struct SummaryJson<T> {
    count: u64,
    min: Option<T>,
    mean: Option<f64>,
    p50: Option<T>,
    p90: Option<T>,
    p99: Option<T>,
    p99_9: Option<T>,
    p99_99: Option<T>,
    max: Option<T>,
}

impl<T: Copy> From<Summary<T>> for SummaryJson<T> {
    fn from(summary: Summary<T>) -> SummaryJson<T> {
        let is_any = summary.count > 0;
        let figure = |figure: T| is_any.then_some(figure);
        SummaryJson {
            count: summary.count,
            min: figure(summary.min),
            mean: is_any.then_some(summary.mean),
            p50: figure(summary.p50),
            p90: figure(summary.p90),
            p99: figure(summary.p99),
            p99_9: figure(summary.p99_9),
            p99_99: figure(summary.p99_99),
            max: figure(summary.max),
        }
    }
}

impl<T: Default> From<SummaryJson<T>> for Summary<T> {
    fn from(json: SummaryJson<T>) -> Summary<T> {
        Summary {
            count: json.count,
            min: json.min.unwrap_or_default(),
            mean: json.mean.unwrap_or_default(),
            p50: json.p50.unwrap_or_default(),
            p90: json.p90.unwrap_or_default(),
            p99: json.p99.unwrap_or_default(),
            p99_9: json.p99_9.unwrap_or_default(),
            p99_99: json.p99_99.unwrap_or_default(),
            max: json.max.unwrap_or_default(),
        }
    }
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
    fn figures_of_nothing_are_null_in_json_and_old_zeros_are_read() {
        let text = serde_json::to_string(&Summary::<u64>::default()).unwrap();
        let nulls = r#"{"count":0,"min":null,"mean":null,"p50":null,"p90":null,"p99":null,"p99_9":null,"p99_99":null,"max":null}"#;
        assert_eq!(text, nulls);
        let zeros = nulls.replace("null", "0");
        for text in [nulls, &zeros] {
            let summary: Summary = serde_json::from_str(text).unwrap();
            assert_eq!(summary, Summary::default());
        }
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
