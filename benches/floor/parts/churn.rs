//! Connect, one echo, close: what a short-lived client costs the server.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::row::{Row, Unit};
use std::array;

pub(super) fn run(bench: &mut Bench) {
    // Who closes with FIN is in TIME_WAIT for 60 s: all rounds together stay below what the kernel keeps of those
    // (tcp_max_tw_buckets).
    for (close, count) in [("fin", 1_500), ("reset", 5_000)] {
        let load = Load::churn(bench.either(count, 500), close);
        let outcomes = bench.race(&load);
        let series =
            |figure: fn(&Outcome) -> f64| array::from_fn(|rival| figures(&outcomes[rival], figure));
        let what = format!("connect, echo, close by {close}");
        let rate = Row::new("churn", &what, Unit::PerSecond, series(Outcome::rate));
        bench.report.add(rate);
        let what = format!("{what}, CPU each");
        let cost = Row::new(
            "churn",
            what,
            Unit::Nanoseconds,
            series(Outcome::cpu_ns_each),
        );
        bench.report.add(cost.at_most(1.05, 1));
    }
}
