//! Charts as SVG, drawn by pure functions: axes with round numbers, lines, bars.
//!
//! In comes what is to be shown, out comes a drawing that a page can hold as it is, legible in both its colour schemes.

mod axis;
mod bars;
mod frame;
mod lines;
mod svg;

pub(super) use axis::Axis;
pub(super) use bars::{Bar, bars};
pub(super) use frame::{Caption, Frame, Style};
pub(super) use lines::{Series, Tip, lines};
pub(super) use svg::Escaped;
