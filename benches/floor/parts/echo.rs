//! Echoes per second, and the server's CPU time per echo: small messages on few and on many connections, large
//! messages, and several messages in flight.

use crate::bench::{Bench, figures, figures_by_rival};
use crate::load::{Load, Outcome};
use crate::rivals::RIVALS;
use crate::row::{Against, Row, Unit};
use crate::stats::median;

/// 128 bytes, one message in flight on each connection.
pub(super) fn ping_pong(bench: &mut Bench) {
    for connections in [50, 500, 5_000] {
        let connections = connections.min(bench.machine.max_connections);
        let load = bench.timed(Load::ping_pong(connections, 128));
        let outcomes = bench.load_rivals(&load);
        let what = format!("128 B on {connections} connections");
        let [rate, cost] = rows("pingpong", &what, &outcomes);
        let rate = rate.at_least(0.98, Against::Baseline);
        bench.report.add(rate.at_least(1.0, Against::Tokio));
        bench.report.add(cost.at_most(1.03, Against::Baseline));
    }
}

/// 64 KiB, one message in flight: several segments, which would be delayed without `TCP_NODELAY`.
pub(super) fn large(bench: &mut Bench) {
    for (connections, what) in [
        (1, "64 KiB on 1 connection"),
        (50, "64 KiB on 50 connections"),
    ] {
        let load = bench.timed(Load::ping_pong(connections, 65_536));
        let outcomes = bench.load_rivals(&load);
        let [rate, cost] = rows("large", what, &outcomes);
        bench
            .report
            .add(rate.at_least(0.98, Against::BaselineOrTokio));
        bench.report.add(cost);
    }
}

/// 16 messages of 128 bytes in flight on each connection.
pub(super) fn pipelined(bench: &mut Bench) {
    let load = Load::ping_pong(50, 128).with("pipeline", 16);
    let outcomes = bench.load_rivals(&bench.timed(load));
    let [rate, cost] = rows("pipelined", "16 x 128 B on 50 connections", &outcomes);
    bench.report.add(rate.at_least(0.98, Against::Baseline));
    bench.report.add(cost);
}

/// The row of rates and the row of CPU times.
fn rows(part: &'static str, what: &str, outcomes: &[Vec<Outcome>; RIVALS]) -> [Row; 2] {
    let busy = 100.0 * median(&figures(&outcomes[0], Outcome::server_busy));
    let rates = figures_by_rival(outcomes, Outcome::rate);
    let costs = figures_by_rival(outcomes, Outcome::cpu_ns_each);
    let rate = format!("{what} (server {busy:.0} % busy)");
    let cost = format!("{what}, CPU per echo");
    [
        Row::new(part, rate, Unit::PerSecond, rates),
        Row::new(part, cost, Unit::Nanoseconds, costs),
    ]
}
