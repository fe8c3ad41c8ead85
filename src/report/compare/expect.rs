//! Expectations of a comparison: relative to the first run, `p99<+10%`, or of the second run alone, `p99<5ms`.

use super::{Comparison, Figure};
use crate::load::{Condition, Expectation, LoadResult};
use std::str::FromStr;

/// The figures that a relative condition can name, by their names in expressions and in JSON.
const FIGURES: [(&str, &str); 12] = [
    ("rate", "rate"),
    ("mean", "mean_us"),
    ("p50", "p50_us"),
    ("p90", "p90_us"),
    ("p99", "p99_us"),
    ("p99.9", "p99_9_us"),
    ("p99.99", "p99_99_us"),
    ("max", "max_us"),
    ("connects", "connect_rate"),
    ("memory", "rss_bytes_per_connection"),
    ("cpu", "server_cpu_percent"),
    ("cpu-per-echo", "server_cpu_us_per_echo"),
];

/// A condition of `--expect`.
#[derive(Clone, Debug)]
pub enum Expected {
    /// On one result.
    Absolute(Condition),
    /// On the change from the first run to the second.
    Relative(RelativeCondition),
}

/// A condition on a change: `p99<+10%`, `rate>-5%`.
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeCondition {
    text: String,
    key: &'static str,
    relation: Relation,
    percent: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Expected, String> {
        let spaceless: String = text.split_whitespace().collect();
        let is_relative = spaceless.ends_with('%') && spaceless.contains(['+', '-']);
        // A figure with a dash in its name has a sign behind its relation, or none.
        let change = spaceless.rsplit(['<', '>', '=']).next().unwrap_or_default();
        if is_relative && change.starts_with(['+', '-']) {
            relative(text, &spaceless).map(Expected::Relative)
        } else {
            text.parse().map(Expected::Absolute)
        }
    }
}

fn relative(text: &str, spaceless: &str) -> Result<RelativeCondition, String> {
    let at = spaceless.find(['<', '>']);
    let at = at.ok_or("no < or > in it: write p99<+10% or rate>-5%")?;
    let (name, rest) = spaceless.split_at(at);
    let known = FIGURES.iter().find(|(known, _)| *known == name);
    let (_, key) = known.ok_or_else(|| {
        let known = FIGURES.map(|(known, _)| known).join(", ");
        format!("no change of {name:?} is known; known are {known}")
    })?;
    let (relation, change) = match rest.as_bytes() {
        [b'<', b'=', ..] => (Relation::AtMost, &rest[2..]),
        [b'>', b'=', ..] => (Relation::AtLeast, &rest[2..]),
        [b'<', ..] => (Relation::Below, &rest[1..]),
        _ => (Relation::Above, &rest[1..]),
    };
    let number = change.strip_suffix('%').unwrap_or(change);
    let is_number = number
        .trim_start_matches(['+', '-'])
        .starts_with(|c: char| c.is_ascii_digit());
    let percent = number.parse::<f64>().ok().filter(|_| is_number);
    let percent = percent.ok_or_else(|| format!("{change:?} is no change: write +10% or -5%"))?;
    Ok(RelativeCondition {
        text: text.to_owned(),
        key,
        relation,
        percent,
    })
}

impl Expected {
    /// Whether it needs a first run.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        matches!(self, Expected::Relative(_))
    }

    /// Checks one result; a relative condition is not met, since there is no change.
    #[must_use]
    pub fn check(&self, result: &LoadResult) -> Expectation {
        match self {
            Expected::Absolute(condition) => condition.check(result),
            Expected::Relative(condition) => condition.check(None),
        }
    }

    /// Checks a comparison: the change, or the second run.
    #[must_use]
    pub fn check_comparison(&self, comparison: &Comparison) -> Expectation {
        match self {
            Expected::Absolute(condition) => condition.check(&comparison.new.saved.result),
            Expected::Relative(condition) => {
                let figure = comparison.figure(condition.key);
                condition.check(figure.and_then(Figure::change_percent))
            }
        }
    }
}

impl RelativeCondition {
    /// The change found is in percent, to a hundredth; an unknown change does not meet any condition.
    fn check(&self, change: Option<f64>) -> Expectation {
        let is_met = |change: f64| match self.relation {
            Relation::Below => change < self.percent,
            Relation::AtMost => change <= self.percent,
            Relation::Above => change > self.percent,
            Relation::AtLeast => change >= self.percent,
        };
        Expectation {
            expr: self.text.clone(),
            actual: change.map(|change| (change * 100.0).round() / 100.0),
            met: change.is_some_and(is_met),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative(text: &str) -> RelativeCondition {
        match text.parse().unwrap() {
            Expected::Relative(condition) => condition,
            Expected::Absolute(_) => panic!("{text} is absolute"),
        }
    }

    #[test]
    fn changes_are_checked_with_their_sign() {
        for (text, change, met) in [
            ("p99<+10%", 9.9, true),
            ("p99<+10%", 10.0, false),
            ("p99 <= +10 %", 10.0, true),
            ("p99<-10%", -5.0, false),
            ("rate>-5%", -4.0, true),
            ("rate>-5%", -6.0, false),
            ("rate>=-5%", -5.0, true),
            ("cpu-per-echo<+2.5%", 2.0, true),
        ] {
            let expectation = relative(text).check(Some(change));
            assert_eq!(expectation.met, met, "{text} at {change}");
            assert_eq!(expectation.expr, text);
            assert!((expectation.actual.unwrap() - change).abs() < 1e-9);
        }
        let unknown = relative("p99<+10%").check(None);
        assert_eq!((unknown.met, unknown.actual), (false, None));
    }

    #[test]
    fn conditions_without_a_sign_are_absolute() {
        for text in ["p99<5ms", "alive=100%", "opened>99%", "rate>100k"] {
            let condition: Expected = text.parse().unwrap();
            assert!(!condition.is_relative(), "{text}");
        }
    }

    #[test]
    fn invalid_changes_are_rejected() {
        for wrong in [
            "p99<+10ms",
            "p98<+10%",
            "p99<+%",
            "p99=+10%",
            "p99<+-1%",
            "<+10%",
            "p99<+inf%",
            "lost<+10%",
        ] {
            assert!(wrong.parse::<Expected>().is_err(), "{wrong}");
        }
    }
}
