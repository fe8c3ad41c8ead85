//! Charts as HTML figures with inline SVG: axes with round numbers, lines, bars.
//!
//! Input: the values to show. Output: markup for a page with the style sheet `html/style.css`. All functions are pure.

mod axis;
mod bars;
mod frame;
#[cfg(feature = "lab")]
mod labels;
mod lines;
mod svg;

pub(crate) use axis::Axis;
pub(crate) use frame::{Chart, Style};
#[cfg(feature = "lab")]
pub(crate) use labels::Label;
pub(crate) use lines::{Series, Tip};
