//! Results, as people and programs read them.
//!
//! In comes what loads have found, out comes text, or a page with charts; several are first [merged](merge()). Nothing here
//! reads or writes files, and what comes from a file is believed in nothing.

mod chart;
mod curve;
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
