//! What is wrong, in words, and what to do about it.

use crate::load::{Failed, LoadResult, Saved};
use crate::numbers::grouped;
use crate::report::chart::Escaped;
use crate::report::units::short;
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

/// Warnings, failures by cause, and expectations, where there are any.
pub(super) fn section(page: &mut String, saved: &Saved) {
    let result = &saved.result;
    let failures = causes(&result.connections.failed);
    if !result.warnings.is_empty() || !failures.is_empty() {
        page.push_str("<section>\n<h2>What is wrong</h2>\n<ul class=\"plain\">\n");
        for warning in &result.warnings {
            let _ = writeln!(page, "<li class=\"card wrong\">{}</li>", Escaped(warning));
        }
        page.push_str("</ul>\n");
        failed(page, &failures);
        page.push_str("</section>\n");
    }
    expectations(page, result);
}

fn failed(page: &mut String, failures: &[Failure]) {
    if failures.is_empty() {
        return;
    }
    page.push_str("<h3>Connections that could not be opened</h3>\n<ul class=\"plain\">\n");
    for failure in failures {
        let _ = writeln!(
            page,
            "<li class=\"card wrong\"><strong>{}: {}.</strong> {}</li>",
            grouped(failure.count),
            failure.cause,
            failure.remedy
        );
    }
    page.push_str("</ul>\n");
}

struct Failure {
    count: u64,
    cause: &'static str,
    remedy: &'static str,
}

/// Those that there were, the most frequent first.
fn causes(failed: &Failed) -> Vec<Failure> {
    let all = [
        (
            failed.refused,
            "refused",
            "Nobody listens at that address, or no longer: check it, and that the server runs. A firewall may refuse too.",
        ),
        (
            failed.timeout,
            "no answer in time",
            "Packets are dropped on the way, or the server's backlog overflows. Open more slowly (<code>--ramp</code>), \
             raise the server's backlog and <code>net.core.somaxconn</code>, or allow more time \
             (<code>--connect-timeout</code>).",
        ),
        (
            failed.reset,
            "reset before use",
            "The server accepted and closed at once: it is at its limit of connections or of descriptors. Raise them there \
             (<code>--max-connections</code>, <code>ulimit -n</code>).",
        ),
        (
            failed.no_ports,
            "no local port left",
            "An address has some 28,000 ports for one target. Give more addresses (<code>--sources</code>), or widen \
             <code>net.ipv4.ip_local_port_range</code>.",
        ),
        (
            failed.no_files,
            "no descriptor left on the load's host",
            "Raise the limit before the load starts (<code>ulimit -Hn</code>, <code>fs.nr_open</code>), or share the \
             connections among several processes and merge their results.",
        ),
        (
            failed.other,
            "another error",
            "Run it again with <code>-v</code>, which shows each.",
        ),
    ];
    let there = all.into_iter().filter(|(count, ..)| *count > 0);
    let mut failures: Vec<Failure> = there
        .map(|(count, cause, remedy)| Failure {
            count,
            cause,
            remedy,
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    failures
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
