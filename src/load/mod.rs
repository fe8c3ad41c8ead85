//! The load tester: how many idle connections a server holds, and what an echo costs among them.
//!
//! A [`Load`] runs a [`Config`] and returns a [`Saved`] with its [`LoadResult`]. Times are kept as [`Distribution`]s,
//! since percentiles cannot be added.

mod child;
mod config;
mod connect_error;
mod connector;
mod distribution;
mod echoing;
mod events;
mod expect;
mod interval_writer;
mod machine;
mod observer;
mod pace;
mod probing;
mod result;
mod session;
mod sources;
mod syn;
mod tally;
mod tester;
mod waits;
mod wall;
mod warning;

pub use crate::echo::{CONNECTION_BITS, Summary};
pub use child::Child;
pub use config::{Config, DEFAULT_WINDOW};
pub use connect_error::ConnectError;
pub use distribution::{Counts, Distribution, LONGEST_US};
pub use expect::Condition;
pub use machine::{Machine, ephemeral_ports, host_name};
pub use observer::{Observer, ProbeSilence, Progress, ServerUsage, Snapshot, Stage};
pub use pace::Pace;
pub use result::{
    Configuration, Connect, Connections, Echo, Expectation, Failed, Generator, Histograms,
    Interval, LoadResult, Part, Probe, SAVED_KIND, SCHEMA, Saved, ServerSide,
};
pub use sources::Sources;
pub use syn::SynTimers;
pub use tester::Load;
pub use wall::WallTime;
pub use warning::Warning;
