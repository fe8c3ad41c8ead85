//! What every chart has: its place, axes with their titles, a grid, a legend, and words for those who cannot see it.
//!
//! Colours are classes of the page's style, so that light and dark share one drawing; no two series differ by colour alone.

use super::axis::Axis;
use super::svg::{At, Escaped};
use crate::report::units::as_f64;
use std::fmt::Write;

/// The drawing's own units; the page scales it.
pub(super) const WIDTH: f64 = 440.0;
/// See [`WIDTH`].
pub(super) const HEIGHT: f64 = 292.0;

const LEFT: f64 = 66.0;
const RIGHT: f64 = 424.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 236.0;

/// The height of the legend, which is left out where there is none.
const LEGEND: f64 = 24.0;

/// The width of a letter at the size that text has on a phone.
const LETTER: f64 = 9.5;

/// How a series is drawn; each has a dash pattern and a marker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Style {
    /// A solid line, circles.
    First,
    /// Long dashes, squares.
    Second,
    /// Dots, triangles.
    Third,
    /// What is bad: dashes and dots, crosses.
    Bad,
}

impl Style {
    pub(super) fn class(self) -> &'static str {
        match self {
            Style::First => "s1",
            Style::Second => "s2",
            Style::Third => "s3",
            Style::Bad => "s4",
        }
    }
}

/// What a chart is called, and what it shows in words.
#[derive(Clone, Debug)]
pub(in crate::report) struct Caption {
    /// Unique in the page; letters and dashes.
    pub(in crate::report) id: &'static str,
    pub(in crate::report) title: String,
    pub(in crate::report) description: String,
}

/// The plane between two axes.
#[derive(Clone, Debug)]
pub(in crate::report) struct Frame {
    pub(in crate::report) caption: Caption,
    pub(in crate::report) x: Axis,
    pub(in crate::report) y: Axis,
}

impl Frame {
    /// From a value to a place across.
    pub(super) fn across(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (RIGHT - LEFT)
    }

    /// From a value to a place from above.
    pub(super) fn down(&self, value: f64) -> f64 {
        BOTTOM - self.y.place(value) * (BOTTOM - TOP)
    }

    /// The whole drawing around `content`.
    pub(super) fn svg(&self, legend: &[(Style, &str)], content: &str) -> String {
        let Caption {
            id,
            title,
            description,
        } = &self.caption;
        let above = if legend.is_empty() { LEGEND } else { 0.0 };
        let mut svg = format!(
            "<svg role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" viewBox=\"0 {} {} {}\">\n\
             <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
            At(above),
            At(WIDTH),
            At(HEIGHT - above),
            Escaped(title),
            Escaped(description)
        );
        self.grid(&mut svg);
        draw_legend(&mut svg, legend);
        svg.push_str(content);
        svg.push_str("</svg>\n");
        svg
    }

    fn grid(&self, svg: &mut String) {
        for tick in self.y.ticks() {
            let y = self.down(tick.value);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{} {y}H{}\"/><text class=\"end\" x=\"{}\" y=\"{}\">{}</text>",
                At(LEFT),
                At(RIGHT),
                At(LEFT - 7.0),
                At(y + 5.0),
                Escaped(&tick.label),
                y = At(y)
            );
        }
        for tick in self.x.ticks() {
            let x = self.across(tick.value);
            let _ = writeln!(
                svg,
                "<path class=\"tick\" d=\"M{x} {}V{}\"/><text class=\"middle\" x=\"{x}\" y=\"{}\">{}</text>",
                At(BOTTOM),
                At(BOTTOM + 5.0),
                At(BOTTOM + 22.0),
                Escaped(&tick.label),
                x = At(x)
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{} {}H{}\"/>\
             <text class=\"name\" x=\"4\" y=\"{}\">{}</text><text class=\"name end\" x=\"{}\" y=\"{}\">{}</text>",
            At(LEFT),
            At(BOTTOM),
            At(RIGHT),
            At(TOP - 16.0),
            Escaped(self.y.title()),
            At(RIGHT + 12.0),
            At(BOTTOM + 46.0),
            Escaped(self.x.title())
        );
    }
}

/// A dashed line and a marker for each, above the chart.
fn draw_legend(svg: &mut String, legend: &[(Style, &str)]) {
    let mut x = 4.0;
    for (style, name) in legend {
        let line = format!("M{} 13H{}", At(x), At(x + 26.0));
        let _ = writeln!(
            svg,
            "<g class=\"{}\"><path class=\"line\" d=\"{line}\"/>{}</g><text x=\"{}\" y=\"18\">{}</text>",
            style.class(),
            marker(*style, x + 13.0, 13.0),
            At(x + 32.0),
            Escaped(name)
        );
        x += 58.0 + as_f64(name.len() as u64) * LETTER;
    }
}

/// The marker of a style.
pub(super) fn marker(style: Style, x: f64, y: f64) -> String {
    let path = match style {
        Style::First => {
            return format!("<circle cx=\"{}\" cy=\"{}\" r=\"3.2\"/>", At(x), At(y));
        }
        Style::Second => format!("M{} {}h6v6h-6Z", At(x - 3.0), At(y - 3.0)),
        Style::Third => format!("M{} {}l4 7h-8Z", At(x), At(y - 4.5)),
        Style::Bad => {
            let (x, y) = (At(x - 3.5), At(y - 3.5));
            return format!("<path class=\"cross\" d=\"M{x} {y}l7 7m0 -7l-7 7\"/>");
        }
    };
    format!("<path d=\"{path}\"/>")
}
