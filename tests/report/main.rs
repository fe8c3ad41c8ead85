//! `echoloop report`, and `load --report`: the real program on saved runs, and its page in a real browser.
//!
//! The runs are real: `together-1.json` and `together-2.json` were two processes against one server, begun together with
//! `--start-at`; `idle.json` held connections and echoed nothing.
//!
//! - [`program`]: what it prints, writes and refuses.
//! - [`browser`]: the page in Chromium: its charts are there, its console is silent, and it asks the network for nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

mod browser;
mod program;
#[path = "../serve/tools.rs"]
mod tools;

use std::process::Command;

/// A saved run of this folder.
fn run(name: &str) -> String {
    format!("{}/tests/report/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

/// The program, free of what the environment of the test run would tell it.
fn echoloop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command.args(arguments).env_remove("ECHOLOOP_LOG");
    command
}
