//! A few active connections among many idle ones: the idle ones must not slow the active ones down.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::rivals::Rival;
use crate::row::{Row, Unit, format_ratio};
use crate::stats::Interval;

pub(super) fn run(bench: &mut Bench) {
    let most = bench.machine.max_connections - 50;
    let idle = bench.full_or_quick(19_000, 3_000).min(most);
    let loads = [0, idle].map(|idle| bench.timed(Load::ping_pong(50, 128).with("idle", idle)));
    let outcomes: [_; 2] = bench.interleaved(|setting| {
        let server = bench.start(Rival::Echoloop);
        loads[setting].run(&bench.machine, &[server])
    });
    let [without, with] = outcomes.map(|outcomes| figures(&outcomes, Outcome::rate));
    let ratio = Interval::of_ratios(&with, &without);
    let what = "50 active among 0 idle";
    bench
        .report
        .add(Row::alone("idle_crowd", what, Unit::PerSecond, without));
    let what = format!("50 active among {idle} idle");
    let row = Row::alone("idle_crowd", what, Unit::PerSecond, with);
    let bar = format!("{} of that, within 3 %", format_ratio(ratio));
    bench.report.add(row.bar(bar, ratio.high >= 0.97, true));
}
