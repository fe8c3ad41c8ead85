//! A chart of lines, with a marker at each point while they are few, and what is there to read at each place.

use super::frame::{Frame, Style, marker};
use super::svg::{At, Escaped, path};
use std::fmt::Write;

/// Up to so many points, each has a marker.
const MOST_MARKERS: usize = 24;

/// One line.
#[derive(Clone, Debug)]
pub(in crate::report) struct Series {
    pub(in crate::report) name: &'static str,
    pub(in crate::report) style: Style,
    /// In the order of the axis; without a value the line is interrupted.
    pub(in crate::report) points: Vec<(f64, Option<f64>)>,
    /// Where its markers are; if nowhere, at each point while they are few.
    pub(in crate::report) marks: Vec<(f64, f64)>,
    /// The plane below it is filled.
    pub(in crate::report) is_filled: bool,
}

/// What is shown while a pointer rests at a place, between two values of the lower axis.
#[derive(Clone, Debug)]
pub(in crate::report) struct Tip {
    pub(in crate::report) from: f64,
    pub(in crate::report) to: f64,
    pub(in crate::report) text: String,
}

/// Lines over a frame, as SVG.
pub(in crate::report) fn lines(frame: &Frame, series: &[Series], tips: &[Tip]) -> String {
    let mut content = String::new();
    for one in series {
        one.draw(frame, &mut content);
    }
    for tip in tips {
        let (from, to) = (frame.across(tip.from), frame.across(tip.to));
        let _ = writeln!(
            content,
            "<rect class=\"tip\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            At(from),
            At(frame.down(f64::INFINITY)),
            At(to - from),
            At(frame.down(f64::NEG_INFINITY) - frame.down(f64::INFINITY)),
            Escaped(&tip.text)
        );
    }
    let legend: Vec<_> = series.iter().map(|one| (one.style, one.name)).collect();
    frame.svg(&legend, &content)
}

impl Series {
    fn draw(&self, frame: &Frame, content: &mut String) {
        let places: Vec<_> = self
            .points
            .iter()
            .map(|(x, y)| y.map(|y| (frame.across(*x), frame.down(y))))
            .collect();
        let class = self.style.class();
        let _ = write!(content, "<g class=\"{class}\">");
        if self.is_filled && places.len() > 1 && places.iter().all(Option::is_some) {
            let _ = write!(
                content,
                "<path class=\"fill\" d=\"{}\"/>",
                area(frame, &places)
            );
        }
        let line = path(places.iter().copied());
        let _ = write!(content, "<path class=\"line\" d=\"{line}\"/>");
        let marks = match self.marks.as_slice() {
            [] => marked(&places, frame.across(frame.x.ends().0)),
            marks => marks
                .iter()
                .map(|(x, y)| (frame.across(*x), frame.down(*y)))
                .collect(),
        };
        for (x, y) in marks {
            content.push_str(&marker(self.style, x, y));
        }
        content.push_str("</g>\n");
    }
}

/// From the line down to the axis.
fn area(frame: &Frame, places: &[Option<(f64, f64)>]) -> String {
    let ends = places
        .first()
        .copied()
        .flatten()
        .zip(places.last().copied().flatten());
    let Some(((first, _), (last, _))) = ends else {
        return String::new();
    };
    let bottom = At(frame.down(frame.y.ends().0));
    let line = path(places.iter().copied());
    format!("{line}L{} {bottom}L{} {bottom}Z", At(last), At(first))
}

/// All points while they are few, but none on the axis at `left`, where the labels are; of many, those without a neighbour,
/// which no line shows.
fn marked(places: &[Option<(f64, f64)>], left: f64) -> Vec<(f64, f64)> {
    let is_there = |index: Option<usize>| {
        index
            .and_then(|index| places.get(index))
            .is_some_and(Option::is_some)
    };
    let shown = places.iter().enumerate().filter(|(index, _)| {
        let is_alone = !is_there(index.checked_sub(1)) && !is_there(index.checked_add(1));
        places.len() <= MOST_MARKERS || is_alone
    });
    let shown = shown.filter_map(|(_, place)| *place);
    shown
        .filter(|(x, _)| *x > left + 1.0 || places.len() == 1)
        .collect()
}
