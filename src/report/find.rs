//! What `load --find` has found: one sentence, and the curve as text.

use super::units::{as_f64, short, time, whole};
use crate::load::{Cause, ConnectError, Find, FindStep, Quantity};
use crate::numbers::grouped;
use crate::wrap::{Break, WIDTH, wrapped};
use std::fmt::Write;

/// The longest bar of the curve.
const BAR: f64 = 24.0;

/// How a search or a sweep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Each step needed was made.
    Complete,
    /// A signal has ended it.
    Interrupted,
    /// The server accepted no connection before the next step.
    ServerGone,
}

/// The result in one sentence. `cause` is why the step at `find.next` was not met.
#[must_use]
pub fn find_sentence(find: &Find, cause: Option<&Cause>, ending: Ending) -> String {
    let condition = find.condition.as_deref().map(spaced);
    let condition = condition.map_or(String::new(), |condition| format!(" with {condition}"));
    let cause = cause.map(why).unwrap_or_default();
    let mut sentence = match (find.best, find.next) {
        (Some(best), Some(next)) => {
            let (best, next) = (amount(find.what, best), number(find.what, next));
            format!("{best}{condition}; at {next} {cause}")
        }
        (Some(best), None) => {
            let best = amount(find.what, best);
            format!("at least {best}{condition}; no larger value was tried")
        }
        (None, Some(next)) => {
            let next = amount(find.what, next);
            format!("not even {next}{condition}: {cause}")
        }
        (None, None) => "no step has ended".to_owned(),
    };
    sentence.push_str(match ending {
        Ending::Complete => "",
        Ending::Interrupted => " (interrupted by a signal)",
        Ending::ServerGone => " (then the server accepted no connection)",
    });
    sentence
}

/// A value without its unit: `183k`, `1,200`.
fn number(what: Quantity, value: u64) -> String {
    match what {
        Quantity::Rate => short(as_f64(value)),
        Quantity::Active | Quantity::Idle => grouped(value),
    }
}

/// A value with its unit: `183k/s`, `1,200 idle connections`.
fn amount(what: Quantity, value: u64) -> String {
    let number = number(what, value);
    let connections = if value == 1 {
        "connection"
    } else {
        "connections"
    };
    match what {
        Quantity::Rate => format!("{number}/s"),
        Quantity::Active => format!("{number} active {connections}"),
        Quantity::Idle => format!("{number} idle {connections}"),
    }
}

/// Why a step was not met.
fn why(cause: &Cause) -> String {
    let of = |count: u64, one: &str, many: &str| {
        let words = if count == 1 { one } else { many };
        format!("{} {words}", grouped(count))
    };
    match cause {
        Cause::WrongReplies(count) => of(*count, "reply is wrong", "replies are wrong"),
        Cause::ConnectFailed(error @ (ConnectError::NoFiles | ConnectError::NoPorts), _) => {
            let (name, _) = error.description();
            format!("the load tester is the limit, not the server: {name}")
        }
        Cause::ConnectFailed(error, count) => {
            let failed = of(*count, "connection fails", "connections fail");
            format!("{failed}: {}", error.description().0)
        }
        Cause::Lost(count) => of(*count, "connection is lost", "connections are lost"),
        Cause::ProbesUnanswered(count) => of(
            *count,
            "idle connection does not answer its probe",
            "idle connections do not answer their probes",
        ),
        Cause::LoadTester(lag) => {
            let lag = time(as_f64(*lag));
            format!("the load tester is the limit, not the server: its schedule lag is {lag} (p99)")
        }
        Cause::Condition(found, is_lower_bound) => {
            let (name, _, _, unit) = split(&found.expr);
            let least = if *is_lower_bound { "at least " } else { "" };
            match found.actual {
                Some(actual) => format!("{name} is {least}{}", measured(actual, unit)),
                None => format!("{name} has no samples"),
            }
        }
        Cause::Rate(rate) => format!("only {}/s are answered", short(*rate)),
        Cause::Unanswered(count) => of(
            *count,
            "message is not answered",
            "messages are not answered",
        ),
        Cause::NoReplies => "no message is answered".to_owned(),
    }
}

