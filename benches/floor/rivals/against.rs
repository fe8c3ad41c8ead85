//! The columns of the table, and what a row of it is compared with.

use super::RIVALS;
use crate::row::{Row, Unit};

/// The rivals, as the table names them.
pub(crate) const COLUMNS: [&str; RIVALS] =
    ["echoloop", "baseline", "tokio shared", "tokio 4 KiB", "Go"];

/// What echoloop is compared with: one rival, or the best of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    Baseline,
    /// The better of the two tokio servers in this row.
    Tokio,
    Go,
    BaselineOrTokio,
}

impl Against {
    /// The columns of ratios.
    pub(crate) const COLUMNS: [Against; 3] = [Against::Baseline, Against::Tokio, Against::Go];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Against::Baseline => "baseline",
            Against::Tokio => "best tokio",
            Against::Go => "Go",
            Against::BaselineOrTokio => "baseline or tokio",
        }
    }

    pub(crate) fn candidates(self) -> &'static [usize] {
        match self {
            Against::Baseline => &[1],
            Against::Tokio => &[2, 3],
            Against::Go => &[4],
            Against::BaselineOrTokio => &[1, 2, 3],
        }
    }
}

/// Checks the judgement of bars.
pub(crate) fn self_check() {
    let row = |ours: f64| {
        let series = [ours, 100.0, 80.0, 90.0].map(|figure| vec![figure; 3]);
        let [ours, baseline, shared, own] = series;
        let series = [ours, baseline, shared, own, vec![]];
        Row::new("", "", Unit::PerSecond, series)
    };
    let is_met = |row: Row| row.bars[0].met;
    assert!(is_met(row(98.5).at_least(0.98, Against::Baseline)));
    assert!(!is_met(row(97.5).at_least(0.98, Against::Baseline)));
    assert!(is_met(row(102.5).at_most(1.03, Against::Baseline)));
    assert!(!is_met(row(103.5).at_most(1.03, Against::Baseline)));
    assert!(is_met(row(90.0).at_least(1.0, Against::Tokio)));
    assert!(!is_met(row(85.0).at_least(1.0, Against::Tokio)));
    assert!(!is_met(row(95.0).at_least(0.98, Against::BaselineOrTokio)));
    let unmeasured = row(1.0).at_least(0.98, Against::Go);
    assert!(!is_met(unmeasured), "a missing rival meets no bar");
}
