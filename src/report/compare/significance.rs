//! Whether two series of seconds differ: a confidence interval of their ratio, from ranks alone.
//!
//! The interval is that of Hodges and Lehmann, the inversion of the rank-sum test of Wilcoxon, Mann and Whitney, on the
//! ratios of all pairs. It assumes no distribution, and a few extreme seconds barely move it. Input: one positive value per
//! block of seconds. Output: the limits between which the ratio of new to base lies with [`CONFIDENCE`]. Pure.

use crate::sorting;

/// The confidence of the interval.
pub(super) const CONFIDENCE: f64 = 0.999;

/// The smallest number of blocks of each run for which an interval of [`CONFIDENCE`] exists.
pub(super) const FEWEST_BLOCKS: usize = 7;

/// The interval of the ratio of `new` to `base`; none with too few values.
pub(super) fn ratio_interval(base: &[f64], new: &[f64]) -> Option<(f64, f64)> {
    limits(pairs_outside(base.len(), new.len())?, base, new)
}

/// The ratios that have `outside` smaller and as many larger ones.
fn limits(outside: usize, base: &[f64], new: &[f64]) -> Option<(f64, f64)> {
    let pairs = base.iter().flat_map(|b| new.iter().map(move |n| n / b));
    let mut ratios: Vec<f64> = pairs.collect();
    sorting::sort_by(&mut ratios, f64::total_cmp);
    let low = ratios.get(outside)?;
    let high = ratios.get(ratios.len().checked_sub(1 + outside)?)?;
    Some((*low, *high))
}

/// How many of the smallest ratios are below the interval, and as many of the largest above it. None if even the
/// smallest and the largest ratio are no limits of this confidence.
fn pairs_outside(base: usize, new: usize) -> Option<usize> {
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let mut below = 0.0;
    let mut outside = None;
    for (index, probability) in rank_sum_distribution(base, new).into_iter().enumerate() {
        below += probability;
        if below > tail {
            break;
        }
        outside = Some(index);
    }
    outside
}

/// The probability of each number of pairs in which the value of the first series exceeds that of the second, if both
/// are of one distribution (Mann and Whitney 1947): the largest of all values belongs to either series in proportion to
/// its length.
fn rank_sum_distribution(base: usize, new: usize) -> Vec<f64> {
    let as_f64 = |count: usize| crate::numbers::as_f64(count as u64);
    let pairs = base * new;
    let certain_zero = || {
        let mut row = vec![0.0; pairs + 1];
        row[0] = 1.0;
        row
    };
    // One distribution for each length of the second series, for the current length of the first.
    let mut rows: Vec<Vec<f64>> = (0..=new).map(|_| certain_zero()).collect();
    for one in 1..=base {
        let mut shorter = certain_zero();
        for (other, row) in rows.iter_mut().enumerate().skip(1) {
            let share = as_f64(one) / as_f64(one + other);
            let next = (0..=pairs).map(|count| {
                let largest_is_first = count.checked_sub(other).map_or(0.0, |rest| row[rest]);
                share * largest_is_first + (1.0 - share) * shorter[count]
            });
            let next: Vec<f64> = next.collect();
            shorter.clone_from(&next);
            *row = next;
        }
    }
    rows.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare::noise::Noise;

    fn is_close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-12
    }

    #[test]
    fn distribution_of_rank_sums_is_that_of_the_tables() {
        // 6 arrangements of two and two: 0, 1, 2, 2, 3 and 4 pairs.
        let small = rank_sum_distribution(2, 2);
        let expected = [1.0, 1.0, 2.0, 1.0, 1.0].map(|count| count / 6.0);
        assert!(small.iter().zip(expected).all(|(a, b)| is_close(*a, b)));
        for (one, other) in [(1, 1), (3, 8), (10, 10), (60, 60)] {
            let all = rank_sum_distribution(one, other);
            assert_eq!(all.len(), one * other + 1);
            assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        // The smallest of C(20, 10) arrangements.
        assert!(is_close(rank_sum_distribution(10, 10)[0], 1.0 / 184_756.0));
        // Critical values for 0.001, two-sided, counted over all arrangements.
        assert_eq!(pairs_outside(10, 10), Some(8));
        assert_eq!(pairs_outside(7, 7), Some(0));
        assert_eq!(pairs_outside(20, 20), Some(81));
    }

    #[test]
    fn seven_seconds_of_each_are_the_fewest() {
        let values = [1.0; FEWEST_BLOCKS];
        assert!(ratio_interval(&values, &values).is_some());
        assert!(ratio_interval(&values[1..], &values[1..]).is_none());
        assert!(ratio_interval(&[], &values).is_none());
    }

    #[test]
    fn one_extreme_second_does_not_move_the_interval_beyond_the_rest() {
        let base = [
            100.0, 101.0, 99.0, 100.0, 102.0, 98.0, 100.0, 101.0, 99.0, 100.0,
        ];
        let mut new = base.map(|value| value * 1.2);
        new[4] = 90_000.0;
        let (low, high) = ratio_interval(&base, &new).unwrap();
        assert!((1.1..1.2).contains(&low), "{low}");
        assert!(high > 1.2, "{high}");
    }

    /// How many of `trials` intervals are above `limit` or below its reciprocal.
    fn outside(trials: u32, limit: f64, mut draw: impl FnMut(bool) -> Vec<f64>) -> u32 {
        let mut found = 0;
        let seconds = draw(false).len();
        let outside = pairs_outside(seconds, seconds).unwrap();
        for _ in 0..trials {
            let (base, new) = (draw(false), draw(true));
            let (low, high) = limits(outside, &base, &new).unwrap();
            found += u32::from(low > limit || high < 1.0 / limit);
        }
        found
    }

    #[test]
    fn interval_misses_the_true_ratio_in_one_of_a_thousand() {
        for (seconds, spread) in [(7, 0.02), (10, 0.1), (20, 0.5)] {
            let mut noise = Noise::new(seconds);
            let missed = outside(8000, 1.0, |_| noise.values(seconds, 1000.0, spread));
            // 8 are expected; 24 are 5.6 standard deviations more.
            assert!(
                missed <= 24,
                "{seconds} s, spread {spread}: {missed} of 8000"
            );
        }
    }

    #[test]
    fn extreme_seconds_cause_no_false_differences() {
        let mut noise = Noise::new(3);
        let missed = outside(8000, 1.0, |_| noise.spiky_values(10, 1000.0));
        assert!(missed <= 24, "{missed} of 8000");
    }

    #[test]
    fn true_ratio_of_20_percent_is_found_over_5_percent() {
        let mut noise = Noise::new(4);
        let found = outside(2000, 1.05, |is_new| {
            let level = if is_new { 1200.0 } else { 1000.0 };
            noise.values(10, level, 0.03)
        });
        assert!(found >= 1995, "{found} of 2000");
    }
}