/// A condition as name, relation, number and unit.
fn split(condition: &str) -> (&str, &str, &str, &str) {
    let condition = condition.trim();
    let is_sign = |c: char| "<>=".contains(c);
    let start = condition.find(is_sign).unwrap_or(condition.len());
    let (name, rest) = condition.split_at(start);
    let end = rest.find(|c| !is_sign(c)).unwrap_or(rest.len());
    let (sign, rest) = rest.split_at(end);
    let rest = rest.trim();
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = rest.split_at(digits.unwrap_or(rest.len()));
    (name.trim(), sign, number, unit.trim())
}

/// A condition with spaces: `p99 < 5 ms`.
fn spaced(condition: &str) -> String {
    let (name, sign, number, unit) = split(condition);
    let space = if unit.ends_with('s') { " " } else { "" };
    format!("{name} {sign} {number}{space}{unit}")
}

/// A figure in a unit of conditions.
fn measured(figure: f64, unit: &str) -> String {
    match unit {
        "ns" => time(figure / 1e3),
        "us" => time(figure),
        "ms" => time(figure * 1e3),
        "s" => time(figure * 1e6),
        "k" => short(figure * 1e3),
        unit => format!("{}{unit}", short(figure)),
    }
}

/// The sentence and the curve, to be followed by the figures of the best step.
pub(super) fn text(find: &Find) -> String {
    let mut text = wrapped("", "", &find.sentence, Break::Words) + "\n";
    let _ = writeln!(text, "{}", heading(find.what));
    let longest = find.steps.iter().filter_map(|step| step.p99_us).max();
    for step in &find.steps {
        let mark = match step.value {
            value if Some(value) == find.best && step.met => "best",
            _ if step.met => "met",
            _ => "not met",
        };
        let line = row(find.what, step);
        let bar = bar(step.p99_us.unwrap_or(0), longest.unwrap_or(0));
        let _ = writeln!(text, "{}", format!("{line}  {mark:<8}{bar}").trim_end());
    }
    if let Some(best) = find.best {
        let _ = writeln!(text, "\nThe step at {}:", amount(find.what, best));
    }
    text.push('\n');
    text
}

/// One step as a line for a terminal, with the cause if it fits.
#[must_use]
pub fn find_line(what: Quantity, step: &FindStep, cause: Option<&Cause>) -> String {
    let (name, value) = (what.name(), grouped(step.value));
    let [_, rate, p50, p99] = cells(what, step);
    let times = match step.p50_us {
        Some(_) => format!("{rate:>10} received/s  p50 {p50:>8}  p99 {p99:>8}  "),
        None => String::new(),
    };
    let met = if step.met { "met" } else { "not met" };
    let line = format!("{name:<6} {value:>11}  {times}{met}");
    let cause = cause.map_or(String::new(), |cause| format!(": {}", why(cause)));
    let fits = line.len() + cause.len() <= WIDTH;
    if fits { line + &cause } else { line }
}

fn heading(what: Quantity) -> String {
    let [reached, p50, p99] = ["received/s", "p50", "p99"];
    format!("{:>12}{reached:>12}{p50:>10}{p99:>10}", what.name())
}

fn row(what: Quantity, step: &FindStep) -> String {
    let [value, rate, p50, p99] = cells(what, step);
    format!("{value:>12}{rate:>12}{p50:>10}{p99:>10}")
}

/// The value, replies per second, p50 and p99 of a step; `-` for what was not measured.
fn cells(what: Quantity, step: &FindStep) -> [String; 4] {
    let is_without_echoes = step.p50_us.is_none() && what != Quantity::Rate;
    let none = || "-".to_owned();
    let rate = if is_without_echoes {
        none()
    } else {
        grouped(whole(step.rate))
    };
    let [p50, p99] =
        [step.p50_us, step.p99_us].map(|us| us.map_or_else(none, |us| time(as_f64(us))));
    [grouped(step.value), rate, p50, p99]
}

