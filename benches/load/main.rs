//! The load tester measured: is what it reports the server's doing, or its own?
//!
//! `cargo bench --bench load -- [closed] [opening] [crowd] [among] [lag] [memory] [--quick]` runs the named parts, or all.
//! Each starts release builds of `echoloop serve` and `echoloop load`, and prints what was measured beside the bar
//! that it is to clear. Exits with 1 when a bar is missed.
//!
//! `--quick` takes a few seconds and shows that everything works: bars on times are shown then, and do not decide.
//!
//! - `closed`: 50 connections, 128 bytes, every reply verified, against a loop that verifies nothing ([`plain`]).
//! - `opening`: 19,000 idle connections, how many per second, and no SYN sent twice.
//! - `crowd`: 100,000 idle connections over several processes at both ends, all of which answer.
//! - `among`: 50 active connections among none and among 19,000 idle ones.
//! - `lag`: at half of the largest rate, how late messages are sent.
//! - `memory`: what an idle connection costs the load tester.
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
#[path = "../worst_day/report.rs"]
#[allow(
    dead_code,
    reason = "shared with the other bench, which uses more of it"
)]
mod report;

use report::Report;
use std::process::ExitCode;

/// A part: its name, and what runs it.
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
            // Cargo says this to every bench.
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
