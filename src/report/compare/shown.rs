//! A figure in words, as the text and the page both show it.

use super::{Figure, Unit, Verdict};
use crate::numbers::grouped;
use crate::report::units::{bytes, whole};

/// The name with its unit, both values, the change, and the verdict.
pub(in crate::report) fn cells(figure: &Figure) -> [String; 5] {
    let [base, new] = [figure.base, figure.new].map(|value| value_text(figure.unit, value));
    let name = match figure.unit {
        Unit::Microseconds => format!("{}, us", figure.name),
        _ => figure.name.to_owned(),
    };
    let verdict = verdict_text(figure).to_owned();
    [name, base, new, change_text(figure), verdict]
}

/// Whether a figure has a line: counts of zero have none, except lost connections.
pub(in crate::report) fn is_shown(figure: &Figure) -> bool {
    let is_zero = |value: Option<f64>| value.unwrap_or(0.0).abs() < f64::EPSILON;
    figure.unit != Unit::Count
        || figure.key == "lost"
        || !(is_zero(figure.base) && is_zero(figure.new))
}

/// A value in the unit of its figure; `-` if it was not measured.
fn value_text(unit: Unit, value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    match unit {
        Unit::Microseconds if value < 100.0 => format!("{value:.1}"),
        Unit::Microseconds | Unit::Count => grouped(whole(value)),
        Unit::PerSecond => format!("{}/s", grouped(whole(value))),
        Unit::Bytes if value < 0.0 => format!("-{}", bytes(whole(-value))),
        Unit::Bytes => bytes(whole(value)),
        Unit::Percent => format!("{value:.0} %"),
    }
}

/// The change, with its sign.
fn change_text(figure: &Figure) -> String {
    match figure.change_percent() {
        // Rounded to zero, it has no sign.
        Some(change) if change.abs() < 0.05 => "0.0 %".to_owned(),
        Some(change) if change.abs() < 1000.0 => format!("{change:+.1} %"),
        Some(change) => format!("x {}", grouped(whole(change / 100.0 + 1.0))),
        None => String::new(),
    }
}

/// The verdict of a figure in words.
fn verdict_text(figure: &Figure) -> &'static str {
    match figure.verdict {
        Verdict::Significant => "significant",
        Verdict::Noise
            if figure
                .change_percent()
                .is_some_and(|change| change.abs() < 0.05) =>
        {
            ""
        }
        Verdict::Noise => "noise",
        Verdict::TooFewSeconds => "too few seconds",
        Verdict::TooFewMessages => "too few messages",
        Verdict::NotTested => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_unit_of_their_figure() {
        for (unit, value, text) in [
            (Unit::Microseconds, Some(70.25), "70.2"),
            (Unit::Microseconds, Some(12_345.0), "12,345"),
            (Unit::PerSecond, Some(4999.6), "5,000/s"),
            (Unit::Bytes, Some(69.0), "69 B"),
            (Unit::Bytes, Some(-3.0), "-3 B"),
            (Unit::Percent, Some(12.3), "12 %"),
            (Unit::Count, None, "-"),
        ] {
            assert_eq!(value_text(unit, value), text);
        }
    }
}
