//! The load tester: how many idle connections a server holds, and what an echo costs among them.
//!
//! A [`Load`] runs a [`Config`] and returns a [`Saved`] with its [`LoadResult`]. Times are kept as [`Distribution`]s,
//! since percentiles cannot be added.

mod acceptance;
mod barrier;
mod bounds;
mod child;
mod clock;
mod config;
mod connect_error;
mod connect_rate;
mod connection_counts;
mod connector;
mod conversation;
mod distribution;
mod echoing;
mod events;
mod expect;
mod handshake;
mod identity;
mod interval;
mod interval_writer;
mod machine;
mod observer;
mod overload;
mod pace;
mod pacing;
mod probing;
mod process_tree;
mod proofs;
mod result;
mod saturation;
mod saved;
mod script;
mod scripted;
mod search;
mod server_side;
mod session;
mod sources;
mod split;
mod stages;
mod syn;
mod tally;
mod tester;
mod userspace;
mod verdict;
mod waits;
mod wall;
mod warning;

pub use crate::echo::{CONNECTION_BITS, Summary};
pub use bounds::{FIGURE_KEYS, LowerBounds};
pub use child::{Child, Listening};
pub use clock::{Clocks, ReferenceClock, Together};
pub use config::{Config, DEFAULT_MAX_MESSAGE};
pub use connect_error::ConnectError;
pub use connection_counts::{Connections, Failed, LossCause, Lost, UserspaceFigures};
pub use distribution::{Counts, Distribution, LONGEST_US};
pub use expect::Condition;
pub use identity::{HostId, PartNumber};
pub use interval::Interval;
pub use machine::{Machine, ephemeral_ports, host_name};
pub use observer::{Observer, ProbeSilence, Progress, ServerUsage, Snapshot, Stage};
pub use overload::ReplySilence;
pub use pace::Pace;
pub use result::{
    Connect, Echo, Expectation, Generator, Handshakes, Keepalives, LoadResult, Memory, Probe,
    SCHEMA, ServerSide,
};
pub use saved::{Configuration, Histograms, Part, SAVED_KIND, Saved};
pub use script::{Script, ScriptError, TextEnd, Texts};
pub use search::{Cause, Find, FindStep, Quantity, Search, TOLERANCE, Verdict, judge, sweep};
pub use server_side::ServerReadings;
pub use session::EchoClient;
pub use sources::Sources;
pub use split::Share;
pub use syn::SynTimers;
pub use tester::{Load, TlsLoad};
pub use verdict::failures;
pub use wall::WallTime;
pub use warning::Warning;
