//! One row of the table: a figure of each rival, the ratios, and the bars.

pub(crate) use crate::rivals::{Against, COLUMNS};

use crate::rivals::RIVALS;
use crate::stats::{Interval, median};
use std::fmt::Write;

/// A figure of each rival that was measured.
pub(crate) struct Row {
    pub(crate) part: &'static str,
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// The figure of every round by rival; empty for a rival that was not measured.
    series: [Vec<f64>; RIVALS],
    pub(crate) bars: Vec<Bar>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Nanoseconds,
    Milliseconds,
    Bytes,
    Megabytes,
    Instructions,
}

/// A condition on a row.
pub(crate) struct Bar {
    pub(crate) text: String,
    pub(crate) met: bool,
    /// Whether it depends on times, which are not reliable in a quick run.
    timed: bool,
}

impl Bar {
    /// Whether it decides the exit code of the bench.
    pub(crate) fn counts(&self, quick: bool) -> bool {
        !(quick && self.timed)
    }
}

impl Row {
    pub(crate) fn new(
        part: &'static str,
        what: impl Into<String>,
        unit: Unit,
        series: [Vec<f64>; RIVALS],
    ) -> Row {
        Row {
            part,
            what: what.into(),
            unit,
            series,
            bars: Vec::new(),
        }
    }

    /// A figure of echoloop alone.
    pub(crate) fn alone(
        part: &'static str,
        what: impl Into<String>,
        unit: Unit,
        figures: Vec<f64>,
    ) -> Row {
        let mut series = [const { Vec::new() }; RIVALS];
        series[0] = figures;
        Row::new(part, what, unit, series)
    }

    /// The median of a rival; NaN if it was not measured.
    pub(crate) fn median(&self, rival: usize) -> f64 {
        median(&self.series[rival])
    }

    /// The column of the rival to compare with: the best one that was measured.
    pub(crate) fn best(&self, against: Against) -> usize {
        let candidates = against.candidates().iter().copied();
        let best = candidates.reduce(|best, other| {
            let is_better = if self.unit == Unit::PerSecond {
                self.median(other) > self.median(best)
            } else {
                self.median(other) < self.median(best)
            };
            if is_better || self.series[best].is_empty() {
                other
            } else {
                best
            }
        });
        best.unwrap_or_default()
    }

    /// The ratio of echoloop to a rival, if both were measured.
    fn ratio(&self, against: Against) -> Option<Interval> {
        let rival = self.best(against);
        let [ours, theirs] = [&self.series[0], &self.series[rival]];
        // The baseline allocates nothing for an idle connection, and a ratio to nearly 0 B has no meaning.
        let least = if self.unit == Unit::Bytes { 1.0 } else { 0.0 };
        let comparable = ours.len() == theirs.len() && self.median(rival) > least;
        comparable.then(|| Interval::of_ratios(ours, theirs))
    }

    /// A bar: at least `bar` times the rival, within the interval.
    pub(crate) fn at_least(self, bar: f64, against: Against) -> Row {
        let ratio = self.ratio(against);
        let met = ratio.is_some_and(|ratio| ratio.high >= bar);
        let text = format!("≥ {bar:.2} of {}", COLUMNS[self.best(against)]);
        self.bar(text, met, true)
    }

    /// A bar: at most `bar` times the rival, within the interval.
    pub(crate) fn at_most(self, bar: f64, against: Against) -> Row {
        let ratio = self.ratio(against);
        let met = ratio.is_some_and(|ratio| ratio.low <= bar);
        let text = format!("≤ {bar:.2} of {}", COLUMNS[self.best(against)]);
        self.bar(text, met, true)
    }

    /// A bar of another kind.
    pub(crate) fn bar(mut self, text: String, met: bool, timed: bool) -> Row {
        self.bars.push(Bar { text, met, timed });
        self
    }

    /// The median of each rival, formatted; empty if it was not measured.
    pub(crate) fn cells(&self) -> [String; RIVALS] {
        std::array::from_fn(|rival| match self.series[rival][..] {
            [] => String::new(),
            _ => self.unit.format(self.median(rival)),
        })
    }

    /// The ratios to [`Against::COLUMNS`], formatted.
    pub(crate) fn ratios(&self) -> [String; 3] {
        Against::COLUMNS.map(|against| match self.ratio(against) {
            // A single measurement has no interval.
            Some(ratio) if self.series[0].len() == 1 => format!("{:.3}", ratio.median),
            Some(ratio) => format_ratio(ratio),
            None => String::new(),
        })
    }

    /// The bars, and whether they are met.
    pub(crate) fn verdict(&self, quick: bool) -> String {
        let verdicts = self.bars.iter().map(|bar| {
            let verdict = match (bar.met, bar.counts(quick)) {
                (true, _) => "met",
                (false, true) => "MISSED",
                (false, false) => "missed (does not count in --quick)",
            };
            format!("{} {verdict}", bar.text)
        });
        verdicts.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn json(&self) -> String {
        let mut text = format!(
            "{{\"part\":{:?},\"what\":{:?},\"unit\":\"{:?}\"",
            self.part, self.what, self.unit
        );
        for (name, series) in COLUMNS.iter().zip(&self.series) {
            let _ = write!(text, ",\"{name}\":{series:?}");
        }
        let bars = self
            .bars
            .iter()
            .map(|bar| format!("{{\"bar\":{:?},\"met\":{}}}", bar.text, bar.met));
        let bars: Vec<String> = bars.collect();
        let _ = write!(text, ",\"bars\":[{}]}}", bars.join(","));
        text
    }
}

/// A ratio and its interval.
pub(crate) fn format_ratio(ratio: Interval) -> String {
    let Interval { low, median, high } = ratio;
    format!("{median:.3} [{low:.3} {high:.3}]")
}

impl Unit {
    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Unit::PerSecond => format!("{}/s", grouped(value)),
            Unit::Nanoseconds => format!("{} ns", grouped(value)),
            Unit::Milliseconds => format!("{value:.2} ms"),
            Unit::Bytes if value < 1000.0 => format!("{value:.1} B"),
            Unit::Bytes => format!("{} B", grouped(value)),
            Unit::Megabytes => format!("{value:.2} MB"),
            Unit::Instructions => format!("{value:.1}"),
        }
    }
}

/// A whole number with a comma between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Checks the formatting of figures.
pub(crate) fn self_check() {
    assert_eq!(grouped(1_234_567.0), "1,234,567");
    assert_eq!(grouped(999.0), "999");
}
