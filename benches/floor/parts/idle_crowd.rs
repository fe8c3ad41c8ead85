//! Some that echo among very many that do not: the many may not slow them down.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::rivals::Rival;
use crate::row::{Row, Unit, show_ratio};
use crate::stats::Interval;

pub(super) fn run(bench: &mut Bench) {
    let most = bench.machine.descriptors - 50;
    let idle = bench.either(19_000, 3_000).min(most);
    let loads = [0, idle].map(|idle| bench.timed(Load::ping_pong(50, 128).with("idle", idle)));
    let [without, with] = bench.interleaved(|crowd| {
        let server = bench.start(Rival::Echoloop);
        loads[crowd].run(&bench.machine, &[server])
    });
    let [without, with] = [without, with].map(|outcomes| figures(&outcomes, Outcome::rate));
    let ratio = Interval::of_ratios(&with, &without);
    let what = "50 active among 0 idle";
    bench
        .report
        .add(Row::alone("idle_crowd", what, Unit::PerSecond, without));
    let row = Row::alone(
        "idle_crowd",
        format!("50 active among {idle} idle"),
        Unit::PerSecond,
        with,
    );
    let bar = format!("{} of that, within 3 %", show_ratio(ratio));
    bench.report.add(row.bar(bar, ratio.high >= 0.97, true));
}
