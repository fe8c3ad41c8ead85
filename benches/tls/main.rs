//! Compares `serve --tls-cert` with `HAProxy`, nginx (stream module) and stunnel, which terminate TLS in front of an echo
//! server, in the same run.
//!
//! `cargo bench --bench tls -- [PART...] [--quick] [--json FILE] [--markdown FILE]` runs the named parts, or all, and
//! prints a table. The TLS server is pinned to one core, the load generator and the echo server behind it to another;
//! all figures are those of the TLS process alone. A comparison consists of rounds: in each round, every server is
//! restarted and loaded for a moment, one after another. A ratio is the median of the rounds' ratios, with a 95 %
//! bootstrap interval. A bar is missed when the better end of the interval misses it; the bench then exits with 1.
//!
//! `--quick` shows that everything works: bars on times are then shown, and only those on correctness, memory and
//! system calls decide.
//!
//! - `correct`: every server negotiates the same parameters and echoes every byte.
//! - `memory`: user memory per idle TLS connection, and the system calls of a server that only holds them.
//! - `handshakes`: full handshakes per second, and the CPU time for each; the bar applies to the CPU time if a server is
//!   not busy all the time, so that the generator limits the rate.
//! - `latency`: echoes on open connections while 2,000 full handshakes per second arrive.
//! - `echo`: the server's CPU time per echo.
//!
//! All servers use TLS 1.3, an ECDSA P-256 key, X25519 and AES-128-GCM. Required: `HAProxy`, nginx with its stream module,
//! stunnel and strace, as Debian packages; their configurations are in `rivals/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

#[path = "../common/arguments.rs"]
mod arguments;
mod bench;
mod cpu;
mod generator;
mod load;
#[path = "../floor/machine.rs"]
#[allow(dead_code, reason = "shared with another bench, which uses more of it")]
mod machine;
mod parts;
#[path = "../floor/report.rs"]
mod report;
mod rivals;
#[path = "../floor/row.rs"]
#[allow(dead_code, reason = "shared with another bench, which uses more of it")]
mod row;
#[path = "../floor/stats.rs"]
mod stats;

use arguments::Arguments;
use bench::Bench;
use parts::PARTS;
use report::Report;
use rivals::Rival;
use std::fs;
use std::process::ExitCode;

/// The line above the table.
const LEGEND: &str =
    "each in front of an echo server, which is not counted; echoloop echoes by itself";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "--generate") {
        generator::run(arguments);
        return ExitCode::SUCCESS;
    }
    match arguments::read(&PARTS, &["--json", "--markdown"]) {
        Ok(arguments) => run(&arguments),
        Err(code) => code,
    }
}

fn run(arguments: &Arguments<Bench>) -> ExitCode {
    self_check();
    let mut bench = Bench::new(arguments.quick);
    let machine = bench.machine.description(&Rival::ALL.map(Rival::version));
    Report::print_header(&machine, LEGEND);
    for (_, run) in &arguments.parts {
        run(&mut bench);
    }
    let report = &bench.report;
    if let Some(path) = arguments.file("--json") {
        fs::write(path, report.json(&machine)).unwrap();
    }
    if let Some(path) = arguments.file("--markdown") {
        fs::write(path, report.markdown(&machine)).unwrap();
    }
    report.verdict()
}

/// A bench has no unit tests, so each run checks the parsing and the arithmetic it depends on.
fn self_check() {
    cpu::self_check();
    generator::self_check();
    load::self_check();
    parts::self_check();
    row::self_check();
    stats::self_check();
}
