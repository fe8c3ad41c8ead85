//! The seconds of two runs as independent samples: messages of one second depend on each other, seconds hardly.
//!
//! Seconds are joined to blocks where a run has many of them, or too few messages in each for a percentile.

use crate::load::{Counts, Distribution, Saved};
use crate::report::units::as_f64;

/// The largest number of blocks of a run.
const MOST_BLOCKS: usize = 60;

/// An interval shorter than this is left out, in seconds: the end of a run.
const SHORTEST: f64 = 0.5;

/// A second of a run.
struct Second<'a> {
    length: f64,
    replies: u64,
    times: &'a Counts,
}

/// The seconds of a run.
pub(super) struct Run<'a>(Vec<Second<'a>>);

/// What is computed from a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    /// Replies per second.
    Rate,
    /// The mean response time.
    Mean,
    /// A percentile of the response times.
    Percentile(f64),
}

impl Sample {
    /// The messages that a block needs: ten above a percentile, so that it is not that of a single stall.
    fn fewest_messages(self) -> f64 {
        match self {
            Sample::Rate => 0.0,
            Sample::Mean => 1.0,
            Sample::Percentile(percent) => 1000.0 / (100.0 - percent),
        }
    }
}

impl Run<'_> {
    pub(super) fn new(saved: &Saved) -> Run<'_> {
        let mut from = 0.0;
        let intervals = saved.result.intervals.iter();
        let seconds = intervals
            .zip(&saved.interval_response_us)
            .map(|(interval, times)| {
                let length = interval.at - from;
                from = interval.at;
                let replies = interval.echoes;
                Second {
                    length,
                    replies,
                    times,
                }
            });
        Run(seconds.filter(|second| second.length >= SHORTEST).collect())
    }

    /// The number of seconds.
    pub(super) fn seconds(&self) -> usize {
        self.0.len()
    }

    /// The seconds of a block, for at most [`MOST_BLOCKS`] with enough messages in each.
    fn block_length(&self, sample: Sample) -> usize {
        let mut length = self.0.len().div_ceil(MOST_BLOCKS).max(1);
        let replies: f64 = self.0.iter().map(|second| as_f64(second.replies)).sum();
        let mean = replies / as_f64(self.0.len() as u64);
        while length < self.0.len() && mean * as_f64(length as u64) < sample.fewest_messages() {
            length += 1;
        }
        length
    }

    fn samples(&self, sample: Sample, block_length: usize) -> Vec<f64> {
        let mut sum = Distribution::new();
        let blocks = self.0.chunks_exact(block_length);
        blocks
            .filter_map(|block| value(sample, block, &mut sum))
            .collect()
    }
}

/// The samples of both runs, from blocks of the same length.
pub(super) fn samples(base: &Run<'_>, new: &Run<'_>, sample: Sample) -> (Vec<f64>, Vec<f64>) {
    let length = base.block_length(sample).max(new.block_length(sample));
    (base.samples(sample, length), new.samples(sample, length))
}

/// The value of a block; none if it has too few messages. Always positive.
fn value(sample: Sample, block: &[Second<'_>], sum: &mut Distribution) -> Option<f64> {
    let replies: f64 = block.iter().map(|second| as_f64(second.replies)).sum();
    if let Sample::Rate = sample {
        let length: f64 = block.iter().map(|second| second.length).sum();
        // A block without a reply has the rate of half a reply: a ratio needs a positive number.
        return Some(replies.max(0.5) / length);
    }
    sum.clear();
    for second in block {
        sum.add(second.times);
    }
    // Half of what is asked for on average: the messages are not spread evenly.
    if as_f64(sum.count()) < (sample.fewest_messages() / 2.0).max(1.0) {
        return None;
    }
    let time = match sample {
        Sample::Percentile(percent) => as_f64(sum.percentile(percent)),
        Sample::Rate | Sample::Mean => sum.mean(),
    };
    // Times are measured in whole microseconds.
    Some(time.max(0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn each_second_is_a_sample() {
        let saved = sample::of(&[vec![100; 40], vec![300; 20]]);
        let run = Run::new(&saved);
        let other = Run::new(&saved);
        assert_eq!(samples(&run, &other, Sample::Rate).0, [40.0, 20.0]);
        assert_eq!(samples(&run, &other, Sample::Mean).1, [100.0, 300.0]);
        let p50 = Sample::Percentile(50.0);
        assert_eq!(samples(&run, &other, p50).0, [100.0, 300.0]);
    }

    #[test]
    fn seconds_are_joined_until_a_block_has_enough_messages() {
        let saved = sample::of(&[vec![100; 70], vec![200; 70], vec![300; 70], vec![400; 70]]);
        let run = Run::new(&saved);
        // 200 messages are three seconds; the fourth remains.
        let (p95, _) = samples(&run, &run, Sample::Percentile(95.0));
        assert_eq!(p95, [300.0]);
        let many = sample::of(&vec![vec![100; 2]; 150]);
        let many = Run::new(&many);
        assert_eq!(samples(&many, &many, Sample::Rate).0.len(), 50);
        // Both have blocks of the same length.
        let few = sample::of(&vec![vec![100; 2]; 12]);
        let few = Run::new(&few);
        assert_eq!(samples(&few, &many, Sample::Rate).0.len(), 4);
    }

    #[test]
    fn second_without_a_reply_has_a_rate_and_no_time() {
        let saved = sample::of(&[vec![100; 2], vec![], vec![0; 2]]);
        let run = Run::new(&saved);
        assert_eq!(samples(&run, &run, Sample::Rate).0, [2.0, 0.5, 2.0]);
        assert_eq!(samples(&run, &run, Sample::Mean).0, [100.0, 0.5]);
        let mut short = saved.clone();
        short.result.intervals[2].at = 2.25;
        assert_eq!(Run::new(&short).seconds(), 2, "the rest of a second");
    }
}
