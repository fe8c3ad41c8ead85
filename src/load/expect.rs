//! Expectations of a result: `p99<5ms`, `rate>100k`, `lost=0`, `alive=100%`.

use super::{Expectation, LoadResult, Summary};
use crate::numbers::{as_f64, percent};
use std::fmt;
use std::str::FromStr;

/// The dimension of a figure, which determines its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Time,
    Count,
    Share,
}

/// A figure by name: its dimension, and its value in microseconds, ones or percent.
type Figure = (&'static str, Dimension, fn(&LoadResult) -> f64);

const FIGURES: [Figure; 25] = {
    use Dimension::{Count, Share, Time};
    [
        ("p50", Time, |r| as_f64(r.echo.response_time_us.p50)),
        ("p90", Time, |r| as_f64(r.echo.response_time_us.p90)),
        ("p99", Time, |r| as_f64(r.echo.response_time_us.p99)),
        ("p99.9", Time, |r| as_f64(r.echo.response_time_us.p99_9)),
        ("p99.99", Time, |r| as_f64(r.echo.response_time_us.p99_99)),
        ("max", Time, |r| as_f64(r.echo.response_time_us.max)),
        ("mean", Time, |r| r.echo.response_time_us.mean),
        ("handshake_p50", Time, |r| as_f64(handshake(r).p50)),
        ("handshake_p90", Time, |r| as_f64(handshake(r).p90)),
        ("handshake_p99", Time, |r| as_f64(handshake(r).p99)),
        ("handshake_p99.9", Time, |r| as_f64(handshake(r).p99_9)),
        ("handshake_max", Time, |r| as_f64(handshake(r).max)),
        ("handshake_mean", Time, |r| handshake(r).mean),
        ("rate", Count, |r| r.echo.per_second),
        ("lost", Count, |r| as_f64(r.connections.lost)),
        ("failed", Count, |r| as_f64(r.connections.failed.total())),
        ("mismatched", Count, |r| {
            as_f64(r.echo.mismatched + r.probe.mismatched)
        }),
        ("due", Count, |r| as_f64(r.echo.due)),
        ("received", Count, |r| as_f64(r.echo.received)),
        ("outstanding", Count, |r| as_f64(r.echo.outstanding)),
        ("missing", Count, |r| as_f64(r.echo.missing)),
        ("unanswered", Count, |r| as_f64(r.echo.unanswered)),
        ("retransmitted", Count, |r| as_f64(r.connect.retransmitted)),
        ("opened", Share, |r| {
            percent(r.connections.opened, r.connections.asked)
        }),
        ("alive", Share, |r| percent(r.probe.alive, r.probe.asked)),
    ]
};

/// The times of the handshakes of TLS; without TLS, none.
fn handshake(result: &LoadResult) -> Summary {
    result.connect.handshake_us.clone().unwrap_or_default()
}

/// The factor of each unit: times in microseconds, counts in ones, shares in percent.
const UNITS: [(&str, Dimension, f64); 13] = [
    ("ns", Dimension::Time, 1e-3),
    ("us", Dimension::Time, 1.0),
    ("ms", Dimension::Time, 1e3),
    ("s", Dimension::Time, 1e6),
    ("m", Dimension::Time, 60e6),
    ("", Dimension::Count, 1.0),
    ("k", Dimension::Count, 1e3),
    ("K", Dimension::Count, 1e3),
    ("m", Dimension::Count, 1e6),
    ("M", Dimension::Count, 1e6),
    ("g", Dimension::Count, 1e9),
    ("G", Dimension::Count, 1e9),
    ("%", Dimension::Share, 1.0),
];

/// A relation of the figure found and the value expected.
type Relation = fn(f64, f64) -> bool;

/// Signs that a figure meets which is at most something: a lower bound does not show that.
const UPPER_LIMITS: [&str; 3] = ["<", "<=", "="];

/// Longer signs precede their prefixes.
const RELATIONS: [(&str, Relation); 5] = [
    ("<=", |found, expected| found <= expected),
    (">=", |found, expected| found >= expected),
    ("<", |found, expected| found < expected),
    (">", |found, expected| found > expected),
    // Both are small whole numbers, or shares of them: rounding does not matter.
    ("=", |found, expected| {
        (found - expected).abs() < f64::EPSILON
    }),
];

/// A condition on a result.
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    figure: Figure,
    sign: &'static str,
    relation: Relation,
    value: f64,
    unit: f64,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let spaceless: String = text.split_whitespace().collect();
        let at = spaceless.find(['<', '>', '=']).ok_or_else(|| {
            "no <, > or = in it: write p99<5ms, rate>100k, lost=0 or alive=100%".to_owned()
        })?;
        let (name, rest) = spaceless.split_at(at);
        let figure = FIGURES.into_iter().find(|(known, ..)| *known == name);
        let figure = figure.ok_or_else(|| {
            let known = FIGURES.map(|(known, ..)| known).join(", ");
            format!("{name:?} is not known; known are {known}")
        })?;
        let relation = RELATIONS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, relation) = relation.ok_or("no <, > or = in it")?;
        let (value, unit) = number_with_unit(&rest[sign.len()..], figure.1)?;
        Ok(Condition {
            text: text.to_owned(),
            figure,
            sign,
            relation: *relation,
            value,
            unit,
        })
    }
}

