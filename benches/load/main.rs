//! The load tester itself: how far its own cost influences what it reports about a server.
//!
//! `cargo bench --bench load -- [closed] [opening] [crowd] [among] [lag] [memory] [--quick]` runs the named parts, or all.
//! Each starts release builds of `echoloop serve` and `echoloop load`, and prints each figure with its bar. Exits with 1
//! when a bar is missed.
//!
//! `--quick` takes a few seconds and shows that everything works: bars on times are then shown, but do not count.
//!
//! - `closed`: 50 connections, 128 bytes, every reply verified, compared with a loop that verifies nothing ([`plain`]).
//! - `opening`: 19,000 idle connections: how many are established per second, and no SYN retransmits.
//! - `crowd`: 100,000 idle connections over several processes at both ends, all of which echo.
//! - `among`: 50 active connections among none and among 19,000 idle ones.
//! - `lag`: how late messages are sent at half of the highest rate.
//! - `memory`: user memory of the load tester per idle connection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

mod closed;
mod crowd;
mod idle;
mod plain;
mod programs;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod report;

use report::Report;
use std::process::ExitCode;

/// A part: its name and its function.
type Part = (&'static str, fn(&mut Report));

const PARTS: [Part; 6] = [
    ("closed", closed::against_a_plain_loop),
    ("opening", idle::opening),
    ("crowd", crowd::run),
    ("among", closed::among_idle_ones),
    ("lag", closed::lag),
    ("memory", idle::memory),
];

fn main() -> ExitCode {
    let mut quick = false;
    let mut chosen = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => quick = true,
            // Cargo passes this to every bench.
            "--bench" => {}
            name => {
                let Some(part) = PARTS.iter().find(|(part, _)| *part == name) else {
                    let names = PARTS.map(|(part, _)| format!("[{part}]")).join(" ");
                    eprintln!("no part {name}: {names} [--quick]");
                    return ExitCode::from(2);
                };
                chosen.push(part);
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(&PARTS);
    }
    let mut report = Report::new(quick);
    for (_, run) in chosen {
        run(&mut report);
    }
    report.verdict()
}
