//! Distributions prepared for drawing: the curve of percentiles, and counts in bins.

use super::units::{as_f64, nines, total};
use crate::load::Counts;

/// The smallest distance between two points of a curve, on log scales.
const RESOLUTION: f64 = 0.01;

/// The points of the percentile curve: a percentile, and the time in microseconds that it does not exceed.
///
/// Each time has two points, at the first and at the last of its values, so that a step is drawn as a step.
/// Points closer than [`RESOLUTION`] on both axes are left out.
pub(super) fn percentiles(counts: &Counts) -> Vec<(f64, f64)> {
    let total = total(&counts.0, |(_, count)| *count);
    let mut points: Vec<(f64, f64)> = Vec::new();
    if total == 0 {
        return points;
    }
    let mut below = 0_u64;
    let mut drawn = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for (index, (time, count)) in counts.0.iter().enumerate() {
        let is_last = index + 1 == counts.0.len();
        let first = 100.0 * as_f64(below) / as_f64(total);
        below = below.saturating_add(*count);
        let last = 100.0 * as_f64(below) / as_f64(total);
        let time = as_f64(*time);
        for percent in [first, last] {
            let place = (nines(percent), time.max(1.0).log10());
            let distance = (place.0 - drawn.0).abs().max((place.1 - drawn.1).abs());
            if distance >= RESOLUTION || is_last {
                points.push((percent, time));
                drawn = place;
            }
        }
    }
    points
}

/// The count between two times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bin {
    /// In microseconds.
    pub(super) from: f64,
    /// In microseconds.
    pub(super) to: f64,
    pub(super) count: u64,
}

/// Bins of equal width on a log axis from `low` to `high`, `per_decade` for each power of ten.
pub(super) fn bins(counts: &Counts, low: f64, high: f64, per_decade: u32) -> Vec<Bin> {
    let width = 1.0 / f64::from(per_decade);
    let mut bins = Vec::new();
    let mut start = low.log10();
    // An axis has at most eight decades of at most 40 bins; the limit guards against a rounding error.
    while start < high.log10() - width / 2.0 && bins.len() < 1000 {
        bins.push(Bin {
            from: 10_f64.powf(start),
            to: 10_f64.powf(start + width),
            count: 0,
        });
        start += width;
    }
    for (time, count) in &counts.0 {
        let later = bins.partition_point(|bin| bin.from <= as_f64(*time));
        // Times below the first bin count in it.
        if let Some(bin) = bins.get_mut(later.saturating_sub(1)) {
            bin.count = bin.count.saturating_add(*count);
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use proptest::prelude::*;

    #[test]
    fn curve_passes_through_the_percentiles() {
        let times: Vec<u64> = (1..=100).map(|time| time * 10).collect();
        let points = percentiles(&sample::counts(&times));
        assert_eq!(points.first(), Some(&(0.0, 10.0)));
        assert_eq!(points.last(), Some(&(100.0, 1000.0)));
        assert!(points.contains(&(99.0, 990.0)), "{points:?}");
        assert_eq!(percentiles(&Counts::default()), []);
    }

    #[test]
    fn single_time_is_a_level_line() {
        let points = percentiles(&sample::counts(&[70]));
        assert_eq!(points, [(0.0, 70.0), (100.0, 70.0)]);
    }

    proptest! {
        #[test]
        fn curve_never_falls_and_bins_hold_every_count(times in proptest::collection::vec(0_u64..60_000_000, 1..200)) {
            let counts = sample::counts(&times);
            let points = percentiles(&counts);
            for pair in points.windows(2) {
                prop_assert!(pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1);
            }
            let all: u64 = bins(&counts, 10.0, 1e8, 10).iter().map(|bin| bin.count).sum();
            prop_assert_eq!(all, times.len() as u64);
        }
    }
}
