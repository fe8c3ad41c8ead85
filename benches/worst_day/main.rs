//! The worst day: what the daemon does when clients come, go, stall, flood and crowd it out, all at once.
//!
//! `cargo bench --bench worst_day -- [churn] [hogs] [exhausted] [timeouts] [floods] [--quick]` runs the named parts, or all.
//! Each starts a release build of `echoloop serve` of its own, loads it over loopback with clients that verify every
//! byte, and prints what was measured beside the bar that it is to clear. Exits with 1 when a bar is missed.
//!
//! `--quick` takes a few seconds and shows that everything works. With so few clients on a busy machine times mean
//! little: bars on times are then shown, and only those on bytes, memory and errors decide.
//!
//! - [`churn`]: 19,000 clients that reset, half-close and stall, in two cycles; nothing may be left behind.
//! - [`hogs`]: 10,000 peers that send and never read; memory stays bounded, and others do not notice.
//! - [`exhausted`]: no descriptor is left; who is in is served on, who waits is served as soon as one leaves.
//! - [`timeouts`]: 15,000 idle connections fall due together; none early, none late, and others do not notice.
//! - [`floods`]: 50 clients flood newlines or empty frames; an honest client is answered nearly as fast as by `raw`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

mod churn;
mod clients;
mod crowd;
mod daemon;
mod echo;
mod exhausted;
mod floods;
mod hogs;
mod pingers;
mod report;
mod timeouts;

use report::Report;
use std::process::ExitCode;

/// A part: its name, and what runs it.
type Part = (&'static str, fn(&mut Report));

const PARTS: [Part; 5] = [
    ("churn", churn::run),
    ("hogs", hogs::run),
    ("exhausted", exhausted::run),
    ("timeouts", timeouts::run),
    ("floods", floods::run),
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
                    eprintln!(
                        "no part {name}: [churn] [hogs] [exhausted] [timeouts] [floods] [--quick]"
                    );
                    return ExitCode::from(2);
                };
                chosen.push(part);
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(&PARTS);
    }
    echoloop::net::raise_descriptor_limit().unwrap();
    let mut report = Report::new(quick);
    for (_, run) in chosen {
        run(&mut report);
    }
    report.verdict()
}
