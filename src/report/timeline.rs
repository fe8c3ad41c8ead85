//! The measured time in so few steps that a chart and a table can show them.

use super::units::{as_f64, total};
use crate::load::{Distribution, Interval, Saved};

/// The largest number of steps.
pub(super) const MAX_STEPS: usize = 120;

/// One interval of a result, or several merged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// The start, in seconds since the start of the measured time.
    pub(super) from: f64,
    /// The figures; `at` is the end.
    pub(super) interval: Interval,
}

impl Step {
    /// Echoes received per second.
    pub(super) fn rate(&self) -> f64 {
        self.per_second(self.interval.echoes)
    }

    /// Messages due per second.
    pub(super) fn due_rate(&self) -> f64 {
        self.per_second(self.interval.asked)
    }

    /// The middle, in seconds since the start of the measured time.
    pub(super) fn middle(&self) -> f64 {
        f64::midpoint(self.from, self.interval.at)
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.interval.at - self.from;
        if seconds > 0.0 {
            as_f64(count) / seconds
        } else {
            0.0
        }
    }
}

/// The intervals of a result, merged in groups where there are more than [`MAX_STEPS`]. Percentiles of a group come
/// from the sum of its histograms.
pub(super) fn timeline(saved: &Saved) -> Vec<Step> {
    let intervals = &saved.result.intervals;
    let size = intervals.len().div_ceil(MAX_STEPS).max(1);
    let mut response = Distribution::new();
    let mut from = 0.0;
    let mut steps = Vec::new();
    for (index, group) in intervals.chunks(size).enumerate() {
        let mut interval = group.last().cloned().unwrap_or_default();
        if group.len() > 1 {
            response.clear();
            let counts = saved.interval_response_us.iter().skip(index * size);
            counts.take(size).for_each(|counts| response.add(counts));
            interval.echoes = total(group, |interval| interval.echoes);
            interval.asked = total(group, |interval| interval.asked);
            interval.p50_us = response.percentile(50.0);
            interval.p99_us = response.percentile(99.0);
            interval.max_us = response.max();
        }
        let end = interval.at;
        steps.push(Step { from, interval });
        from = end;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn few_intervals_are_not_merged() {
        let saved = sample::load();
        let steps = timeline(&saved);
        let intervals: Vec<_> = steps.iter().map(|step| step.interval.clone()).collect();
        assert_eq!(intervals, saved.result.intervals);
        assert!((steps[0].rate() - 3.0).abs() < 1e-9);
        assert!((steps[1].middle() - 1.5).abs() < 1e-9);
    }

    #[test]
    fn hour_becomes_120_steps_with_percentiles_of_their_sums() {
        let mut seconds = vec![vec![100; 99]; 3600];
        seconds[1] = vec![8000; 30];
        let steps = timeline(&sample::of(&seconds));
        assert_eq!(steps.len(), MAX_STEPS);
        assert!((steps[1].from - 30.0).abs() < 1e-9);
        assert_eq!(steps[0].interval.echoes, 29 * 99 + 30);
        // 30 of 2,901 times are more than 1 %.
        assert_eq!(steps[0].interval.p99_us, sample::summary(&[8000]).max);
        assert_eq!(steps[1].interval.p99_us, 100);
        assert!((steps[119].rate() - 99.0).abs() < 1e-9);
    }
}
