//! The latency of echoes on open connections while full handshakes arrive on schedule.

use crate::bench::{Bench, figures_by_rival};
use crate::load::Load;
use crate::row::{Row, Unit};

/// Handshakes per second.
const HANDSHAKES: usize = 2_000;

/// Open connections, and echoes per second on all of them.
const CONNECTIONS: usize = 50;
const ECHOES: usize = 1_000;

/// The highest p99 in milliseconds.
const MOST: f64 = 5.0;

pub(super) fn run(bench: &mut Bench) {
    let rounds = bench.full_or_quick(5, 1);
    let load = Load::new("scheduled")
        .with("connections", CONNECTIONS)
        .with("rate", ECHOES)
        .with("seconds", bench.full_or_quick(3.0, 0.5));
    let alone = bench.load_rivals(rounds, &load);
    let load = load.with("handshakes", HANDSHAKES);
    let outcomes = bench.load_rivals(rounds, &load);

    let figures = |name| figures_by_rival(&outcomes, |outcome| outcome.number(name));
    let rates = figures_by_rival(&outcomes, |outcome| {
        outcome.number("handshakes") / outcome.number("seconds")
    });
    let what = "full handshakes that arrived";
    bench
        .report
        .add(Row::new("latency", what, Unit::PerSecond, rates));
    let p99 = figures_by_rival(&alone, |outcome| outcome.number("p99_ms"));
    let what = "echo p99 without handshakes";
    bench
        .report
        .add(Row::new("latency", what, Unit::Milliseconds, p99));
    for (what, name) in [
        ("echo p50 with handshakes", "p50_ms"),
        ("longest echo with handshakes", "max_ms"),
        ("p99 of the handshakes", "handshake_p99_ms"),
    ] {
        let row = Row::new("latency", what, Unit::Milliseconds, figures(name));
        bench.report.add(row);
    }
    let what = "echo p99 with handshakes";
    let row = Row::new("latency", what, Unit::Milliseconds, figures("p99_ms"));
    let met = row.median(0) <= MOST;
    bench.report.add(row.bar(format!("≤ {MOST} ms"), met, true));
}
