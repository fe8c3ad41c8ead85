//! The daemon under load from misbehaving clients, and its effect on regular clients.
//!
//! `cargo bench --bench worst_day -- [churn] [hogs] [exhausted] [timeouts] [floods] [--quick]` runs the named parts, or all.
//! Each part starts its own release build of `echoloop serve`, loads it over loopback with clients that verify every
//! byte, and prints each figure with its bar. Exits with 1 when a bar is missed.
//!
//! `--quick` takes a few seconds and shows that everything works. With few clients on a busy machine, times are not
//! reliable: bars on times are then shown, and only those on bytes, memory and errors decide.
//!
//! - [`churn`]: 19,000 clients that reset, half-close and stall, in two cycles; all resources must be released.
//! - `hogs` ([`non_readers`]): 10,000 peers that send and never read; memory stays bounded, and others are not slowed
//!   down.
//! - [`exhausted`]: no file descriptor is free; connected clients are served, waiting ones as soon as one disconnects.
//! - [`timeouts`]: 15,000 idle connections time out together, none early or late, and others are not slowed down.
//! - [`floods`]: 50 clients flood newlines or empty frames; a regular client is served nearly as fast as with `raw`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

#[path = "../common/arguments.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod arguments;
mod churn;
mod client_loop;
mod clients;
#[path = "../common/daemon.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod daemon;
mod echo;
mod exhausted;
mod floods;
mod non_readers;
mod pingers;
#[path = "../common/report.rs"]
mod report;
mod timeouts;

use arguments::Part;
use report::Report;
use std::process::ExitCode;

const PARTS: [Part<Report>; 5] = [
    ("churn", churn::run),
    ("hogs", non_readers::run),
    ("exhausted", exhausted::run),
    ("timeouts", timeouts::run),
    ("floods", floods::run),
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
