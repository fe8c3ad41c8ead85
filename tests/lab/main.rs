//! The lab as a user runs it: the real program.
//!
//! - [`server`]: a pattern as a process.
//! - [`patterns`]: one contract for all patterns.
//! - [`limits`]: what each family of patterns is limited by.
//! - [`compare`]: `echoloop lab patterns`.
//! - [`traps`]: `echoloop lab trap`.
//! - [`trap_traces`]: its traces and pages.
//! - [`explain`]: `echoloop lab explain`, and its pages in a browser.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

// Shared with the tests of `serve`, which use all of them.
#[path = "../serve/chromium.rs"]
mod chromium;
#[allow(dead_code, reason = "the tests of serve use the rest")]
#[path = "../serve/tools.rs"]
mod tools;

mod compare;
mod explain;
mod limits;
mod patterns;
mod server;
mod trap_traces;
mod traps;

use std::process::Command;

/// The program, without the environment variable that sets its log level.
fn echoloop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command.args(arguments).env_remove("ECHOLOOP_LOG");
    command
}
