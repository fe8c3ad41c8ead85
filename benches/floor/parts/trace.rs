//! What `--trace` costs: the CPU time per echo with and without it.

use crate::bench::{Bench, figures};
use crate::load::{Load, Outcome};
use crate::rivals::{Rival, Server};
use crate::row::{Row, Unit, format_ratio};
use crate::stats::Interval;

pub(super) fn run(bench: &mut Bench) {
    let load = bench.timed(Load::ping_pong(50, 128));
    let outcomes: [_; 2] = bench.interleaved(|setting| {
        let mut command = bench.command(Rival::Echoloop);
        if setting == 1 {
            command.args(["--trace", "/dev/null"]);
        }
        let server = Server::start(command, bench.machine.server_core());
        load.run(&bench.machine, &[server])
    });
    let [without, with] = outcomes.map(|outcomes| figures(&outcomes, Outcome::cpu_ns_each));
    let ratio = Interval::of_ratios(&with, &without);
    let what = "128 B on 50 connections, CPU per echo";
    let row = Row::alone("trace", what, Unit::Nanoseconds, without);
    bench.report.add(row);
    let what = "the same with --trace";
    let row = Row::alone("trace", what, Unit::Nanoseconds, with);
    let bar = format!("{} of that: ≤ 1.10", format_ratio(ratio));
    bench.report.add(row.bar(bar, ratio.low <= 1.1, true));
}
