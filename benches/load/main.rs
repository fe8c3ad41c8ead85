//! The load tester itself: how far its own cost influences what it reports about a server.
//!
//! `cargo bench --bench load -- [PART]... [--quick]` runs the named parts, or all.
//! Each starts release builds of `echoloop serve` and `echoloop load`, and prints each figure with its bar. Exits with 1
//! when a bar is missed.
//!
//! `--quick` takes a few seconds and shows that everything works: bars on times are then shown, but do not count.
//!
//! - `closed`: 50 connections, 128 bytes, every reply verified, compared with a loop that verifies nothing ([`plain`]).
//! - `opening`: 19,000 idle connections: how many are established per second, and no SYN retransmits.
//! - `pacing`: 5,000 idle connections to a server with a small backlog, compared with a fixed window.
//! - `crowd`: 100,000 idle connections over several processes at both ends, all of which echo.
//! - `jobs`: 40,000 idle and 200 active connections over `load --jobs 4`, split exactly.
//! - `among`: 50 active connections among none and among 19,000 idle ones.
//! - `lag`: how late messages are sent at half of the highest rate.
//! - `overload`: schedules above capacity: the rate of the closed loop; and a server that stalls.
//! - `memory`: user memory of the load tester per idle connection.
//! - `userspace`: idle connections in user space and with kernel sockets: how fast they are opened, and the memory of each.
//! - `compare`: `report --compare` on servers of a fixed service time ([`fixed`]): the same twice, and one 20 % slower.
//! - `find`: the limits of servers of a known capacity: fixed service times, and 700 connections.
//! - `knee`: idle connections of a server whose cost per message grows with them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

#[path = "../common/arguments.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod arguments;
mod closed;
mod compare;
mod crowd;
mod find;
#[path = "../../tests/load/fixed.rs"]
mod fixed;
mod idle;
mod jobs;
mod overload;
mod pacing;
mod plain;
mod programs;
#[path = "../../tests/load/python.rs"]
mod python;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod report;
mod userspace;

use arguments::Part;
use report::Report;
use std::process::ExitCode;

const PARTS: [Part<Report>; 13] = [
    ("closed", closed::against_a_plain_loop),
    ("opening", idle::opening),
    ("pacing", pacing::against_a_fixed_window),
    ("crowd", crowd::run),
    ("jobs", jobs::run),
    ("among", closed::among_idle_ones),
    ("lag", closed::lag),
    ("overload", overload::above_capacity),
    ("memory", idle::memory),
    ("userspace", userspace::opening),
    ("compare", compare::run),
    ("find", find::known_capacities),
    ("knee", find::knee_of_poll),
];

fn main() -> ExitCode {
    let arguments = match arguments::read(&PARTS, &[]) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let mut report = Report::new(arguments.quick);
    for (_, run) in arguments.parts {
        run(&mut report);
    }
    report.verdict()
}
