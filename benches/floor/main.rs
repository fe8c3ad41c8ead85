//! At the floor: the daemon beside the smallest correct epoll loop and beside tokio, in the same run.
//!
//! `cargo bench --bench floor -- [PART...] [--quick] [--json FILE] [--markdown FILE] [--svg FILE]` runs the named
//! parts, or all, and prints a table. The server is tied to one core, the generator to another. Every comparison is
//! made of rounds: in each, every rival is started anew and loaded for a moment, one after another; a ratio is the
//! median of the rounds' ratios, with a 95 % bootstrap interval. A bar is missed when the better end of the interval
//! misses it; then the bench exits with 1.
//!
//! `--quick` takes less than a minute and shows that everything works; bars on times are then shown, and only those on
//! correctness, memory, size and instructions decide.
//!
//! - `correct`: every rival returns all that it is owed, in order, and then FIN.
//! - `pingpong`, `large`, `pipelined`: echoes a second, and the server's time on the processor for each.
//! - `instructions`: user instructions for each echo, the same on every machine.
//! - `memory`: user memory for each idle connection.
//! - `churn`, `accept`: what a client costs that comes and goes, and one of a crowd that comes at once.
//! - `idle_crowd`: some that echo among very many that do not.
//! - `spin`: one connection, with and without `--spin`.
//! - `reuse_port`: two processes on one port.
//! - `start`: the time until it listens, and the size of the program.
//!
//! Wanted beside Rust: a C compiler (the floor is C) and valgrind (it counts instructions).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

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

use bench::Bench;
use parts::PARTS;
use report::Report;
use std::fs;
use std::process::ExitCode;

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    quick: bool,
    json: Option<String>,
    markdown: Option<String>,
    svg: Option<String>,
    parts: Vec<&'static parts::Part>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    match arguments.peek().map(String::as_str) {
        Some("--generate") => generator::run(arguments),
        Some("--tokio") => rivals::tokio::serve(),
        _ => match ask(arguments) {
            Ok(asked) => return run(&asked),
            Err(wrong) => {
                let parts = PARTS.map(|(name, _)| format!("[{name}]")).join(" ");
                eprintln!(
                    "{wrong}: {parts} [--quick] [--json FILE] [--markdown FILE] [--svg FILE]"
                );
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
}

fn ask(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(argument) = arguments.next() {
        let mut file = || arguments.next().ok_or(format!("{argument} needs a file"));
        match argument.as_str() {
            "--quick" => asked.quick = true,
            // Cargo says this to every bench.
            "--bench" => {}
            "--json" => asked.json = Some(file()?),
            "--markdown" => asked.markdown = Some(file()?),
            "--svg" => asked.svg = Some(file()?),
            name => {
                let part = PARTS.iter().find(|(part, _)| *part == name);
                asked.parts.push(part.ok_or(format!("no part {name}"))?);
            }
        }
    }
    if asked.parts.is_empty() {
        asked.parts.extend(&PARTS);
    }
    Ok(asked)
}

fn run(asked: &Asked) -> ExitCode {
    self_check();
    let mut bench = Bench::new(asked.quick);
    let machine = bench.machine.line();
    Report::head(&machine);
    for (_, run) in &asked.parts {
        run(&mut bench);
    }
    let report = &bench.report;
    if let Some(path) = &asked.json {
        fs::write(path, report.json(&machine)).unwrap();
    }
    if let Some(path) = &asked.markdown {
        fs::write(path, report.markdown(&machine)).unwrap();
    }
    if let Some(path) = &asked.svg {
        match svg::picture(report, &machine) {
            Some(picture) => fs::write(path, picture).unwrap(),
            None => eprintln!("no picture: it needs the parts pingpong and memory"),
        }
    }
    report.verdict()
}

/// What the figures rest on is checked wherever they are measured: a bench has no tests of its own.
fn self_check() {
    cpu::self_check();
    generator::self_check();
    load::self_check();
    row::self_check();
    stats::self_check();
}
