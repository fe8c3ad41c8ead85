//! Charts as HTML figures with inline SVG: axes with round numbers, lines, bars.
//!
//! Input: the values to show. Output: markup for a page with the style sheet `html/style.css`. All functions are pure.

mod axis;
mod bars;
mod frame;
mod lines;
mod svg;

pub(super) use axis::Axis;
pub(super) use frame::{Chart, Style};
pub(super) use lines::{Series, Tip};
