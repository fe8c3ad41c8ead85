//! A comparison as text of at most 80 columns: both runs, warnings, then a line per figure.

use super::shown::{cells, is_shown};
use super::{Comparison, Side};
use crate::report::saved::printable;
use crate::report::text::NAMES;
use std::fmt::Write;

/// The width of the text.
const WIDTH: usize = 80;

/// What the last column means.
const LEGEND: &str = "significant: over 5 %, with 99.9 % confidence, judged from second to second; \
                      noise: smaller or less certain; -: one value per run, not tested";

/// Formats a comparison as text.
#[must_use]
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for warning in &comparison.warnings {
        paragraph(&mut text, "!! ", warning);
    }
    if !comparison.warnings.is_empty() {
        text.push('\n');
    }
    for (name, side) in [("base", &comparison.base), ("new", &comparison.new)] {
        paragraph(&mut text, &format!("{name:<NAMES$}"), &description(side));
    }
    paragraph(
        &mut text,
        &format!("{:<NAMES$}", "result"),
        &comparison.verdict(),
    );
    text.push('\n');
    row(
        &mut text,
        &["", "base", "new", "change", ""].map(str::to_owned),
    );
    for figure in comparison.figures.iter().filter(|figure| is_shown(figure)) {
        row(&mut text, &cells(figure));
    }
    text.push('\n');
    paragraph(&mut text, "", LEGEND);
    if !comparison.expect.is_empty() {
        text.push('\n');
    }
    for expectation in &comparison.expect {
        let verdict = if expectation.met { "met" } else { "MISSED" };
        let (expr, actual) = (&expectation.expr, expectation.found());
        let _ = writeln!(text, "{:<NAMES$}{expr}: {verdict} ({actual})", "expected");
    }
    text
}

/// The file, the target and the time of a run.
fn description(side: &Side) -> String {
    let result = &side.saved.result;
    let (name, target, seconds, started) =
        (&side.name, &result.target, result.seconds, &result.started);
    printable(&format!(
        "{name}: {target}, measured {seconds:.1} s from {started}"
    ))
}

fn row(text: &mut String, [name, base, new, change, verdict]: &[String; 5]) {
    let line = format!("{name:<NAMES$}{base:>14}{new:>14}{change:>12}  {verdict}");
    let _ = writeln!(text, "{}", line.trim_end());
}

/// Words in lines of at most [`WIDTH`] columns, which start below the first word; a longer word has its line.
fn paragraph(text: &mut String, start: &str, words: &str) {
    let indent = start.chars().count();
    let mut line = start.to_owned();
    let mut column = indent;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            let _ = writeln!(text, "{line}");
            line = " ".repeat(indent);
            column = indent;
        }
        if column > indent {
            line.push(' ');
            column += 1;
        }
        line.push_str(word);
        column += length;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraph_wraps_at_80_columns_below_its_first_word() {
        let mut text = String::new();
        paragraph(&mut text, "!! ", &["twelve chars"; 15].join(" "));
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("   t") || line.starts_with("   c"))
        );
        let mut long = String::new();
        paragraph(&mut long, "!! ", &"x".repeat(100));
        assert_eq!(long.lines().count(), 1, "{long}");
    }
}
