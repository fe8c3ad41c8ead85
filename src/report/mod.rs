//! Results as text for terminals and as an HTML page with charts.
//!
//! Input: results of `echoloop load`; several results are [merged](merge()) first. Nothing here reads or writes files. The
//! content of a saved file is checked and escaped.

pub(crate) mod chart;
mod compare;
mod csv;
mod curve;
mod facts;
mod find;
mod hgrm;
mod html;
mod lines;
mod merge;
mod saved;
mod sparkline;
mod text;
mod timeline;
mod units;

#[cfg(test)]
mod sample;

pub use compare::{
    Comparison, Expected, Figure, Record, RelativeCondition, Side, Unit, Verdict, compare,
    comparison_text,
};
pub use csv::csv;
pub use find::{Ending, find_line, find_sentence};
pub use hgrm::hgrm;
#[cfg(feature = "lab")]
pub(crate) use html::page;
pub use html::{comparison_html, html};
pub use lines::read_all;
pub use merge::{Targets, check_parts, host_count, merge, merge_parts, put_first, sum_of_second};
pub use saved::{Input, printable};
pub use sparkline::{bars, sparklines};
pub use text::{after_closing, text};
pub use units::{short, time};
