//! The CPU time of the TLS process for an echo of 128 B.

use super::handshakes::{busy, format_busy, generator_cost};
use crate::bench::{Bench, figures_by_rival};
use crate::load::{Load, Outcome};
use crate::rivals::RIVALS;
use crate::row::{Against, Row, Unit};

/// Open connections.
const CONNECTIONS: usize = 50;

/// Echoes per second on all connections, where they are on schedule.
const RATE: usize = 5_000;

pub(super) fn run(bench: &mut Bench) {
    let rounds = bench.full_or_quick(11, 2);
    let load = bench.timed(Load::new("echo").with("connections", CONNECTIONS));
    let outcomes = bench.load_rivals(rounds, &load);
    let rates = figures_by_rival(&outcomes, Outcome::rate);
    let busy = format_busy(&busy(&outcomes));
    let what = format!("128 B, closed loop, {CONNECTIONS} connections ({busy})");
    bench
        .report
        .add(Row::new("echo", what, Unit::PerSecond, rates));
    add_cost(bench, "the same, CPU of the server per echo", &outcomes);
    bench.report.add(generator_cost("echo", &outcomes));

    // Without a queue of echoes, each of which would share a wake-up with others.
    let load = Load::new("scheduled").with("connections", CONNECTIONS);
    let load = load.with("rate", RATE);
    let load = load.with("seconds", bench.full_or_quick(1.0, 0.25));
    let outcomes = bench.load_rivals(rounds, &load);
    let what = format!("128 B, {RATE} per second on schedule, CPU per echo");
    add_cost(bench, &what, &outcomes);
}

fn add_cost(bench: &mut Bench, what: &str, outcomes: &[Vec<Outcome>; RIVALS]) {
    let costs = figures_by_rival(outcomes, Outcome::cpu_ns_each);
    let row = Row::new("echo", what, Unit::Nanoseconds, costs);
    bench.report.add(row.at_most(1.0, Against::HaproxyOrNginx));
}
