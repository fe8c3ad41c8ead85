//! `echoloop report` and `load --report`: the program on saved results, and its page in a browser.
//!
//! The results were measured: `together-1.json` and `together-2.json` by two processes against one server, started
//! together with `--start-at`; `idle.json` with idle connections only.
//!
//! - [`program`]: output, files and errors.
//! - [`compare`]: two runs side by side.
//! - [`formats`]: CSV and `.hgrm` files.
//! - [`parts`]: the parts of one load, and several results in one file.
//! - [`browser`]: the page in Chromium: its charts, its console, and its requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic with its message reports the failure of a test"
)]

mod browser;
#[path = "../serve/chromium.rs"]
mod chromium;
mod compare;
mod formats;
mod parts;
mod program;
mod saved_format;
#[path = "../serve/tools.rs"]
mod tools;

use std::process::Command;

/// The path of a saved result in this folder.
fn run(name: &str) -> String {
    format!("{}/tests/report/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

/// The program without the environment variables that configure it.
fn echoloop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command.args(arguments).env_remove("ECHOLOOP_LOG");
    command
}
