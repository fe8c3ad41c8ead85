//! Problems and how to solve them.

use crate::load::{ConnectError, Expectation, Failed, LoadResult, Warning};
use crate::numbers::grouped;
use crate::report::units::short;
use crate::sorting;
use maud::{Markup, html};
use std::cmp::Reverse;

/// Whether there were problems, in one line.
pub(super) fn verdict(result: &LoadResult) -> Markup {
    let all = result.expect.len();
    let missed = result
        .expect
        .iter()
        .filter(|expected| !expected.met)
        .count();
    let problem = if missed > 0 {
        Some(format!("{missed} of {all} expectations missed."))
    } else {
        has_problems(result).then(|| "Problems found; see below.".to_owned())
    };
    // A sign as well as a colour.
    html! {
        @if let Some(problem) = problem {
            p.verdict.bad { "\u{26a0} " (problem) }
        } @else {
            p.verdict.good { "\u{2713} No problems found." }
        }
    }
}

fn has_problems(result: &LoadResult) -> bool {
    let connections = &result.connections;
    !result.warnings.is_empty()
        || connections.lost > 0
        || connections.failed.total() > 0
        || result.echo.mismatched > 0
        || result.echo.unanswered > 0
        || result.probe.alive < result.probe.asked
}

/// Warnings, connect failures by cause, and expectations; each only where there are any.
pub(super) fn section(result: &LoadResult) -> Markup {
    let failures = failures(result.connections.failed);
    // Failed connects have their own list.
    let warnings = result.warnings.iter().zip(result.typed_warnings());
    let warnings = warnings.filter(|(_, warning)| !matches!(warning, Warning::ConnectFailed(..)));
    html! {
        @if !result.warnings.is_empty() || !failures.is_empty() {
            section {
                h2 { "Problems" }
                ul.plain { @for (text, _) in warnings { li.card.wrong { (text) } } }
                @if !failures.is_empty() {
                    h3 { "Failed connections" }
                    ul.plain {
                        @for (count, error) in failures {
                            @let (cause, remedy) = error.description();
                            li.card.wrong { strong { (grouped(count)) ": " (cause) "." } " " (with_code(remedy)) }
                        }
                    }
                }
            }
        }
        @if !result.expect.is_empty() { (expectations(result)) }
    }
}

/// The categories of connect failures that occurred, the most frequent first.
fn failures(failed: Failed) -> Vec<(u64, ConnectError)> {
    let all = ConnectError::ALL.map(|error| (failed.of(error), error));
    let mut found: Vec<_> = all.into_iter().filter(|(count, _)| *count > 0).collect();
    sorting::sort_by_key(&mut found, |(count, _)| Reverse(*count));
    found
}

/// Text with code between backticks.
fn with_code(text: &str) -> Markup {
    html! {
        @for (index, piece) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

fn expectations(result: &LoadResult) -> Markup {
    html! {
        section {
            h2 { "Expectations" }
            div.card.scroll tabindex="0" role="region" aria-label="Expectations" {
                table {
                    thead { tr { @for name in ["expected", "measured", "verdict"] { th scope="col" { (name) } } } }
                    tbody {
                        @for expected in &result.expect {
                            tr {
                                td { (expected.expr) }
                                td { (measured(expected)) }
                                @if expected.met { td.met { "\u{2713} met" } } @else { td.missed { "\u{2717} missed" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The measured value of an expectation, with its unit.
fn measured(expected: &Expectation) -> String {
    match expected.actual {
        Some(actual) => format!("{} {}", short(actual), unit(&expected.expr)),
        None => expected.found(),
    }
}

/// The unit of an expectation, which is also that of the measured value.
fn unit(expr: &str) -> &str {
    let unit = expr.rsplit(|c: char| c.is_ascii_digit()).next();
    unit.filter(|unit| unit.len() < expr.len())
        .unwrap_or("")
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_is_the_text_after_the_number() {
        for (expr, expected) in [
            ("p99.9<5ms", "ms"),
            ("lost=0", ""),
            ("alive = 100%", "%"),
            ("lost", ""),
            ("", ""),
        ] {
            assert_eq!(unit(expr), expected);
        }
    }

    #[test]
    fn text_between_backticks_is_code() {
        let markup = with_code("Use `-v` & wait.").into_string();
        assert_eq!(markup, "Use <code>-v</code> &amp; wait.");
    }
}
