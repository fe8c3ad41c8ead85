//! Expectations of a result: `p99<5ms`, `rate>100k`, `lost=0`, `alive=100%`.

use super::{Expectation, LoadResult};
use crate::numbers::{as_f64, percent};
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

const FIGURES: [Figure; 15] = {
    use Dimension::{Count, Share, Time};
    [
        ("p50", Time, |r| as_f64(r.echo.response_time_us.p50)),
        ("p90", Time, |r| as_f64(r.echo.response_time_us.p90)),
        ("p99", Time, |r| as_f64(r.echo.response_time_us.p99)),
        ("p99.9", Time, |r| as_f64(r.echo.response_time_us.p99_9)),
        ("p99.99", Time, |r| as_f64(r.echo.response_time_us.p99_99)),
        ("max", Time, |r| as_f64(r.echo.response_time_us.max)),
        ("mean", Time, |r| r.echo.response_time_us.mean),
        ("rate", Count, |r| r.echo.per_second),
        ("lost", Count, |r| as_f64(r.connections.lost)),
        ("failed", Count, |r| as_f64(r.connections.failed.total())),
        ("mismatched", Count, |r| {
            as_f64(r.echo.mismatched + r.probe.mismatched)
        }),
        ("unanswered", Count, |r| as_f64(r.echo.unanswered)),
        ("retransmitted", Count, |r| as_f64(r.connect.retransmitted)),
        ("opened", Share, |r| {
            percent(r.connections.opened, r.connections.asked)
        }),
        ("alive", Share, |r| percent(r.probe.alive, r.probe.asked)),
    ]
};

/// The factor of each unit: times in microseconds, counts in ones, shares in percent.
const UNITS: [(&str, Dimension, f64); 9] = [
    ("ns", Dimension::Time, 1e-3),
    ("us", Dimension::Time, 1.0),
    ("ms", Dimension::Time, 1e3),
    ("s", Dimension::Time, 1e6),
    ("m", Dimension::Time, 60e6),
    ("", Dimension::Count, 1.0),
    ("k", Dimension::Count, 1e3),
    ("m", Dimension::Count, 1e6),
    ("%", Dimension::Share, 1.0),
];

/// A relation of the figure found and the value expected.
type Relation = fn(f64, f64) -> bool;

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

impl Condition {
    /// Checks a result.
    #[must_use]
    pub fn check(&self, result: &LoadResult) -> Expectation {
        let (_, dimension, figure) = self.figure;
        let actual = figure(result) / self.unit;
        // Without an echo there is no time to compare.
        let is_measured = dimension != Dimension::Time || result.echo.received > 0;
        Expectation {
            expr: self.text.clone(),
            actual,
            met: is_measured && (self.relation)(actual, self.value),
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
        result.echo.response_time_us.p99 = 1200;
        result.echo.response_time_us.p99_9 = 7000;
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
            ("lost=0", false, 3.0),
            ("lost=3", true, 3.0),
            ("mismatched=0", true, 0.0),
            ("alive=100%", false, 99.7),
            ("alive>99%", true, 99.7),
        ] {
            let expectation = text.parse::<Condition>().unwrap().check(&result());
            assert_eq!(expectation.expr, text);
            assert_eq!(expectation.met, met, "{text}");
            assert!(
                (expectation.actual - actual).abs() < 1e-9,
                "{expectation:?}"
            );
        }
    }

    #[test]
    fn figure_that_was_not_measured_does_not_meet() {
        let condition: Condition = "p99<5ms".parse().unwrap();
        assert!(!condition.check(&LoadResult::default()).met);
        let condition: Condition = "alive=100%".parse().unwrap();
        assert!(!condition.check(&LoadResult::default()).met);
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
