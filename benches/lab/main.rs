//! The patterns of the lab under one load.
//!
//! `cargo bench --bench lab -- [PART]... [--quick]` runs the named parts, or all, prints each figure with its bar, and
//! exits with 1 when a bar is missed.
//!
//! - `poll`: the CPU time per echo of poll(2) and of epoll(7) among 1,000 idle clients.
//! - `all`: every pattern, as `echoloop lab patterns --quick` measures it: it takes less than 90 s.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

#[path = "../common/arguments.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod arguments;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod report;

use arguments::Part;
use report::{Report, median};
use serde_json::Value;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// At least so many times the CPU time of epoll.
const LEAST_RATIO: f64 = 3.0;

/// The most time of a quick comparison.
const LONGEST: Duration = Duration::from_secs(90);

const PARTS: [Part<Report>; 2] = [("poll", poll_and_epoll), ("all", all)];

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

/// The rows of a comparison.
fn compare(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_echoloop"))
        .args(["-q", "lab", "patterns", "-o", "json"])
        .args(arguments)
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    comparison["patterns"].as_array().unwrap().clone()
}

fn cpu_us(row: &Value) -> f64 {
    row["cpu_us_per_echo"].as_f64().unwrap_or(f64::NAN)
}

fn poll_and_epoll(report: &mut Report) {
    report.part(
        "poll",
        "CPU per echo of poll and epoll among 1,000 idle clients",
    );
    let (rounds, length): (usize, &[&str]) = if report.quick {
        (1, &["--quick"])
    } else {
        (5, &[])
    };
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let rows = compare(
            &[
                &["poll", "epoll_level", "--idle", "1000", "-c", "1"],
                length,
            ]
            .concat(),
        );
        let [poll, epoll] = [0, 1].map(|index| cpu_us(&rows[index]));
        report.figure("poll, epoll", format!("{poll:.1}, {epoll:.1} us"));
        ratios.push(poll / epoll);
    }
    let ratio = median(ratios);
    let bar = format!("at least {LEAST_RATIO}");
    let value = format!("{ratio:.1} times");
    report.bar(
        "poll compared with epoll",
        value,
        &bar,
        ratio >= LEAST_RATIO,
    );
}

fn all(report: &mut Report) {
    report.part("all", "every pattern among 1,000 idle clients");
    let begun = Instant::now();
    let rows = compare(&["--quick"]);
    let took = begun.elapsed();
    for row in &rows {
        let name = row["pattern"].as_str().unwrap();
        let figure = match row["failure"]["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None => format!("{:.1} us", cpu_us(row)),
        };
        report.figure(name, figure);
    }
    let value = format!("{:.0} s", took.as_secs_f64());
    report.time_bar("the whole run", value, "less than 90 s", took < LONGEST);
}
