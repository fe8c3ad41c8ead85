//! `echoloop load` as its users see it: the real program, against servers that tell the truth and servers that lie.
//!
//! - [`run`]: starts the program and reads what it says.
//! - [`servers`]: servers that lie, drop, stall and refuse, each in a few lines.
//! - [`lies`]: each lie is reported, exactly.
//! - [`truth`]: what is said of an honest server.
//! - [`limits`]: what stops a load is named, and what was reached is reported.
//! - [`ending`]: signals, the child's end, exit codes.
//! - [`output`]: when what is said comes out, and what a reader who sleeps does to a load.
//! - [`closing`]: what was found is told before the connections are closed.
//! - [`terminal`]: the progress bar, on a screen.
//! - [`form`]: the JSON is as the schema says.
//! - [`network`]: a network of a test's own.
//! - [`retransmits`]: SYN retransmits, its own and the machine's.
//! - [`probes`]: probing a server that hangs, and one that is slow.
//! - [`addresses`]: the addresses that it connects to and from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

// As the tests of `serve` have them, which use more of them.
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/tools.rs"]
mod tools;

mod addresses;
mod closing;
mod ending;
mod form;
mod lies;
mod limits;
mod network;
mod output;
mod probes;
mod retransmits;
mod run;
mod servers;
mod terminal;
mod truth;
