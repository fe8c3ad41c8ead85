//! Medians, ratios of pairs, and their confidence intervals.

/// The number of bootstrap samples for an interval.
const DRAWS: usize = 2000;

/// The median of some ratios, with its 95 % bootstrap interval (Efron and Tibshirani, An Introduction to the Bootstrap,
/// 1993, chapter 13: percentiles).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// Of the ratio in each round: a disturbance affects both measurements of a round.
    pub(crate) fn of_ratios(ours: &[f64], theirs: &[f64]) -> Interval {
        let pairs = ours.iter().zip(theirs);
        Interval::of(
            &pairs
                .map(|(ours, theirs)| ours / theirs)
                .collect::<Vec<_>>(),
        )
    }

    fn of(samples: &[f64]) -> Interval {
        // A fixed seed: the same samples always have the same interval.
        let mut random = Random(0x5EED);
        let medians = (0..DRAWS).map(|_| {
            let drawn = samples.iter().map(|_| samples[random.below(samples.len())]);
            median(&drawn.collect::<Vec<_>>())
        });
        let mut medians: Vec<f64> = medians.collect();
        medians.sort_by(f64::total_cmp);
        Interval {
            low: medians[DRAWS / 40],
            median: median(samples),
            high: medians[DRAWS - 1 - DRAWS / 40],
        }
    }
}

/// The middle sample, or the mean of the two in the middle; NaN if there are none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// A count as a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and sufficient for bootstrap samples.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// Checks the arithmetic on known results.
pub(crate) fn self_check() {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(near(median(&[3.0, 1.0, 2.0]), 2.0));
    assert!(near(median(&[4.0, 1.0, 2.0, 3.0]), 2.5));
    assert!(median(&[]).is_nan());
    let constant = Interval::of_ratios(&[2.0; 21], &[4.0; 21]);
    assert!(near(constant.low, 0.5) && near(constant.median, 0.5) && near(constant.high, 0.5));
    let spread: Vec<f64> = (1..=21).map(f64::from).collect();
    let spread = Interval::of(&spread);
    assert!(near(spread.median, 11.0));
    // By the binomial distribution, the order statistics 6 and 16 of 21 enclose the median with 97.3 %.
    assert!((6.0..=8.0).contains(&spread.low) && (14.0..=16.0).contains(&spread.high));
}
