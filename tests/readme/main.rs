//! What a newcomer reads, and whether it is true: the manual, the completions, and the README with all its examples.
//!
//! - [`blocks`]: the examples of the README, taken out of it.
//! - [`terminal`]: where they are run.
//! - [`likeness`]: whether what they print is what the README shows.
//! - [`examples`]: every one of them.
//! - [`names`]: targets, files and flags that the README names are there.
//! - [`manual`]: pages and completions are complete, and accepted by the programs that read them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod blocks;
mod examples;
mod likeness;
mod manual;
mod names;
mod terminal;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../serve/tools.rs"]
mod tools;

use std::process::Command;

/// The program, free of what the environment of the test run would tell it.
fn echoloop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command.args(arguments).env_remove("ECHOLOOP_LOG");
    command
}
