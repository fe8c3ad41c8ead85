//! Hot upgrade over real sockets: its pause as clients measure it, and what must survive it.
//!
//! `cargo bench --bench upgrade -- [PART]... [--quick]` runs the named parts, or all.
//! Each starts release builds of `echoloop serve` from a copy of the executable, upgrades them with `echoloop upgrade
//! --wait`, and prints each figure with its bar. Exits with 1 when a bar is missed.
//!
//! `--quick` takes a few seconds and shows that everything works: bars on times are then shown, but do not count.
//!
//! - `pause`: the longest round trip of a client during each of 50 upgrades, among 19,900 and among 1,000 connections.
//! - `load`: 1,000 upgrades in a row under verified load: idle and active connections, clients in the middle of a
//!   message, slow readers, new connections all the while.
//! - `chain`: file descriptors, processes and memory after 50 upgrades in a row.
//! - `failures`: how soon the old process echoes again after a failed upgrade; and the failure tests, 50 times each.
//! - `previous`: another build, `ECHOLOOP_PREVIOUS=PATH`, upgrades to this one and back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

#[path = "../common/arguments.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod arguments;
mod chain;
#[path = "../worst_day/client_loop.rs"]
#[allow(dead_code, reason = "shared with another bench, which uses more of it")]
mod client_loop;
mod cut;
#[path = "../worst_day/echo.rs"]
#[allow(dead_code, reason = "shared with another bench, which uses more of it")]
mod echo;
mod failures;
mod held;
mod load;
mod pause;
mod pinger;
mod previous;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod report;
mod server;
mod slow;

use arguments::Part;
use report::Report;
use std::process::ExitCode;

const PARTS: [Part<Report>; 5] = [
    ("pause", pause::run),
    ("load", load::run),
    ("chain", chain::run),
    ("failures", failures::run),
    ("previous", previous::run),
];

fn main() -> ExitCode {
    let arguments = match arguments::read(&PARTS, &[]) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    echoloop::doctor::raise_fd_limit().unwrap();
    let mut report = Report::new(arguments.quick);
    for (_, run) in arguments.parts {
        run(&mut report);
    }
    report.verdict()
}
