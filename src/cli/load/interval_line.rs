//! The line for one second, where no block is updated in place.

use crate::load::Interval;
use crate::numbers::as_f64;
use crate::report::{short, time};
use crate::wrap::WIDTH;

/// The line for an interval, of at most 80 columns: without its columns, or else rounded, if it would be longer.
pub(super) fn interval_line(interval: &Interval, shows_echoes: bool) -> String {
    let fits = |line: &String| line.chars().count() <= WIDTH;
    let in_columns = in_columns(interval, shows_echoes);
    if fits(&in_columns) {
        return in_columns;
    }
    let words: Vec<&str> = in_columns.split_whitespace().collect();
    Some(words.join(" "))
        .filter(fits)
        .unwrap_or_else(|| rounded(interval))
}

fn in_columns(interval: &Interval, shows_echoes: bool) -> String {
    let held = format!("{:>4.0} s  {:>6} held", interval.at, interval.held);
    let lost = format!("{} lost", interval.lost);
    if !shows_echoes {
        return format!("{held}  {lost}");
    }
    if interval.echoes == 0 {
        return format!("{held}       0 echoes  p50 -  p99 -  max -  {lost}");
    }
    format!(
        "{held}  {:>6} echoes  p50 {} us  p99 {} us  max {} us  {lost}",
        interval.echoes, interval.p50_us, interval.p99_us, interval.max_us
    )
}

fn rounded(interval: &Interval) -> String {
    let [held, echoes, lost] =
        [interval.held, interval.echoes, interval.lost].map(|count| short(as_f64(count)));
    let [p50, p99, max] =
        [interval.p50_us, interval.p99_us, interval.max_us].map(|micros| time(as_f64(micros)));
    format!(
        "{:.0} s {held} held {echoes} echoes p50 {p50} p99 {p99} max {max} {lost} lost",
        interval.at
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(max_us: u64) -> Interval {
        Interval {
            at: 1.0,
            held: 10_050,
            echoes: 20_000,
            p50_us: 40,
            p99_us: 267,
            max_us,
            ..Interval::default()
        }
    }

    #[test]
    fn figures_are_exact_as_far_as_they_fit() {
        assert_eq!(
            interval_line(&interval(2683), true),
            "   1 s   10050 held   20000 echoes  p50 40 us  p99 267 us  max 2683 us  0 lost"
        );
        assert_eq!(
            interval_line(&interval(3_102_683), true),
            "1 s 10050 held 20000 echoes p50 40 us p99 267 us max 3102683 us 0 lost"
        );
        assert_eq!(
            interval_line(&interval(0), false),
            "   1 s   10050 held  0 lost"
        );
    }

    #[test]
    fn second_without_echoes_has_no_times() {
        let silent = Interval {
            echoes: 0,
            ..interval(0)
        };
        assert_eq!(
            interval_line(&silent, true),
            "   1 s   10050 held       0 echoes  p50 -  p99 -  max -  0 lost"
        );
    }

    #[test]
    fn largest_figures_fit_80_columns() {
        let largest = Interval {
            at: 864_000.0,
            held: 4_194_303,
            echoes: 9_999_999,
            p50_us: 59_999_999,
            p99_us: 59_999_999,
            max_us: 59_999_999,
            lost: 4_194_303,
            ..Interval::default()
        };
        for shows_echoes in [true, false] {
            let line = interval_line(&largest, shows_echoes);
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
