//! What is wrong, in words, and what to do about it.

use crate::load::{ConnectError, Failed, LoadResult, Saved, Warning};
use crate::numbers::grouped;
use crate::report::chart::Escaped;
use crate::report::units::short;
use std::cmp::Reverse;
use std::fmt::Write;

/// One line for those who read one line.
pub(super) fn verdict(page: &mut String, saved: &Saved) {
    let result = &saved.result;
    let missed = result
        .expect
        .iter()
        .filter(|expected| !expected.met)
        .count();
    let (class, words) = if missed > 0 {
        let all = result.expect.len();
        (
            "bad",
            format!("{missed} of {all} expectations were missed."),
        )
    } else if is_troubled(result) {
        ("bad", "Something is wrong; it is named below.".to_owned())
    } else {
        ("good", "Nothing wrong was found.".to_owned())
    };
    // A sign as well as a colour.
    let sign = if class == "bad" {
        "\u{26a0}"
    } else {
        "\u{2713}"
    };
    let _ = writeln!(page, "<p class=\"verdict {class}\">{sign} {words}</p>");
}

fn is_troubled(result: &LoadResult) -> bool {
    let connections = &result.connections;
    !result.warnings.is_empty()
        || connections.lost > 0
        || connections.failed.total() > 0
        || result.echo.mismatched > 0
        || result.echo.unanswered > 0
        || result.probe.alive < result.probe.asked
}

/// Warnings, failed connects by category, and expectations, where there are any.
pub(super) fn section(page: &mut String, saved: &Saved) {
    let result = &saved.result;
    let failures = failures(result.connections.failed);
    if !result.warnings.is_empty() || !failures.is_empty() {
        page.push_str("<section>\n<h2>What is wrong</h2>\n<ul class=\"plain\">\n");
        for (text, warning) in result.warnings.iter().zip(result.typed_warnings()) {
            // Failed connects follow in their own list.
            if !matches!(warning, Warning::ConnectFailed(..)) {
                let _ = writeln!(page, "<li class=\"card wrong\">{}</li>", Escaped(text));
            }
        }
        page.push_str("</ul>\n");
        failed(page, &failures);
        page.push_str("</section>\n");
    }
    expectations(page, result);
}

fn failed(page: &mut String, failures: &[(u64, ConnectError)]) {
    if failures.is_empty() {
        return;
    }
    page.push_str("<h3>Connections that could not be established</h3>\n<ul class=\"plain\">\n");
    for (count, error) in failures {
        let (name, remedy) = error.description();
        let _ = writeln!(
            page,
            "<li class=\"card wrong\"><strong>{}: {}.</strong> {}</li>",
            grouped(*count),
            Escaped(name),
            Escaped(remedy)
        );
    }
    page.push_str("</ul>\n");
}

/// The categories that occurred, the most frequent first.
fn failures(failed: Failed) -> Vec<(u64, ConnectError)> {
    let all = ConnectError::ALL.map(|error| (failed.of(error), error));
    let mut found: Vec<_> = all.into_iter().filter(|(count, _)| *count > 0).collect();
    found.sort_by_key(|(count, _)| Reverse(*count));
    found
}

fn expectations(page: &mut String, result: &LoadResult) {
    if result.expect.is_empty() {
        return;
    }
    page.push_str(
        "<section>\n<h2>What was expected</h2>\n<div class=\"card scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"What was expected\">\n<table>\n\
         <thead><tr><th scope=\"col\">expected</th><th scope=\"col\">found</th><th scope=\"col\">verdict</th></tr></thead>\n\
         <tbody>\n",
    );
    for expected in &result.expect {
        let (class, verdict) = if expected.met {
            ("met", "\u{2713} met")
        } else {
            ("missed", "\u{2717} missed")
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{} {}</td><td class=\"{class}\">{verdict}</td></tr>",
            Escaped(&expected.expr),
            short(expected.actual),
            Escaped(unit(&expected.expr))
        );
    }
    page.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

/// The unit in which an expectation was typed, which is that of what was found.
fn unit(expr: &str) -> &str {
    let after = expr.rfind(|c: char| c.is_ascii_digit());
    after
        .and_then(|digit| expr.get(digit + 1..))
        .unwrap_or("")
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_what_stands_behind_the_number() {
        for (expr, expected) in [
            ("p99.9<5ms", "ms"),
            ("lost=0", ""),
            ("alive = 100%", "%"),
            ("", ""),
        ] {
            assert_eq!(unit(expr), expected);
        }
    }
}
