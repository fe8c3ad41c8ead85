//! The documents are true: every example runs, every name exists, every link leads somewhere; so are manual and completions.
//!
//! - [`documents`]: the documents and their examples.
//! - [`shell`]: runs an example.
//! - [`comparison`]: compares printed output with shown output.
//! - [`examples`]: all examples.
//! - [`update`]: rewrites the output of examples on request.
//! - [`names`]: targets, files, flags, messages and figures that the documents name exist.
//! - [`architecture`]: the page about the architecture describes the source as it is.
//! - [`links`]: relative links and their anchors exist.
//! - [`tuning`]: the arithmetic of the page about tuning.
//! - [`manual`]: manual pages and completions are complete and accepted by the programs that read them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod architecture;
mod comparison;
mod documents;
mod examples;
mod links;
mod manual;
mod names;
mod shell;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../serve/tools.rs"]
mod tools;
mod tuning;
mod update;

use std::process::Command;

/// The program, without the environment variable that sets its log level.
fn echoloop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command.args(arguments).env_remove("ECHOLOOP_LOG");
    command
}
