//! Pages that show the event loop step by step, in scenarios that the real server runs.
//!
//! A scenario runs the [server](crate::server) on a small kernel with small buffers (`kernel.rs`). Each call of the server
//! is a step: the line of the source that makes it, the sockets afterwards, and why. Steps, not time: in a real trace the
//! waits take nearly all of it.

mod kernel;
mod network;
mod page;
mod run;
mod scenarios;
mod script;
mod sentences;
mod snapshot;
mod source;
mod step;
mod view;
mod world;

pub use page::page;
pub use run::record;
pub use scenarios::{SCENARIOS, Scenario, find};
pub use step::{Recording, Step};

#[cfg(test)]
mod tests;
