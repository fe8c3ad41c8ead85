//! Distributions as shapes: the curve of percentiles, and how many fell between two times.

use super::units::as_f64;
use crate::load::Counts;

/// Points of the curve: per cent, and the time in microseconds that so many did not exceed.
///
/// Each time is there twice, at the first and at the last of the values that have it, so that a step is seen as a step.
/// Points that differ in neither by a hundredth are left out.
pub(super) fn percentiles(counts: &Counts) -> Vec<(f64, f64)> {
    let total = counts
        .0
        .iter()
        .fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
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
            let is_far = (place.0 - drawn.0).abs() >= 0.01 || (place.1 - drawn.1).abs() >= 0.01;
            if is_far || is_last || points.is_empty() {
                points.push((percent, time));
                drawn = place;
            }
        }
    }
    points
}

fn nines(percent: f64) -> f64 {
    -((100.0 - percent).max(1e-9) / 100.0).log10()
}

/// How many times fell between two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bin {
    /// In microseconds.
    pub(super) from: f64,
    /// In microseconds.
    pub(super) to: f64,
    /// How many.
    pub(super) count: u64,
}

/// Bins of equal width on an axis by powers of ten: `per_decade` of them in each, from `low` to `high`.
pub(super) fn bins(counts: &Counts, low: f64, high: f64, per_decade: u32) -> Vec<Bin> {
    let width = 1.0 / f64::from(per_decade);
    let mut bins = Vec::new();
    let mut from = low.log10();
    // An axis has few decades; this ends long before.
    while from < high.log10() - width / 2.0 && bins.len() < 1000 {
        bins.push(Bin {
            from: 10_f64.powf(from),
            to: 10_f64.powf(from + width),
            count: 0,
        });
        from += width;
    }
    for (time, count) in &counts.0 {
        let time = as_f64(*time);
        let later = bins.partition_point(|bin| bin.from <= time);
        // What is shorter than the first belongs to it.
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
    fn the_curve_passes_the_percentiles() {
        let times: Vec<u64> = (1..=100).map(|time| time * 10).collect();
        let points = percentiles(&sample::counts(&times));
        assert_eq!(points.first(), Some(&(0.0, 10.0)));
        assert_eq!(points.last(), Some(&(100.0, 1000.0)));
        assert!(points.contains(&(99.0, 990.0)), "{points:?}");
        assert_eq!(percentiles(&Counts::default()), []);
    }

    #[test]
    fn one_time_is_a_level_line() {
        let points = percentiles(&sample::counts(&[70]));
        assert_eq!(points, [(0.0, 70.0), (100.0, 70.0)]);
    }

    proptest! {
        #[test]
        fn the_curve_only_rises_and_bins_hold_everything(times in proptest::collection::vec(0_u64..60_000_000, 1..200)) {
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
