//! The load tester: how many idle connections a server holds, and what an echo costs among them.
//!
//! In comes what is asked for, out comes a [`LoadResult`]. Times are kept as [`Distribution`]s, since percentiles cannot
//! be added up.

mod cause;
mod child;
mod config;
mod distribution;
mod echoing;
mod events;
mod expect;
mod finding;
mod interval_writer;
mod machine;
mod opening;
mod pace;
mod plan;
mod probing;
mod result;
mod session;
mod surroundings;
mod syn;
mod tally;
mod tester;
mod verdict;
mod waits;
mod wall;

pub use crate::echo::{CONNECTION_BITS, Summary};
pub use child::Child;
pub use config::{Config, DEFAULT_WINDOW};
pub use distribution::{Counts, Distribution, LONGEST_US};
pub use expect::Condition;
pub use finding::Finding;
pub use machine::{Machine, ephemeral_ports, host_name};
pub use pace::Pace;
pub use plan::{Network, Sources};
pub use result::{
    Configuration, Connect, Connections, Echo, Expectation, Failed, Generator, Histograms,
    Interval, LoadResult, Part, Probe, SAVED_KIND, SCHEMA, Saved, ServerSide,
};
pub use surroundings::{Progress, Readings, ServerReadings, Silence, Stage, Surroundings};
pub use syn::SynTimers;
pub use tester::Load;
pub use wall::WallTime;
