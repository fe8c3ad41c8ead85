//! Lines with their names at their ends, instead of a legend: for charts with more lines than a legend has room for.

use super::frame::{Chart, Style, marker};
use super::lines::{Series, Tip};
use super::svg::At;
use crate::sorting;
use maud::{Markup, html};

/// The least distance between two labels.
const LINE_HEIGHT: f64 = 16.0;

/// From the end of a line to its label.
const GAP: f64 = 9.0;

/// The name of a line, beside its last point.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) style: Style,
    /// The last point, as values.
    pub(crate) at: (f64, f64),
    pub(crate) text: String,
    /// Whether the line ends before the others: then a cross marks its end.
    pub(crate) is_end: bool,
}

impl Chart {
    /// Draws the lines, their labels and the tooltips.
    pub(crate) fn labelled_lines(&self, all: &[Series], labels: &[Label], tips: &[Tip]) -> Markup {
        let (low, high) = self.y.range();
        let heights: Vec<(f64, f64)> = labels
            .iter()
            .map(|label| (self.x_of(label.at.0), self.y_of(label.at.1)))
            .collect();
        let placed = spread(&heights, self.y_of(high), self.y_of(low));
        let content = html! {
            @for series in all { (series.draw(self)) }
            @for ((label, (x, y)), height) in labels.iter().zip(&heights).zip(&placed) {
                @if label.is_end {
                    g class=(Style::Bad.class()) { (marker(Style::Bad, *x, *y)) }
                }
                g class=(label.style.class()) {
                    text.label x=(At(x + GAP)) y=(At(height + 5.0)) { (label.text) }
                }
            }
            (self.draw_tips(tips))
        };
        self.figure(&[], &content)
    }
}

/// The heights of labels such that no two overlap, in the order given.
fn spread(places: &[(f64, f64)], top: f64, bottom: f64) -> Vec<f64> {
    let mut heights: Vec<f64> = places.iter().map(|(_, y)| *y).collect();
    let mut order: Vec<usize> = (0..places.len()).collect();
    sorting::sort_by(&mut order, |one, other| {
        heights[*one].total_cmp(&heights[*other])
    });
    let mut least = top;
    for index in &order {
        heights[*index] = heights[*index].max(least);
        least = heights[*index] + LINE_HEIGHT;
    }
    // Above the line, which has no label below it.
    let mut most = bottom - LINE_HEIGHT / 2.0;
    for index in order.iter().rev() {
        heights[*index] = heights[*index].min(most);
        most = heights[*index] - LINE_HEIGHT;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_overlap() {
        let ys = [50.0, 20.0, 52.0, 199.0, 200.0];
        let heights = spread(&ys.map(|y| (10.0, y)), 0.0, 208.0);
        let expected = [50.0, 20.0, 50.0 + LINE_HEIGHT, 200.0 - LINE_HEIGHT, 200.0];
        for (height, expected) in heights.iter().zip(expected) {
            assert!((height - expected).abs() < 1e-9, "{heights:?}");
        }
    }
}
