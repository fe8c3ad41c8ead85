//! One connection: the server sleeps between messages, or, with `--spin`, polls.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::rivals::{Rival, Server};
use crate::row::{Row, Unit, format_ratio};
use crate::stats::Interval;

pub(super) fn run(bench: &mut Bench) {
    let load = bench.timed(Load::ping_pong(1, 128));
    let outcomes: [_; 2] = bench.interleaved(|setting| {
        let mut command = bench.command(Rival::Echoloop);
        if setting == 1 {
            command.args(["--spin", "100us"]);
        }
        let server = Server::start(command, bench.machine.server_core());
        load.run(&bench.machine, &[server])
    });
    let [without, with] = outcomes.map(|outcomes| figures(&outcomes, Outcome::rate));
    let ratio = Interval::of_ratios(&with, &without);
    let what = "128 B on 1 connection";
    bench
        .report
        .add(Row::alone("spin", what, Unit::PerSecond, without));
    let what = "the same with --spin 100us";
    let row = Row::alone("spin", what, Unit::PerSecond, with);
    let bar = format!("{} of that: ≥ 2.00", format_ratio(ratio));
    bench.report.add(row.bar(bar, ratio.high >= 2.0, true));
}
