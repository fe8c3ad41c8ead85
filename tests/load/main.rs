//! `echoloop load` as a user runs it: the real program, against correct servers and faulty ones.
//!
//! - [`run`]: starts the program and reads its output.
//! - [`servers`]: servers that corrupt, drop, stall and refuse, each in a few lines.
//! - [`faulty`]: every fault of a server is reported with exact counts.
//! - [`correct`]: the figures for a correct server.
//! - [`addresses`]: the addresses that it connects to and from.
//! - [`limits`]: a limit is named, and the result covers what was reached.
//! - [`ending`]: signals, the end of the child process, exit codes.
//! - [`output`]: stdout is written in time, and a slow reader never blocks the load.
//! - [`closing`]: the result is written before the connections are closed.
//! - [`terminal`]: the progress bar on a terminal.
//! - [`schema`]: the JSON conforms to its schema.
//! - [`network`]: a network namespace per test.
//! - [`retransmits`]: SYN retransmits, of the load and of the machine.
//! - [`probes`]: probes of a server that hangs and of one that is slow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

// Shared with the tests of `serve`, which use all of them.
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/tools.rs"]
mod tools;

mod addresses;
mod closing;
mod correct;
mod ending;
mod faulty;
mod limits;
mod network;
mod output;
mod probes;
mod retransmits;
mod run;
mod schema;
mod servers;
mod terminal;
