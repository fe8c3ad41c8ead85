//! The cost of connections that wait, in user memory of the daemon and in wake-ups.
//!
//! `cargo bench --bench idle -- [idle] [layers] [unfinished] [--quick]` runs the named parts, or all. They load release
//! builds of `echoloop serve`: idle connections that have echoed once, raw, of other protocols and behind a proxy; and
//! connections in the middle of a line or frame. Memory per connection is the slope of what the daemon has allocated
//! (anonymous PSS) between two counts. With `--quick` there are fewer connections. Exits with 1 when a bar is missed. Idle
//! connections over TLS are measured by the bench `tls`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench ends where it fails"
)]

#[path = "../common/arguments.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod arguments;
mod clients;
#[path = "../common/daemon.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod daemon;
mod layers;
#[path = "../common/report.rs"]
#[allow(dead_code, reason = "shared with other benches, which use more of it")]
mod report;
mod unfinished;

use arguments::Part;
use clients::Clients;
use daemon::{Daemon, Memory};
use report::{Report, as_f64, mib};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The most bytes of user memory per idle connection.
const MOST_BYTES: f64 = 64.0;

const PARTS: [Part<Report>; 3] = [
    ("idle", idle),
    ("layers", layers::run),
    ("unfinished", unfinished::run),
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

/// The two counts of connections between which memory is compared.
///
/// Between the counts of a quick run, the table of connections does not grow: it doubles at 4,096 and at 8,192.
fn counts(quick: bool) -> (usize, usize) {
    if quick {
        (4_500, 8_000)
    } else {
        (5_000, 15_000)
    }
}

fn idle(report: &mut Report) {
    report.part("idle", "connections that have echoed once");
    let (few, many) = counts(report.quick);
    let daemon = Daemon::start(&[], None);
    let start = daemon.memory().pss;
    let mut clients = Clients::new(&daemon);
    let at_few = clients.open_until(few, b"");
    let at_many = clients.open_until(many, b"");
    let switches = daemon.context_switches();
    // No event is expected, so only time can pass.
    thread::sleep(Duration::from_secs(if report.quick { 1 } else { 5 }));
    let wakeups = daemon.context_switches() - switches;

    report.figure("PSS at the start", mib(start));
    report.figure(&format!("PSS, {few} connections"), mib(at_few.pss));
    report.figure(&format!("PSS, {many} connections"), mib(at_many.pss));
    let slope = slope(at_few, at_many, many - few);
    let bar = format!("at most {MOST_BYTES} B");
    let met = slope <= MOST_BYTES;
    report.bar("per connection", format!("{slope:.1} B"), &bar, met);
    report.bar("wake-ups while idle", wakeups, "none", wakeups == 0);
}

/// Bytes that the daemon has allocated per connection.
fn slope(few: Memory, many: Memory, connections: usize) -> f64 {
    as_f64(many.anonymous - few.anonymous) / as_f64(i64::try_from(connections).unwrap())
}
