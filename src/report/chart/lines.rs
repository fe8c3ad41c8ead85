//! Line charts, with a tooltip for each section of the horizontal axis.

use super::frame::{Chart, Style, marker};
use super::svg::{At, path};
use maud::{Markup, html};

/// A line of up to this many points has a marker at each.
const MAX_MARKERS: usize = 24;

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) style: Style,
    /// In ascending order of the first value; without a second value the line is interrupted.
    pub(crate) points: Vec<(f64, Option<f64>)>,
    /// Where its markers are; if empty, [`MAX_MARKERS`] decides.
    pub(crate) marks: Vec<(f64, f64)>,
    /// Whether the area below it is filled.
    pub(crate) is_filled: bool,
}

/// A tooltip between two values of the horizontal axis.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) text: String,
}

impl Chart {
    /// Draws the lines, their legend and the tooltips.
    pub(crate) fn lines(&self, all: &[Series], tips: &[Tip]) -> Markup {
        let content = html! {
            @for series in all { (series.draw(self)) }
            (self.draw_tips(tips))
        };
        let legend: Vec<_> = all
            .iter()
            .map(|series| (series.style, series.name))
            .collect();
        self.figure(&legend, &content)
    }

    /// The areas with tooltips.
    pub(super) fn draw_tips(&self, tips: &[Tip]) -> Markup {
        let (low, high) = self.y.range();
        let (top, bottom) = (self.y_of(high), self.y_of(low));
        html! {
            @for tip in tips {
                @let (from, to) = (self.x_of(tip.from), self.x_of(tip.to));
                rect.tip x=(At(from)) y=(At(top)) width=(At(to - from)) height=(At(bottom - top)) {
                    title { (tip.text) }
                }
            }
        }
    }
}

impl Series {
    /// A line with the default markers.
    pub(crate) fn new(name: &'static str, style: Style, points: Vec<(f64, Option<f64>)>) -> Series {
        Series {
            name,
            style,
            points,
            marks: Vec::new(),
            is_filled: false,
        }
    }

    /// The same line with the area below it filled.
    pub(crate) fn filled(self) -> Series {
        Series {
            is_filled: true,
            ..self
        }
    }

    pub(super) fn draw(&self, chart: &Chart) -> Markup {
        let place = |(x, y): (f64, f64)| (chart.x_of(x), chart.y_of(y));
        let points = self.points.iter();
        let places: Vec<_> = points.map(|(x, y)| y.map(|y| place((*x, y)))).collect();
        let marks = if self.marks.is_empty() {
            default_marks(&places, chart.x_of(chart.x.range().0))
        } else {
            self.marks.iter().copied().map(place).collect()
        };
        let line = path(&places);
        let ends = match places.as_slice() {
            [Some((first, _)), .., Some((last, _))] => Some((At(*first), At(*last))),
            _ => None,
        };
        let bottom = At(chart.y_of(chart.y.range().0));
        html! {
            g class=(self.style.class()) {
                @if let Some((first, last)) = ends.filter(|_| self.is_filled && !places.contains(&None)) {
                    path.fill d={ (line) "L" (last) " " (bottom) "L" (first) " " (bottom) "Z" } {}
                }
                path.line d=(line) {}
                @for (x, y) in marks { (marker(self.style, x, y)) }
            }
        }
    }
}

/// All points of a short line; of a long line, the points without a neighbour, which no line shows. None is on the
/// vertical axis at `left`, where a marker would cover the labels.
fn default_marks(places: &[Option<(f64, f64)>], left: f64) -> Vec<(f64, f64)> {
    let is_point = |index: usize| places.get(index).is_some_and(Option::is_some);
    let mut marks = Vec::new();
    for (index, (x, y)) in places
        .iter()
        .enumerate()
        .filter_map(|(i, p)| Some((i, (*p)?)))
    {
        let is_alone = !is_point(index.wrapping_sub(1)) && !is_point(index + 1);
        let is_shown = places.len() <= MAX_MARKERS || is_alone;
        if is_shown && (x > left + 1.0 || places.len() == 1) {
            marks.push((x, y));
        }
    }
    marks
}
