//! The load tester: how many idle connections a server holds, and what an echo costs among them.
//!
//! In comes what is asked for, out comes a [`LoadResult`]. Times are kept as [`Distribution`]s, since percentiles cannot
//! be added up.

mod distribution;
mod result;

pub use distribution::{Counts, Distribution, LONGEST_US, Summary};
pub use result::{
    Configuration, Connect, Connections, Echo, Expectation, Failed, Generator, Histograms,
    Interval, LoadResult, Probe, SAVED_KIND, SCHEMA, Saved, ServerSide,
};
