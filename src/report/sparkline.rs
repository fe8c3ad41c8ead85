//! Sparklines for terminals: echoes per second and p99 over time, and the distribution of response times, a line each.

use super::curve;
use super::text::NAMES;
use super::timeline::{Step, timeline};
use super::units::{as_f64, short, time, whole};
use crate::load::Saved;
use std::fmt::Write;

/// Eighths of a character's height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The largest number of blocks in a line.
const WIDTH: usize = 44;

/// Draws the sparklines of a result; empty if no echo was received.
#[must_use]
pub fn sparklines(saved: &Saved) -> String {
    let mut text = String::new();
    if saved.result.echo.received == 0 {
        return text;
    }
    let steps = timeline(saved);
    if steps.len() > 1 {
        let rates: Vec<f64> = steps.iter().map(Step::rate).collect();
        over_time(&mut text, "echoes/s", &rates, short);
        let p99 = steps.iter().map(|step| as_f64(step.interval.p99_us));
        over_time(&mut text, "p99", &p99.collect::<Vec<_>>(), time);
    }
    let counts = &saved.histograms.response_us;
    if let (Some((first, _)), Some((last, _))) = (counts.0.first(), counts.0.last()) {
        let (low, high) = (as_f64(*first).max(1.0), as_f64(*last).max(2.0));
        let decades = (high / low).log10().max(0.1);
        let per_decade = whole((32.0 / decades).floor()).clamp(4, 32);
        let per_decade = u32::try_from(per_decade).unwrap_or(4);
        let bins = curve::bins(counts, low, high * 1.01, per_decade);
        let bars = bars(bins.iter().map(|bin| as_f64(bin.count)));
        let (low, high) = (time(low), time(high));
        let _ = writeln!(
            text,
            "{:<NAMES$}{bars}  {low} to {high}, log scale",
            "spread"
        );
    }
    text
}

fn over_time(text: &mut String, name: &str, values: &[f64], format: fn(f64) -> String) {
    // A character shows the highest of its values, so that the worst interval remains visible.
    let size = values.len().div_ceil(WIDTH).max(1);
    let max = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let bars = bars(values.chunks(size).map(max));
    let min = format(values.iter().copied().fold(f64::INFINITY, f64::min));
    let max = format(max(values));
    let _ = writeln!(text, "{name:<NAMES$}{bars}  {min} to {max}");
}

/// A block for each value, scaled to the largest; a space for zero.
#[must_use]
pub fn bars(values: impl Iterator<Item = f64> + Clone) -> String {
    let max = values.clone().fold(0.0, f64::max);
    let block = |value: f64| {
        let eighths = whole((value / max * 8.0).ceil()).clamp(1, 8);
        let block = BLOCKS[usize::try_from(eighths).unwrap_or(1) - 1];
        if value > 0.0 { block } else { ' ' }
    };
    values.map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn height_of_blocks_is_proportional_to_values() {
        let line = |values: &[f64]| bars(values.iter().copied());
        assert_eq!(line(&[0.0, 1.0, 4.0, 8.0]), " ▁▄█");
        assert_eq!(line(&[0.0, 0.0]), "  ");
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn run_has_three_lines_and_run_without_echoes_none() {
        let text = sparklines(&sample::load());
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.starts_with("echoes/s        █▆▃  1 to 3\n"), "{text}");
        let is_narrow = |line: &str| line.chars().count() <= crate::wrap::WIDTH;
        assert!(text.lines().all(is_narrow), "{text}");
        assert_eq!(sparklines(&sample::of(&[vec![], vec![]])), "");
        assert_eq!(sparklines(&sample::of(&[vec![70]])).lines().count(), 1);
    }

    #[test]
    fn hour_fits_on_one_line() {
        let text = sparklines(&sample::of(&vec![vec![50, 60_000_000]; 3600]));
        let is_narrow = |line: &str| line.chars().count() <= crate::wrap::WIDTH;
        assert!(text.lines().all(is_narrow), "{text}");
    }
}
