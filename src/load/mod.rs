//! The load tester: how many idle connections a server holds, and what an echo costs among them.
//!
//! In comes what is asked for, out comes a [`LoadResult`]. Times are kept as [`Distribution`]s, since percentiles cannot
//! be added up.

mod distribution;
mod expect;
mod pace;
mod pattern;
mod plan;
mod result;
mod wall;

pub use distribution::{Counts, Distribution, LONGEST_US, Summary};
pub use expect::Condition;
pub use pace::Pace;
pub use pattern::{CONNECTION_BITS, Message, Mismatch, Pattern};
pub use plan::{Network, Sources};
pub use result::{
    Configuration, Connect, Connections, Echo, Expectation, Failed, Generator, Histograms,
    Interval, LoadResult, Probe, SAVED_KIND, SCHEMA, Saved, ServerSide,
};
pub use wall::WallTime;
