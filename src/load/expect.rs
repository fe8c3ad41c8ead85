//! What a load is expected to show: `p99<5ms`, `rate>100k`, `lost=0`, `alive=100%`.

use super::result::{Expectation, LoadResult};
use crate::numbers::percent;
use std::str::FromStr;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Mean,
    Rate,
    Lost,
    Failed,
    Mismatched,
    Unanswered,
    Retransmitted,
    Opened,
    Alive,
}

/// In what it is measured, which decides how a value is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Time,
    Count,
    Share,
}

const FIGURES: [(&str, Figure, Dimension); 15] = [
    ("p50", Figure::P50, Dimension::Time),
    ("p90", Figure::P90, Dimension::Time),
    ("p99", Figure::P99, Dimension::Time),
    ("p99.9", Figure::P999, Dimension::Time),
    ("p99.99", Figure::P9999, Dimension::Time),
    ("max", Figure::Max, Dimension::Time),
    ("mean", Figure::Mean, Dimension::Time),
    ("rate", Figure::Rate, Dimension::Count),
    ("lost", Figure::Lost, Dimension::Count),
    ("failed", Figure::Failed, Dimension::Count),
    ("mismatched", Figure::Mismatched, Dimension::Count),
    ("unanswered", Figure::Unanswered, Dimension::Count),
    ("retransmitted", Figure::Retransmitted, Dimension::Count),
    ("opened", Figure::Opened, Dimension::Share),
    ("alive", Figure::Alive, Dimension::Share),
];

/// By what a unit is to be multiplied: times to microseconds, counts to ones, shares to per cent.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// The longer ones first, since the shorter are their beginnings.
const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Equal),
];

/// A condition on a result.
#[derive(Clone, Debug, PartialEq)]
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
        let figure = FIGURES.iter().find(|(known, ..)| *known == name);
        let (_, figure, dimension) = *figure.ok_or_else(|| unknown(name))?;
        let relation = RELATIONS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, relation) = relation.ok_or("no <, > or = in it")?;
        let (value, unit) = number_with_unit(&rest[sign.len()..], dimension)?;
        Ok(Condition {
            text: text.to_owned(),
            figure,
            relation: *relation,
            value,
            unit,
        })
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = FIGURES.iter().map(|(known, ..)| *known).collect();
    format!("{name:?} is not known; known are {}", known.join(", "))
}

fn number_with_unit(text: &str, dimension: Dimension) -> Result<(f64, f64), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let scale = UNITS
        .iter()
        .find(|(name, of, _)| *name == unit && *of == dimension);
    match (number.parse::<f64>(), scale) {
        (Ok(number), Some((.., scale))) => Ok((number, *scale)),
        _ => Err(format!(
            "{text:?} is not {}",
            match dimension {
                Dimension::Time => "a time: write 500us or 5ms",
                Dimension::Count => "a count: write 0 or 100k",
                Dimension::Share => "a share: write 100%",
            }
        )),
    }
}

impl Condition {
    /// Whether the result is as expected.
    #[must_use]
    pub fn check(&self, result: &LoadResult) -> Expectation {
        let actual = self.figure.of(result) / self.unit;
        let met = match self.relation {
            Relation::Less => actual < self.value,
            Relation::AtMost => actual <= self.value,
            Relation::More => actual > self.value,
            Relation::AtLeast => actual >= self.value,
            // Both are whole numbers, or shares of whole numbers, and small: there is no rounding to allow for.
            Relation::Equal => (actual - self.value).abs() < f64::EPSILON,
        };
        Expectation {
            expr: self.text.clone(),
            actual,
            // Without one echo no time is short.
            met: met && !(self.figure.is_time() && result.echo.received == 0),
        }
    }
}

impl Figure {
    fn is_time(self) -> bool {
        FIGURES
            .iter()
            .any(|(_, figure, of)| *figure == self && *of == Dimension::Time)
    }

    /// In microseconds, ones or per cent.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn of(self, result: &LoadResult) -> f64 {
        let response = &result.echo.response_time_us;
        let (connections, probe) = (&result.connections, &result.probe);
        let count = match self {
            Figure::Mean => return response.mean,
            Figure::Rate => return result.echo.per_second,
            Figure::Opened => return percent(connections.opened, connections.asked),
            Figure::Alive => return percent(probe.alive, probe.asked),
            Figure::P50 => response.p50,
            Figure::P90 => response.p90,
            Figure::P99 => response.p99,
            Figure::P999 => response.p99_9,
            Figure::P9999 => response.p99_99,
            Figure::Max => response.max,
            Figure::Lost => connections.lost,
            Figure::Failed => connections.failed.total(),
            Figure::Mismatched => result.echo.mismatched + result.probe.mismatched,
            Figure::Unanswered => result.echo.unanswered,
            Figure::Retransmitted => result.connect.retransmitted,
        };
        count as f64
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
    fn conditions_are_checked_in_the_unit_in_which_they_were_typed() {
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
    fn what_was_never_measured_is_not_fast() {
        let condition: Condition = "p99<5ms".parse().unwrap();
        assert!(!condition.check(&LoadResult::default()).met);
        let condition: Condition = "alive=100%".parse().unwrap();
        assert!(!condition.check(&LoadResult::default()).met);
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write() {
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
