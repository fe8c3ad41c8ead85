//! The measured part in so few steps that a chart and a table have room for them.

use super::units::as_f64;
use crate::load::{Distribution, Interval, Saved};

/// The most steps.
pub(super) const MOST_STEPS: usize = 120;

/// Some seconds of the measured part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// Its beginning, in seconds since the measured part began.
    pub(super) from: f64,
    /// All that is known of it, `at` being its end.
    pub(super) interval: Interval,
}

impl Step {
    /// Echoes per second.
    pub(super) fn rate(&self) -> f64 {
        self.per_second(self.interval.echoes)
    }

    /// Messages per second that were to be sent.
    pub(super) fn asked_rate(&self) -> f64 {
        self.per_second(self.interval.asked)
    }

    /// Its middle, where it stands in a chart.
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

/// The intervals of a load, several of them taken together where there are too many: their response times are added, as
/// percentiles cannot be.
pub(super) fn timeline(saved: &Saved) -> Vec<Step> {
    let intervals = &saved.result.intervals;
    let together = intervals.len().div_ceil(MOST_STEPS).max(1);
    let mut response = Distribution::new();
    let mut from = 0.0;
    let groups = intervals.chunks(together).enumerate();
    let steps = groups.map(|(index, group)| {
        let mut interval = group.last().cloned().unwrap_or_default();
        if group.len() > 1 {
            response.clear();
            for counts in saved
                .interval_response_us
                .iter()
                .skip(index * together)
                .take(together)
            {
                response.add(counts);
            }
            interval.echoes = group
                .iter()
                .fold(0, |sum, one| sum.saturating_add(one.echoes));
            interval.asked = group
                .iter()
                .fold(0, |sum, one| sum.saturating_add(one.asked));
            interval.p50_us = response.percentile(50.0);
            interval.p99_us = response.percentile(99.0);
            interval.max_us = response.max();
        }
        let step = Step { from, interval };
        from = step.interval.at;
        step
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn few_seconds_stay_as_they_are() {
        let saved = sample::load();
        let steps = timeline(&saved);
        let intervals: Vec<_> = steps.iter().map(|step| step.interval.clone()).collect();
        assert_eq!(intervals, saved.result.intervals);
        assert!((steps[0].rate() - 3.0).abs() < 1e-9);
        assert!((steps[1].middle() - 1.5).abs() < 1e-9);
    }

    #[test]
    fn an_hour_becomes_steps_with_the_percentiles_of_all_their_times() {
        let mut seconds = vec![vec![100; 99]; 3600];
        seconds[1] = vec![8000; 30];
        let steps = timeline(&sample::of(&seconds));
        assert_eq!(steps.len(), MOST_STEPS);
        assert!((steps[1].from - 30.0).abs() < 1e-9);
        assert_eq!(steps[0].interval.echoes, 29 * 99 + 30);
        // 30 of 2,901 are more than one of a hundred.
        assert_eq!(steps[0].interval.p99_us, sample::summary(&[8000]).max);
        assert_eq!(steps[1].interval.p99_us, 100);
        assert!((steps[119].rate() - 99.0).abs() < 1e-9);
    }
}
