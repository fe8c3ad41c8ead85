//! What a terminal can show of a run besides figures: its seconds, and the shape of its times, in a line each.

use super::curve;
use super::timeline::timeline;
use super::units::{as_f64, short, time, whole};
use crate::load::Saved;
use std::fmt::Write;

/// Eighths of a character's height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How wide a line may be, beside its name and its figures.
const WIDTH: usize = 60;

/// The width of the names on the left; that of the text form.
const NAMES: usize = 16;

/// Echoes per second and p99 over time, and how response times are spread. Nothing where there is nothing to show.
#[must_use]
pub fn sparklines(saved: &Saved) -> String {
    let mut text = String::new();
    if saved.result.echo.received == 0 {
        return text;
    }
    let steps = timeline(saved);
    if steps.len() > 1 {
        let rates: Vec<f64> = steps.iter().map(super::timeline::Step::rate).collect();
        over_time(&mut text, "echoes/s", &rates, short);
        let slowest = steps.iter().map(|step| as_f64(step.interval.p99_us));
        over_time(&mut text, "p99", &slowest.collect::<Vec<_>>(), time);
    }
    let counts = &saved.histograms.response_us;
    if let (Some((first, _)), Some((last, _))) = (counts.0.first(), counts.0.last()) {
        let (low, high) = (as_f64(*first).max(1.0), as_f64(*last).max(2.0));
        let decades = (high / low).log10().max(0.1);
        let per_decade = whole((40.0 / decades).floor()).clamp(4, 40);
        let bins = curve::bins(
            counts,
            low,
            high * 1.01,
            u32::try_from(per_decade).unwrap_or(4),
        );
        let shape: Vec<f64> = bins.iter().map(|bin| as_f64(bin.count)).collect();
        let bars = line(&shape);
        let _ = writeln!(
            text,
            "{:<NAMES$}{bars}  {} to {}, log scale",
            "spread",
            time(low),
            time(high)
        );
    }
    text
}

fn over_time(text: &mut String, name: &str, values: &[f64], written: fn(f64) -> String) {
    // Of neighbours that share a character the highest is shown: what was worst is what is looked for.
    let together = values.len().div_ceil(WIDTH).max(1);
    let highest = values
        .chunks(together)
        .map(|group| group.iter().copied().fold(0.0, f64::max));
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    let bars = line(&highest.collect::<Vec<_>>());
    let _ = writeln!(
        text,
        "{name:<NAMES$}{bars}  {} to {}",
        written(least),
        written(most)
    );
}

/// A block for each value, as high as it is among them; a gap for none.
fn line(values: &[f64]) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let block = |value: &f64| {
        if *value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        let eighths = whole((value / most * 8.0).ceil()).clamp(1, 8);
        BLOCKS[usize::try_from(eighths).unwrap_or(1) - 1]
    };
    values.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn blocks_are_as_high_as_their_values() {
        assert_eq!(line(&[0.0, 1.0, 4.0, 8.0]), " ▁▄█");
        assert_eq!(line(&[0.0, 0.0]), "  ");
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn a_run_has_three_lines_and_one_without_echoes_none() {
        let text = sparklines(&sample::load());
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.starts_with("echoes/s        █▆▃  1 to 3\n"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 110),
            "{text}"
        );
        assert_eq!(sparklines(&sample::of(&[vec![], vec![]])), "");
        assert_eq!(sparklines(&sample::of(&[vec![70]])).lines().count(), 1);
    }

    #[test]
    fn an_hour_fits_into_a_line() {
        let text = sparklines(&sample::of(&vec![vec![50, 60_000_000]; 3600]));
        assert!(
            text.lines().all(|line| line.chars().count() <= 110),
            "{text}"
        );
    }
}
