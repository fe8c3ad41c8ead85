//! A figure of two runs: both values, the change, and whether it is significant.

use super::significance::FEWEST_BLOCKS;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// A significant change is larger than this, in percent.
pub(super) const LEAST_CHANGE: f64 = 5.0;

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A time.
    Microseconds,
    /// Events per second.
    PerSecond,
    /// Memory.
    Bytes,
    /// A share of one CPU.
    Percent,
    /// A number of events.
    Count,
}

/// Whether two values differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They differ by more than 5 %, with 99.9 % confidence.
    Significant,
    /// The difference is too small or too uncertain.
    Noise,
    /// One of the runs has too few seconds for this confidence.
    TooFewSeconds,
    /// The runs are long enough, but have too few messages for this percentile.
    TooFewMessages,
    /// A run has one value of this figure, and no spread by which to judge a difference.
    NotTested,
}

impl Verdict {
    /// The name in JSON.
    fn name(self) -> &'static str {
        match self {
            Verdict::Significant => "significant",
            Verdict::Noise => "noise",
            Verdict::TooFewSeconds => "too_few_seconds",
            Verdict::TooFewMessages => "too_few_messages",
            Verdict::NotTested => "not_tested",
        }
    }
}

/// One figure of two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The name in JSON.
    pub key: &'static str,
    /// The name in text.
    pub name: &'static str,
    /// The unit of both values.
    pub unit: Unit,
    /// The value of the first run; none if it was not measured.
    pub base: Option<f64>,
    /// The value of the second run; none if it was not measured.
    pub new: Option<f64>,
    /// The limits of the change from second to second, in percent, with 99.9 % confidence.
    pub interval_percent: Option<(f64, f64)>,
    /// Whether the values differ.
    pub verdict: Verdict,
}

impl Figure {
    /// A figure that is not tested.
    pub(super) fn new(
        key: &'static str,
        name: &'static str,
        unit: Unit,
        [base, new]: [Option<f64>; 2],
    ) -> Figure {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Figure {
            key,
            name,
            unit,
            base: finite(base),
            new: finite(new),
            interval_percent: None,
            verdict: Verdict::NotTested,
        }
    }

    /// The same figure with the verdict of the samples of both runs: `seconds` is the length of the shorter run.
    pub(super) fn tested(self, interval: Option<(f64, f64)>, seconds: usize) -> Figure {
        if self.base.is_none() || self.new.is_none() {
            return self;
        }
        let Some((low, high)) = interval else {
            let verdict = if seconds < FEWEST_BLOCKS {
                Verdict::TooFewSeconds
            } else {
                Verdict::TooFewMessages
            };
            return Figure { verdict, ..self };
        };
        let [low, high] = [low, high].map(|ratio| 100.0 * (ratio - 1.0));
        let is_significant = self.is_beyond_resolution()
            && self.change_percent().is_some_and(|change| {
                // The whole runs must differ as their seconds do: a single extreme second can move a percentile of all.
                (low > LEAST_CHANGE && change > LEAST_CHANGE)
                    || (high < -LEAST_CHANGE && change < -LEAST_CHANGE)
            });
        Figure {
            interval_percent: Some((low, high)),
            verdict: if is_significant {
                Verdict::Significant
            } else {
                Verdict::Noise
            },
            ..self
        }
    }

    /// Times are measured in whole microseconds: 10 us and 11 us may be 10.4 us and 10.6 us.
    fn is_beyond_resolution(&self) -> bool {
        let (Some(base), Some(new)) = (self.base, self.new) else {
            return false;
        };
        self.unit != Unit::Microseconds || (new - base).abs() > 1.0
    }

    /// The change from the first run to the second, in percent of the first; none if that is zero or not measured.
    #[must_use]
    pub fn change_percent(&self) -> Option<f64> {
        let (base, new) = (self.base?, self.new?);
        if (new - base).abs() < f64::EPSILON {
            return Some(0.0);
        }
        let change = 100.0 * (new - base) / base;
        (base > 0.0 && change.is_finite()).then_some(change)
    }

    /// Whether the figure was tested, with a result.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.verdict, Verdict::Significant | Verdict::Noise)
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut figure = serializer.serialize_struct("Figure", 6)?;
        figure.serialize_field("base", &self.base)?;
        figure.serialize_field("new", &self.new)?;
        figure.serialize_field("change_percent", &self.change_percent())?;
        figure.serialize_field("significant", &(self.verdict == Verdict::Significant))?;
        figure.serialize_field("verdict", self.verdict.name())?;
        figure.serialize_field("interval_percent", &self.interval_percent)?;
        figure.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(base: f64, new: f64) -> Figure {
        let values = [base, new].map(Some);
        Figure::new("p50_us", "p50", Unit::Microseconds, values)
    }

    #[test]
    fn seconds_and_whole_runs_must_both_differ_by_5_percent() {
        for (base, new, interval, verdict) in [
            (100.0, 120.0, (1.15, 1.25), Verdict::Significant),
            (100.0, 80.0, (0.75, 0.85), Verdict::Significant),
            (100.0, 120.0, (1.04, 1.25), Verdict::Noise),
            (100.0, 104.0, (1.06, 1.07), Verdict::Noise),
            (100.0, 80.0, (1.15, 1.25), Verdict::Noise),
            (10.0, 11.0, (1.08, 1.12), Verdict::Noise),
            (10.0, 12.0, (1.08, 1.12), Verdict::Significant),
        ] {
            let figure = times(base, new).tested(Some(interval), 10);
            assert_eq!(figure.verdict, verdict, "{figure:?}");
        }
    }

    #[test]
    fn figure_without_an_interval_has_too_few_seconds_or_messages() {
        assert_eq!(
            times(1.0, 9.0).tested(None, 6).verdict,
            Verdict::TooFewSeconds
        );
        assert_eq!(
            times(1.0, 9.0).tested(None, 7).verdict,
            Verdict::TooFewMessages
        );
        let mut absent = times(1.0, 9.0);
        absent.base = None;
        assert_eq!(absent.tested(None, 6).verdict, Verdict::NotTested);
    }

    #[test]
    fn change_from_zero_is_unknown() {
        let change = |base, new| times(base, new).change_percent();
        assert_eq!(change(0.0, 5.0), None);
        assert_eq!(change(0.0, 0.0), Some(0.0));
        assert_eq!(change(50.0, 25.0), Some(-50.0));
        assert_eq!(change(f64::NAN, 25.0), None);
    }
}