/// A bar on a log scale, so that a knee of any size is visible.
fn bar(time: u64, longest: u64) -> String {
    let log = |time: u64| (as_f64(time) + 1.0).ln();
    let length = BAR * log(time) / log(longest).max(1.0);
    "#".repeat(usize::try_from(whole(length)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Expectation;

    fn find(what: Quantity, condition: Option<&str>, steps: &[(u64, bool)]) -> Find {
        let mut find = Find {
            what,
            condition: condition.map(str::to_owned),
            ..Find::default()
        };
        for (value, met) in steps {
            let p99_us = Some(value / 10);
            let rate = as_f64(*value);
            find.add(FindStep {
                value: *value,
                rate,
                p50_us: p99_us,
                p99_us,
                met: *met,
            });
        }
        find
    }

    fn missed(expr: &str, actual: f64) -> Cause {
        let found = Expectation {
            expr: expr.to_owned(),
            actual: Some(actual),
            met: false,
        };
        Cause::Condition(found, false)
    }

    #[test]
    fn sentence_names_the_best_value_and_why_the_next_fails() {
        let rate = find(
            Quantity::Rate,
            Some("p99<5ms"),
            &[(183_000, true), (190_000, false)],
        );
        let of = |find: &Find, cause: Cause| find_sentence(find, Some(&cause), Ending::Complete);
        assert_eq!(
            of(&rate, missed("p99<5ms", 41.0)),
            "183k/s with p99 < 5 ms; at 190k p99 is 41 ms"
        );
        assert_eq!(
            of(&rate, Cause::LoadTester(3000)),
            "183k/s with p99 < 5 ms; at 190k the load tester is the limit, not the server: \
             its schedule lag is 3 ms (p99)"
        );
        let idle = find(Quantity::Idle, None, &[(700, true), (701, false)]);
        assert_eq!(
            of(&idle, Cause::ConnectFailed(ConnectError::Reset, 1)),
            "700 idle connections; at 701 1 connection fails: reset before use"
        );
        let own = of(&idle, Cause::ConnectFailed(ConnectError::NoFiles, 1));
        assert!(own.contains("the load tester is the limit"), "{own}");
        let none = find(Quantity::Active, Some("rate > 10k"), &[(1, false)]);
        assert_eq!(
            of(&none, missed("rate > 10k", 2.5)),
            "not even 1 active connection with rate > 10k: rate is 2,500"
        );
    }

    #[test]
    fn sentence_without_a_limit_says_at_least() {
        let all = find(Quantity::Idle, None, &[(100, true), (200, true)]);
        assert_eq!(
            find_sentence(&all, None, Ending::Interrupted),
            "at least 200 idle connections; no larger value was tried (interrupted by a signal)"
        );
        let none = find(Quantity::Rate, None, &[]);
        let sentence = find_sentence(&none, None, Ending::ServerGone);
        assert!(sentence.starts_with("no step has ended"), "{sentence}");
    }

    #[test]
    fn curve_fits_80_columns_and_marks_the_best_step() {
        let mut find = find(
            Quantity::Rate,
            None,
            &[(1000, true), (4_000_000, false), (2_000_000, true)],
        );
        find.steps[0].p50_us = None;
        find.steps[0].p99_us = None;
        find.sentence = "2M/s with a long reason ".repeat(5);
        let text = text(&find);
        assert!(text.starts_with("2M/s with a long"), "{text}");
        let line = |value: &str| text.lines().find(|line| line.contains(value)).unwrap();
        assert!(line("2,000,000").contains(" best "), "{text}");
        assert!(line("4,000,000").contains(" not met "), "{text}");
        assert!(line(" 1,000 ").contains(" - "), "{text}");
        assert!(text.contains("The step at 2M/s:"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let late = Cause::LoadTester(3000);
        let line = find_line(Quantity::Active, &find.steps[2], Some(&late));
        assert!(line.len() <= 80 && line.ends_with(" not met"), "{line}");
        let lost = Cause::Lost(1);
        let line = find_line(Quantity::Active, &find.steps[0], Some(&lost));
        assert!(
            line.len() <= 80 && line.ends_with(": 1 connection is lost"),
            "{line}"
        );
    }
}
