//! Echoes a second, and what each costs the server: small messages on few and on many connections, large ones, and
//! several in flight.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::row::{Row, Unit};
use std::array;

/// 128 bytes, one message in flight on each connection.
pub(super) fn ping_pong(bench: &mut Bench) {
    for connections in [50, 500, 5_000] {
        let connections = connections.min(bench.machine.descriptors);
        let load = bench.timed(Load::ping_pong(connections, 128));
        let outcomes = bench.race(&load);
        let [rate, cost] = rows(
            "pingpong",
            &format!("128 B on {connections} connections"),
            &outcomes,
        );
        bench.report.add(rate.at_least(0.98, 1).at_least(1.0, 2));
        bench.report.add(cost.at_most(1.03, 1));
    }
}

/// 64 KiB, one message in flight: it takes several segments, and without `TCP_NODELAY` it would stall.
pub(super) fn large(bench: &mut Bench) {
    for (connections, whose) in [(1, "1 connection"), (50, "50 connections")] {
        let load = bench.timed(Load::ping_pong(connections, 65_536));
        let outcomes = bench.race(&load);
        let [rate, cost] = rows("large", &format!("64 KiB on {whose}"), &outcomes);
        let better = if rate.median(2) > rate.median(1) {
            2
        } else {
            1
        };
        bench.report.add(rate.at_least(0.98, better));
        bench.report.add(cost);
    }
}

/// 16 messages of 128 bytes in flight on each connection.
pub(super) fn pipelined(bench: &mut Bench) {
    let load = Load::ping_pong(50, 128).with("pipeline", 16);
    let outcomes = bench.race(&bench.timed(load));
    let [rate, cost] = rows("pipelined", "16 x 128 B on 50 connections", &outcomes);
    bench.report.add(rate.at_least(0.98, 1));
    bench.report.add(cost);
}

fn rows(part: &'static str, what: &str, outcomes: &[Vec<Outcome>; 3]) -> [Row; 2] {
    let series =
        |figure: fn(&Outcome) -> f64| array::from_fn(|rival| figures(&outcomes[rival], figure));
    let busy = figures(&outcomes[0], Outcome::server_busy);
    let busy = 100.0 * crate::stats::median(&busy);
    [
        Row::new(
            part,
            format!("{what} (server {busy:.0} % busy)"),
            Unit::PerSecond,
            series(Outcome::rate),
        ),
        Row::new(
            part,
            format!("{what}, CPU per echo"),
            Unit::Nanoseconds,
            series(Outcome::cpu_ns_each),
        ),
    ]
}