fn number_with_unit(text: &str, dimension: Dimension) -> Result<(f64, f64), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let mut units = UNITS.iter();
    let scale = units.find(|(name, of, _)| *name == unit && *of == dimension);
    if let (Ok(number), Some((.., scale))) = (number.parse::<f64>(), scale) {
        return Ok((number, *scale));
    }
    let example = match dimension {
        Dimension::Time => "a time: write 500us or 5ms",
        Dimension::Count => "a count: write 0 or 100k",
        Dimension::Share => "a share: write 100%",
    };
    Err(format!("{text:?} is not {example}"))
}

/// As typed.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Condition {
    /// The name of its figure.
    #[must_use]
    pub fn figure_name(&self) -> &'static str {
        self.figure.0
    }

    /// Whether it is a condition on echoes, which need active connections.
    #[must_use]
    pub fn needs_echoes(&self) -> bool {
        let (name, dimension, _) = self.figure;
        (dimension == Dimension::Time && !self.needs_tls()) || name == "rate"
    }

    /// Whether it is a condition on handshakes of TLS.
    #[must_use]
    pub fn needs_tls(&self) -> bool {
        self.figure.0.starts_with("handshake_")
    }

    /// Whether only a lower bound of its figure is known.
    #[must_use]
    pub fn is_lower_bound(&self, result: &LoadResult) -> bool {
        let (name, dimension, _) = self.figure;
        let bounds = &result.echo.response_time_lower_bounds;
        dimension == Dimension::Time && bounds.is_bound(&name.replace('.', "_"))
    }

    /// Checks a result. Without samples, and if only a lower bound is known where an upper limit is expected, it is not
    /// met.
    #[must_use]
    pub fn check(&self, result: &LoadResult) -> Expectation {
        let (name, dimension, figure) = self.figure;
        let echo = &result.echo;
        let has_samples = match dimension {
            Dimension::Time if self.needs_tls() => handshake(result).count > 0,
            Dimension::Time => echo.response_time_us.count > 0,
            Dimension::Share if name == "alive" => result.probe.asked > 0,
            Dimension::Share | Dimension::Count => true,
        };
        let is_unknown = self.is_lower_bound(result) && UPPER_LIMITS.contains(&self.sign);
        let actual = figure(result) / self.unit;
        Expectation {
            expr: self.text.clone(),
            actual: has_samples.then_some(actual),
            met: has_samples && !is_unknown && (self.relation)(actual, self.value),
        }
    }
}

