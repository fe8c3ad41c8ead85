//! Results as text for terminals and as an HTML page with charts.
//!
//! Input: results of `echoloop load`; several results are [merged](merge()) first. Nothing here reads or writes files. The
//! content of a saved file is checked and escaped.

mod chart;
mod curve;
mod facts;
mod html;
mod merge;
mod saved;
mod sparkline;
mod text;
mod timeline;
mod units;

#[cfg(test)]
mod sample;

pub use html::html;
pub use merge::{Targets, merge};
pub use saved::{Input, printable};
pub use sparkline::sparklines;
pub use text::{after_closing, text};
