//! One row of the table: a figure of each rival, their ratios, and the bars that they are to clear.

use crate::stats::{Interval, median};
use std::fmt::Write;

/// The rivals, as the table names them.
pub(crate) const COLUMNS: [&str; 3] = ["echoloop", "floor", "tokio"];

/// A figure of each rival, where it was measured.
pub(crate) struct Row {
    pub(crate) part: &'static str,
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// Round by round, by rival; empty where there is nothing to be measured.
    series: [Vec<f64>; 3],
    pub(crate) bars: Vec<Bar>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Nanoseconds,
    Milliseconds,
    Bytes,
    Megabytes,
    Instructions,
}

/// What a row is to reach.
pub(crate) struct Bar {
    pub(crate) text: String,
    pub(crate) met: bool,
    /// Whether it rests on times, which mean little in a quick run.
    timed: bool,
}

impl Bar {
    /// Whether it decides how the bench ends.
    pub(crate) fn counts(&self, quick: bool) -> bool {
        !(quick && self.timed)
    }
}

impl Row {
    pub(crate) fn new(
        part: &'static str,
        what: impl Into<String>,
        unit: Unit,
        series: [Vec<f64>; 3],
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
        series: Vec<f64>,
    ) -> Row {
        Row::new(part, what, unit, [series, Vec::new(), Vec::new()])
    }

    /// The median of a rival; not a number if it was not measured.
    pub(crate) fn median(&self, rival: usize) -> f64 {
        median(&self.series[rival])
    }

    /// The ratio of echoloop to a rival, if both were measured.
    fn ratio(&self, rival: usize) -> Option<Interval> {
        let [ours, theirs] = [&self.series[0], &self.series[rival]];
        // A ratio to next to nothing says nothing: the floor keeps no memory for an idle connection.
        let least = if self.unit == Unit::Bytes { 1.0 } else { 0.0 };
        let comparable = ours.len() == theirs.len() && self.median(rival) > least;
        comparable.then(|| Interval::of_ratios(ours, theirs))
    }

    /// At least so much of the floor (1) or of tokio (2), as far as can be told.
    pub(crate) fn at_least(self, bar: f64, rival: usize) -> Row {
        let ratio = self.ratio(rival);
        self.bar(
            format!("≥ {bar:.2} of {}", COLUMNS[rival]),
            ratio.is_some_and(|ratio| ratio.high >= bar),
            true,
        )
    }

    /// At most so much of the floor (1) or of tokio (2), as far as can be told.
    pub(crate) fn at_most(self, bar: f64, rival: usize) -> Row {
        let ratio = self.ratio(rival);
        self.bar(
            format!("≤ {bar:.2} of {}", COLUMNS[rival]),
            ratio.is_some_and(|ratio| ratio.low <= bar),
            true,
        )
    }

    /// A bar of another kind.
    pub(crate) fn bar(mut self, text: String, met: bool, timed: bool) -> Row {
        self.bars.push(Bar { text, met, timed });
        self
    }

    /// The median of each rival, as people read it.
    pub(crate) fn cells(&self) -> [String; 3] {
        std::array::from_fn(|rival| match self.series[rival][..] {
            [] => String::new(),
            _ => self.unit.show(self.median(rival)),
        })
    }

    /// The ratios to the floor and to tokio, as people read them.
    pub(crate) fn ratios(&self) -> [String; 2] {
        [1, 2].map(|rival| match self.ratio(rival) {
            // What was measured once has no interval.
            Some(ratio) if self.series[rival].len() == 1 => format!("{:.3}", ratio.median),
            Some(ratio) => show_ratio(ratio),
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
pub(crate) fn show_ratio(ratio: Interval) -> String {
    let Interval { low, median, high } = ratio;
    format!("{median:.3} [{low:.3} {high:.3}]")
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
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

/// Shows that figures are written, and bars judged, as they are meant.
pub(crate) fn self_check() {
    assert_eq!(grouped(1_234_567.0), "1,234,567");
    assert_eq!(grouped(999.0), "999");
    let row = |ours: f64| {
        Row::new(
            "",
            "",
            Unit::PerSecond,
            [vec![ours; 3], vec![100.0; 3], vec![]],
        )
    };
    assert!(row(98.5).at_least(0.98, 1).bars[0].met);
    assert!(!row(97.5).at_least(0.98, 1).bars[0].met);
    assert!(row(102.5).at_most(1.03, 1).bars[0].met);
    assert!(!row(103.5).at_most(1.03, 1).bars[0].met);
    assert!(
        !row(1.0).at_least(0.98, 2).bars[0].met,
        "what was not measured is not met"
    );
}