impl Expectation {
    /// The figure found, as text in the unit of the expression.
    #[must_use]
    pub fn found(&self) -> String {
        let Some(actual) = self.actual else {
            return "no samples".to_owned();
        };
        let figure = (actual * 1e3).round() / 1e3;
        let is_of_number = |c: char| !(c.is_alphabetic() || c == '%');
        match self.expr.trim_end().rsplit(is_of_number).next() {
            None | Some("") => figure.to_string(),
            // A factor such as k, without a space as in the expression.
            Some(unit) if unit.len() == 1 && unit != "s" && unit != "%" => {
                format!("{figure}{unit}")
            }
            Some(unit) => format!("{figure} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> LoadResult {
        let mut result = LoadResult::default();
        result.echo.received = 1000;
        result.echo.per_second = 120_000.0;
        result.echo.response_time_us.count = 1000;
        result.echo.response_time_us.p99 = 1200;
        result.echo.response_time_us.p99_9 = 7000;
        result.connect.handshake_us = Some(Summary {
            count: 10,
            p99: 7500,
            max: 30_000,
            ..Summary::default()
        });
        result.connections.lost = 3;
        result.probe.asked = 1000;
        result.probe.alive = 997;
        result
    }

    #[test]
    fn conditions_are_checked_in_the_unit_given() {
        for (text, met, actual) in [
            ("p99<5ms", true, 1.2),
            ("p99 <= 1.2ms", true, 1.2),
            ("p99<1200us", false, 1200.0),
            ("p99.9<5ms", false, 7.0),
            ("rate>100k", true, 120.0),
            ("rate>=0.13m", false, 0.12),
            ("rate>100K", true, 120.0),
            ("rate<1M", true, 0.12),
            ("lost=0", false, 3.0),
            ("lost=3", true, 3.0),
            ("mismatched=0", true, 0.0),
            ("alive=100%", false, 99.7),
            ("alive>99%", true, 99.7),
            ("handshake_p99<20ms", true, 7.5),
            ("handshake_max<20ms", false, 30.0),
        ] {
            let expectation = text.parse::<Condition>().unwrap().check(&result());
            assert_eq!(expectation.expr, text);
            assert_eq!(expectation.met, met, "{text}");
            assert!(
                (expectation.actual.unwrap() - actual).abs() < 1e-9,
                "{expectation:?}"
            );
        }
    }

    #[test]
    fn found_figure_has_the_unit_of_the_expression() {
        for (text, found) in [
            ("p99<5ms", "1.2 ms"),
            ("p99 <= 1.2 us ", "1200 us"),
            ("rate>100k", "120k"),
            ("lost=0", "3"),
            ("alive=100%", "99.7 %"),
        ] {
            let expectation = text.parse::<Condition>().unwrap().check(&result());
            assert_eq!(expectation.found(), found, "{text}");
        }
    }

    #[test]
    fn figure_that_was_not_measured_does_not_meet() {
        for text in [
            "p99<5ms",
            "p99>0us",
            "max<5ms",
            "handshake_p99<5s",
            "alive=100%",
            "alive<100%",
        ] {
            let condition: Condition = text.parse().unwrap();
            let expectation = condition.check(&LoadResult::default());
            assert!(!expectation.met, "{text}");
            assert_eq!(expectation.found(), "no samples");
        }
    }

    #[test]
    fn lower_bound_does_not_meet_an_upper_limit() {
        let mut result = result();
        let bounds = &mut result.echo.response_time_lower_bounds;
        bounds.count = 1;
        bounds.figures = ["p99_9", "max"].map(str::to_owned).to_vec();
        for (text, met) in [
            ("p99<5ms", true),
            ("p99.9<10ms", false),
            ("p99.9<=10ms", false),
            ("p99.9>5ms", true),
            ("max<1m", false),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition.check(&result).met, met, "{text}");
        }
    }

    #[test]
    fn invalid_expressions_are_rejected() {
        for wrong in [
            "",
            "p99",
            "p98<5ms",
            "p99<5",
            "rate>5ms",
            "lost=",
            "alive=100",
            "p99<>5ms",
            "<5ms",
        ] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }
}
