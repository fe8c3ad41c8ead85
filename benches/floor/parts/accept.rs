//! A crowd that comes at once: nobody may have to knock twice, and taking one in may cost little.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::row::{Row, Unit};
use std::array;

pub(super) fn run(bench: &mut Bench) {
    let count = bench.either(19_000, 3_000).min(bench.machine.descriptors);
    let outcomes = bench.race(&Load::accept(count));
    let series =
        |figure: fn(&Outcome) -> f64| array::from_fn(|rival| figures(&outcomes[rival], figure));
    let what = format!("{count} clients at once");
    let rate = Row::new("accept", &what, Unit::PerSecond, series(Outcome::rate));
    let ours = &outcomes[0];
    let retries: f64 = ours
        .iter()
        .map(|outcome| outcome.syn_retries + outcome.overflows)
        .sum();
    bench.report.add(rate.bar(
        format!("{retries} SYN retries or overflows: none"),
        retries < 1.0,
        true,
    ));
    let what = format!("{what}, CPU each");
    let cost = Row::new(
        "accept",
        what,
        Unit::Nanoseconds,
        series(Outcome::cpu_ns_each),
    );
    bench.report.add(cost.at_most(1.05, 1));
}
