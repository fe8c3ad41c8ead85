//! Histograms: a bar for the count between two times.

use super::frame::{Chart, Style};
use super::svg::At;
use crate::numbers::grouped;
use crate::report::curve::Bin;
use crate::report::units::{as_f64, time};
use maud::{Markup, html};

/// The smallest height of a bar: one message among a million remains visible.
const MIN_HEIGHT: f64 = 1.5;

impl Chart {
    /// Draws a bar for each bin that is not empty.
    pub(in crate::report) fn bars(&self, bins: &[Bin]) -> Markup {
        let bottom = self.y_of(self.y.range().0);
        let content = html! {
            g class=(Style::First.class()) {
                @for bin in bins.iter().filter(|bin| bin.count > 0) {
                    @let (from, to) = (self.x_of(bin.from), self.x_of(bin.to));
                    @let width = (to - from - 1.0).max(0.5);
                    @let height = (bottom - self.y_of(as_f64(bin.count))).max(MIN_HEIGHT);
                    rect.bar x=(At(from)) y=(At(bottom - height)) width=(At(width)) height=(At(height)) {
                        title { (time(bin.from)) " to " (time(bin.to)) ": " (grouped(bin.count)) }
                    }
                }
            }
        };
        self.figure(&[], &content)
    }
}
