//! More connections than one process has file descriptors, over several processes at both ends.

use crate::programs::{Running, Server};
use crate::report::Report;

/// Processes at each end.
const PROCESSES: usize = 6;

/// All load processes connect, hold their connections at the same time, and verify an echo on each.
pub(crate) fn run(report: &mut Report) {
    let (each, wait, duration) = if report.quick {
        (1000, "+2s", "1s")
    } else {
        (17_000, "+20s", "10s")
    };
    report.part(
        "crowd",
        "idle connections over several serve --reuse-port and several load",
    );
    let first = Server::start();
    let address = first.address;
    let others: Vec<_> = (1..PROCESSES)
        .map(|_| Server::start_at(&address.to_string()))
        .collect();
    let idle = each.to_string();
    let arguments = [
        "-o",
        "json",
        "--idle",
        &idle,
        "--start-at",
        wait,
        "--duration",
        duration,
        "--warmup",
        "0",
        "--connect-timeout",
        "30s",
    ];
    let loads: Vec<_> = (0..PROCESSES)
        .map(|_| Running::start(address, &arguments))
        .collect();
    let results: Vec<_> = loads.into_iter().map(Running::finish).collect();
    let sum =
        |count: fn(&echoloop::load::LoadResult) -> u64| results.iter().map(count).sum::<u64>();
    // The measured periods of all processes begin together.
    let held = sum(|result| result.intervals.last().map_or(0, |interval| interval.held));
    let lost = sum(|result| result.connections.lost);
    let alive = sum(|result| result.probe.alive);
    let asked = (PROCESSES * each) as u64;
    report.figure(
        "servers, loads",
        format!("{}, {PROCESSES}", others.len() + 1),
    );
    report.bar("held at once", held, &format!("{asked}"), held == asked);
    report.bar("lost", lost, "none", lost == 0);
    report.bar("alive by probe", alive, &format!("{asked}"), alive == asked);
    report.time_bar(
        "SYN retransmits",
        sum(|result| result.connect.retransmitted),
        "none",
        sum(|result| result.connect.retransmitted) == 0,
    );
}
