//! What all charts share: title, grid, axes, legend, and a caption that describes the chart in words.
//!
//! Colours are classes of the page's style sheet, so that light and dark mode share one drawing. Series differ by dash
//! pattern and marker as well as by colour.

use super::axis::Axis;
use super::svg::At;
use crate::report::units::as_f64;
use maud::{Markup, html};

/// The size of the drawing in its own units; the page scales it.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 292.0;

/// The edges of the plot area.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 424.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 236.0;

/// The height of the legend, cut off where a chart has none.
const LEGEND: f64 = 24.0;

/// The width of a letter at the font size used on phones.
const LETTER: f64 = 9.5;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A solid line, circles.
    First,
    /// Long dashes, squares.
    Second,
    /// Dots, triangles.
    Third,
    /// A solid line, diamonds.
    #[cfg(feature = "lab")]
    Fourth,
    /// Long dashes, hollow circles.
    #[cfg(feature = "lab")]
    Fifth,
    /// Dots, pluses.
    #[cfg(feature = "lab")]
    Sixth,
    /// Failures: dashes and dots, crosses.
    Bad,
}

impl Style {
    pub(super) fn class(self) -> &'static str {
        match self {
            Style::First => "s1",
            Style::Second => "s2",
            Style::Third => "s3",
            Style::Bad => "s4",
            #[cfg(feature = "lab")]
            Style::Fourth => "s5",
            #[cfg(feature = "lab")]
            Style::Fifth => "s6",
            #[cfg(feature = "lab")]
            Style::Sixth => "s7",
        }
    }
}

/// A chart without its data: two axes, a title and a caption.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Unique in the page; letters and dashes.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) caption: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Chart {
    /// The horizontal coordinate of a value.
    pub(super) fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.position(value) * (RIGHT - LEFT)
    }

    /// The vertical coordinate of a value.
    pub(super) fn y_of(&self, value: f64) -> f64 {
        BOTTOM - self.y.position(value) * (BOTTOM - TOP)
    }

    /// The complete figure, with `content` drawn over the grid.
    pub(super) fn figure(&self, legend: &[(Style, &str)], content: &Markup) -> Markup {
        let Chart {
            id, title, caption, ..
        } = self;
        let top = if legend.is_empty() { LEGEND } else { 0.0 };
        html! {
            figure.card {
                h3 { (title) }
                svg role="img" aria-labelledby={ (id) "-title " (id) "-desc" }
                    viewBox={ "0 " (At(top)) " " (At(WIDTH)) " " (At(HEIGHT - top)) }
                {
                    title #{ (id) "-title" } { (title) }
                    desc #{ (id) "-desc" } { (caption) }
                    (self.grid())
                    (draw_legend(legend))
                    (content)
                }
                figcaption { (caption) }
            }
        }
    }

    fn grid(&self) -> Markup {
        let (left, right, bottom) = (At(LEFT), At(RIGHT), At(BOTTOM));
        html! {
            @for tick in &self.y.ticks {
                @let y = self.y_of(tick.value);
                path.grid d={ "M" (left) " " (At(y)) "H" (right) } {}
                text.end x=(At(LEFT - 7.0)) y=(At(y + 5.0)) { (tick.label) }
            }
            @for tick in &self.x.ticks {
                @let x = At(self.x_of(tick.value));
                path.tick d={ "M" (x) " " (bottom) "V" (At(BOTTOM + 5.0)) } {}
                text.middle x=(x) y=(At(BOTTOM + 22.0)) { (tick.label) }
            }
            path.axis d={ "M" (left) " " (bottom) "H" (right) } {}
            text.name x="4" y=(At(TOP - 16.0)) { (self.y.title) }
            text.name.end x=(At(RIGHT + 12.0)) y=(At(BOTTOM + 46.0)) { (self.x.title) }
        }
    }
}

/// A dashed line, a marker and a name for each series, above the chart.
fn draw_legend(legend: &[(Style, &str)]) -> Markup {
    let mut next = 4.0;
    let mut advance = |name: &str| {
        let x = next;
        next += 58.0 + as_f64(name.len() as u64) * LETTER;
        x
    };
    html! {
        @for (style, name) in legend {
            @let x = advance(name);
            g class=(style.class()) {
                path.line d={ "M" (At(x)) " 13H" (At(x + 26.0)) } {}
                (marker(*style, x + 13.0, 13.0))
            }
            text x=(At(x + 32.0)) y="18" { (name) }
        }
    }
}

/// The marker of a style.
pub(super) fn marker(style: Style, x: f64, y: f64) -> Markup {
    let (class, x, y, shape) = match style {
        Style::First => return html! { circle cx=(At(x)) cy=(At(y)) r="3.2" {} },
        Style::Second => (None, x - 3.0, y - 3.0, "h6v6h-6Z"),
        Style::Third => (None, x, y - 4.5, "l4 7h-8Z"),
        #[cfg(feature = "lab")]
        Style::Fourth => (None, x, y - 4.5, "l4.5 4.5l-4.5 4.5l-4.5 -4.5Z"),
        #[cfg(feature = "lab")]
        Style::Fifth => return html! { circle.cross cx=(At(x)) cy=(At(y)) r="3.2" {} },
        #[cfg(feature = "lab")]
        Style::Sixth => (Some("cross"), x, y - 4.5, "v9m-4.5 -4.5h9"),
        Style::Bad => (Some("cross"), x - 3.5, y - 3.5, "l7 7m0 -7l-7 7"),
    };
    html! { path class=[class] d={ "M" (At(x)) " " (At(y)) (shape) } {} }
}
