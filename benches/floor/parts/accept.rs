//! Many clients that connect at once: no SYN may be retransmitted, and accepting one must be cheap.

use crate::bench::{Bench, figures_by_rival};
use crate::load::{Load, Outcome};
use crate::row::{Against, Row, Unit};

pub(super) fn run(bench: &mut Bench) {
    let count = bench.full_or_quick(19_000, 3_000);
    let count = count.min(bench.machine.max_connections);
    let outcomes = bench.load_rivals(&Load::accept(count));
    let what = format!("{count} clients at once");
    let rates = figures_by_rival(&outcomes, Outcome::rate);
    let rate = Row::new("accept", &what, Unit::PerSecond, rates);
    let retransmits: f64 = outcomes[0]
        .iter()
        .map(|outcome| outcome.syn_retransmits + outcome.overflows)
        .sum();
    bench.report.add(rate.bar(
        format!("{retransmits} SYN retransmits or backlog overflows: none"),
        retransmits < 1.0,
        true,
    ));
    let what = format!("{what}, CPU each");
    let costs = figures_by_rival(&outcomes, Outcome::cpu_ns_each);
    let cost = Row::new("accept", what, Unit::Nanoseconds, costs);
    bench.report.add(cost.at_most(1.05, Against::Baseline));
}
