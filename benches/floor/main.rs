//! Compares the daemon with other echo servers in the same run: a minimal epoll server in C (below: the baseline), tokio
//! and Go.
//!
//! `cargo bench --bench floor -- [PART...] [--quick] [--json FILE] [--markdown FILE] [--svg FILE]` runs the named
//! parts, or all, and prints a table. The server is pinned to one core, the load generator to another. A comparison
//! consists of rounds: in each round, every server is restarted and loaded for a moment, one after another. A ratio is
//! the median of the rounds' ratios, with a 95 % bootstrap interval. A bar is missed when the better end of the interval
//! misses it; the bench then exits with 1.
//!
//! `--quick` shows that everything works: bars on times are then shown, and only those on correctness, memory, size and
//! instructions decide.
//!
//! - `correct`: every server returns all bytes in order, and then FIN.
//! - `pingpong`, `large`, `pipelined`: echoes per second, and the server's CPU time per echo.
//! - `instructions`: user instructions per echo, the same on every machine.
//! - `memory`: user memory per idle connection.
//! - `churn`, `accept`: the cost of a short-lived connection, and of one of many that connect at once.
//! - `idle_crowd`: a few active connections among many idle ones.
//! - `spin`: one connection, with and without `--spin`.
//! - `reuse_port`: two processes on one port.
//! - `admin`: echoes while the admin listener is scraped, and while `wrk` requests its metrics as fast as it can.
//! - `trace`: the CPU time per echo with and without `--trace`.
//! - `start`: the time until the server listens, and the size of the program as `cargo build --release`
//!   makes it, in about 100 s.
//!
//! Required beside Rust: a C compiler (baseline), Go, and valgrind (instruction counts).
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
mod machine;
mod parts;
mod report;
mod rivals;
mod row;
mod stats;
mod svg;

use arguments::Arguments;
use bench::Bench;
use machine::version;
use parts::PARTS;
use report::Report;
use std::fs;
use std::process::ExitCode;

/// The line above the table.
const LEGEND: &str =
    "baseline: a minimal epoll server in C; best tokio: the better of its two servers in that row";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    match arguments.peek().map(String::as_str) {
        Some("--generate") => generator::run(arguments),
        Some("--tokio-shared-buffer") => rivals::tokio::serve(rivals::tokio::Buffer::Shared),
        Some("--tokio-own-buffer") => rivals::tokio::serve(rivals::tokio::Buffer::PerConnection),
        _ => match arguments::read(&PARTS, &["--json", "--markdown", "--svg"]) {
            Ok(arguments) => return run(&arguments),
            Err(code) => return code,
        },
    }
    ExitCode::SUCCESS
}

fn run(arguments: &Arguments<Bench>) -> ExitCode {
    self_check();
    let mut bench = Bench::new(arguments.quick);
    let machine = bench
        .machine
        .description(&[version("cc", "--version"), version("go", "version")]);
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
    if let Some(path) = arguments.file("--svg") {
        match svg::picture(report, &machine) {
            Some(picture) => fs::write(path, picture).unwrap(),
            None => eprintln!("no picture: it needs the parts pingpong and memory"),
        }
    }
    report.verdict()
}

/// A bench has no unit tests, so each run checks the parsing and the arithmetic it depends on.
fn self_check() {
    cpu::self_check();
    generator::self_check();
    load::self_check();
    rivals::against::self_check();
    row::self_check();
    stats::self_check();
}
