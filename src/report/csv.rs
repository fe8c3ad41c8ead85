//! The seconds of a result as comma-separated values (RFC 4180, lines end with LF), for spreadsheets and plots.

use super::units::as_f64;
use crate::load::{Distribution, Saved};
use std::fmt::Write;

/// The names of the columns: those of the JSON, the rate, and percentiles of the response time.
const COLUMNS: &str = "at,echoes,asked,per_second,p50_us,p90_us,p99_us,p99_9_us,max_us,held,lost";

/// Formats the measured time, one line per second. Percentiles of a second without a reply are empty.
#[must_use]
pub fn csv(saved: &Saved) -> String {
    let mut text = format!("{COLUMNS}\n");
    let mut response = Distribution::new();
    let mut from = 0.0;
    let intervals = saved.result.intervals.iter();
    for (interval, counts) in intervals.zip(&saved.interval_response_us) {
        response.clear();
        response.add(counts);
        let length = interval.at - from;
        from = interval.at;
        let rate = if length > 0.0 {
            as_f64(interval.echoes) / length
        } else {
            0.0
        };
        let (at, echoes, asked) = (interval.at, interval.echoes, interval.asked);
        let _ = write!(text, "{at:.3},{echoes},{asked},{rate:.1},");
        for percent in [50.0, 90.0, 99.0, 99.9, 100.0] {
            if response.count() > 0 {
                let _ = write!(text, "{}", response.percentile(percent));
            }
            text.push(',');
        }
        let _ = writeln!(text, "{},{}", interval.held, interval.lost);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn each_second_is_a_line_and_missing_times_are_empty() {
        let mut saved = sample::of(&[vec![100, 200, 300], vec![], vec![90]]);
        saved.result.intervals[2].at = 2.5;
        let expected = "\
            at,echoes,asked,per_second,p50_us,p90_us,p99_us,p99_9_us,max_us,held,lost\n\
            1.000,3,3,3.0,200,300,300,300,300,12,0\n\
            2.000,0,0,0.0,,,,,,12,0\n\
            2.500,1,1,2.0,90,90,90,90,90,12,0\n";
        assert_eq!(csv(&saved), expected);
    }
}
