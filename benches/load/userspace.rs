//! Idle connections in user space: how fast they are opened compared with kernel sockets, and the memory of each.

use crate::idle::memory_while_held;
use crate::programs::{Running, program};
use crate::report::{Report, as_f64, median};
use std::process::Stdio;

/// How many times as fast as kernel sockets they are opened.
const LEAST_RATIO: f64 = 1.5;

/// Bytes of user memory per idle connection.
const MOST_BYTES: f64 = 16.0;

/// A load whose server is its child, in the same network namespace.
fn start(is_userspace: bool, idle: &str, more: &[&str]) -> Running {
    let flag = is_userspace.then_some("--userspace-tcp=private");
    let arguments = ["load", "-q", "--idle", idle, "--warmup", "0"];
    let arguments = arguments.iter().chain(&flag).chain(more).copied();
    let arguments: Vec<&str> = arguments.collect();
    let mut command = program(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    Running(command.spawn().unwrap())
}

/// 15,000 connections to a new server each time, alternately in user space and with kernel sockets.
pub(crate) fn opening(report: &mut Report) {
    report.part(
        "userspace",
        "idle connections in user space, compared with kernel sockets",
    );
    let rounds = if report.quick { 1 } else { 9 };
    let (mut ratios, mut rates) = (Vec::new(), [Vec::new(), Vec::new()]);
    let (mut retransmitted, mut is_alive) = (0, true);
    for round in 0..rounds {
        // Each is measured first as often as the other.
        let mut opened = [0.0; 2];
        for turn in 0..2 {
            let is_userspace = (round + turn) % 2 == 0;
            let result =
                start(is_userspace, "15k", &["--duration", "100ms", "-o", "json"]).finish();
            opened[usize::from(is_userspace)] = result.connect.per_second;
            retransmitted += result.connect.retransmitted;
            is_alive &= result.probe.alive == 15_000;
        }
        ratios.push(opened[1] / opened[0]);
        for (all, one) in rates.iter_mut().zip(opened) {
            all.push(one);
        }
    }
    let [kernel, userspace] = rates.map(median);
    report.figure("kernel sockets per second", format!("{kernel:.0}"));
    report.figure("in user space per second", format!("{userspace:.0}"));
    let ratio = median(ratios);
    report.time_bar(
        "in user space to kernel sockets",
        format!("{ratio:.2}"),
        "at least 1.5",
        ratio >= LEAST_RATIO,
    );
    report.bar("SYN retransmits", retransmitted, "none", retransmitted == 0);
    report.bar("all 15,000 alive", is_alive, "true", is_alive);
    memory(report);
}

/// The slope of the load tester's memory between two counts.
fn memory(report: &mut Report) {
    let (few, many) = (4_000, 19_000);
    let each = as_f64(held_memory(many) - held_memory(few)) / as_f64(many - few);
    report.bar(
        "bytes of the load tester per connection",
        format!("{each:.1}"),
        "at most 16",
        each <= MOST_BYTES,
    );
}

fn held_memory(count: i64) -> i64 {
    let count = count.to_string();
    memory_while_held(start(true, &count, &["--duration", "2s", "-o", "jsonl"]))
}
