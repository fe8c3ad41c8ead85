//! Connect, one echo, close: the cost of a short-lived connection.

use crate::bench::{Bench, figures_by_rival};
use crate::load::{Load, Outcome};
use crate::row::{Against, Row, Unit};

pub(super) fn run(bench: &mut Bench) {
    // A client that closes with FIN is in TIME_WAIT for 60 s: all rounds together stay below tcp_max_tw_buckets.
    for (close, count) in [("fin", 900), ("reset", 5_000)] {
        let load = Load::churn(bench.full_or_quick(count, 500), close);
        let outcomes = bench.load_rivals(&load);
        let what = format!("connect, echo, close by {close}");
        let rates = figures_by_rival(&outcomes, Outcome::rate);
        bench
            .report
            .add(Row::new("churn", &what, Unit::PerSecond, rates));
        let what = format!("{what}, CPU each");
        let costs = figures_by_rival(&outcomes, Outcome::cpu_ns_each);
        let cost = Row::new("churn", what, Unit::Nanoseconds, costs);
        bench.report.add(cost.at_most(1.05, Against::Baseline));
    }
}
