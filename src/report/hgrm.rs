//! The response times in the text format of `HdrHistogram`'s percentile distribution (`.hgrm`), which its plotter reads.
//!
//! Format and steps are those of `AbstractHistogram.outputPercentileDistribution` of the Java implementation, with five
//! steps per halved distance to 100 %. Values are in milliseconds.

use super::units::{as_f64, total};
use crate::load::{Counts, Distribution, Saved};
use std::fmt::Write;

/// Steps for each halving of the distance to 100 %: the default of `HdrHistogram`.
const STEPS_PER_HALF: f64 = 5.0;

/// Microseconds per millisecond.
const US_PER_MS: f64 = 1000.0;

/// The linear part of each bucket of the histogram: the power of two from 2,000 on, for three significant digits.
const SUB_BUCKETS: u32 = 2048;

/// Formats the response times of a result as a percentile distribution.
#[must_use]
pub fn hgrm(saved: &Saved) -> String {
    let counts = &saved.histograms.response_us;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for level in levels(counts) {
        let (value, count, share) = (level.time / US_PER_MS, level.count, level.percent / 100.0);
        let _ = write!(text, "{value:12.3} {share:.12} {count:10}");
        let _ = if level.percent < 100.0 {
            writeln!(text, " {:14.2}", 1.0 / (1.0 - share))
        } else {
            writeln!(text)
        };
    }
    footer(&mut text, &Distribution::of_counts(counts));
    text
}

fn footer(text: &mut String, times: &Distribution) {
    let (mean, deviation) = (
        times.mean() / US_PER_MS,
        times.standard_deviation() / US_PER_MS,
    );
    let (max, count) = (as_f64(times.max()) / US_PER_MS, times.count());
    let _ = write!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {count:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {SUB_BUCKETS:12}]\n",
        times.buckets()
    );
}

/// A line of the distribution: `count` messages have at most `time`, which is at least the percentile.
struct Level {
    time: f64,
    percent: f64,
    count: u64,
}

fn levels(counts: &Counts) -> Vec<Level> {
    let all = total(&counts.0, |(_, count)| *count);
    let mut found = Vec::new();
    let (mut percent, mut below, mut last) = (0.0_f64, 0_u64, 0.0);
    for &(time, count) in &counts.0 {
        below = below.saturating_add(count);
        last = as_f64(time);
        let reached = 100.0 * as_f64(below) / as_f64(all);
        while percent <= reached && percent < 100.0 {
            found.push(Level {
                time: last,
                percent,
                count: below,
            });
            percent += step(percent);
            // The maximum has one line with its percentile, and one with 100 %.
            if below == all {
                break;
            }
        }
    }
    if all > 0 {
        found.push(Level {
            time: last,
            percent: 100.0,
            count: all,
        });
    }
    found
}

/// The distance from a percentile to the next line: it halves with the distance to 100 %.
fn step(percent: f64) -> f64 {
    let halvings = (100.0 / (100.0 - percent)).log2().floor() + 1.0;
    100.0 / (STEPS_PER_HALF * halvings.exp2())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Written by `hdr_percentiles_print` of `HdrHistogram_c` for the squares of 1 to 1000: the same steps as Java, with
    /// six digits of the percentile, and `inf` in the last line.
    const REFERENCE: &str = include_str!("hgrm_reference.txt");

    fn columns(line: &str) -> Vec<f64> {
        let words = line.split_whitespace();
        words.map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn lines_are_those_of_the_reference_implementation() {
        let times: Vec<u64> = (1..=1000).map(|root| root * root).collect();
        let text = hgrm(&sample::of(&[times]));
        assert_eq!(text.lines().count(), REFERENCE.lines().count());
        for (line, reference) in text.lines().zip(REFERENCE.lines()).skip(2) {
            if line.starts_with('#') {
                assert_eq!(line, reference);
                continue;
            }
            for (found, expected) in columns(line).into_iter().zip(columns(reference)) {
                assert!((found - expected).abs() < 1e-6, "{line}: {reference}");
            }
        }
    }

    #[test]
    fn layout_is_that_of_java() {
        let text = hgrm(&sample::of(&[vec![1000; 999], vec![2000]]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "       Value     Percentile TotalCount 1/(1-Percentile)"
        );
        assert_eq!(lines[1], "");
        assert_eq!(
            lines[3],
            "       1.000 0.100000000000        999           1.11"
        );
        assert_eq!(
            lines[lines.len() - 4],
            "       2.000 1.000000000000       1000"
        );
    }

    #[test]
    fn result_without_messages_has_no_lines() {
        let text = hgrm(&sample::of(&[vec![]]));
        assert_eq!(text.lines().count(), 2 + 3, "{text}");
    }

    #[test]
    fn single_time_has_its_first_and_its_last_line() {
        let text = hgrm(&sample::of(&[vec![70; 5]]));
        let lines: Vec<&str> = text.lines().skip(2).take(2).collect();
        let expected = [
            "       0.070 0.000000000000          5           1.00",
            "       0.070 1.000000000000          5",
        ];
        assert_eq!(lines, expected);
    }
}
