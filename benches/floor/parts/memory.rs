//! User memory for each idle connection that has echoed once: the slope of Pss between two counts.

use crate::bench::Bench;
use crate::load::Load;
use crate::rivals::Rival;
use crate::row::{Row, Unit};
use crate::stats::as_f64;

/// The most bytes that an idle connection may cost.
const MOST: f64 = 64.0;

pub(super) fn run(bench: &mut Bench) {
    // A table that grows by doubling may leave a hole behind. In full that counts; a quick run, in which the bar decides
    // everywhere, stays within what the table of slots holds once it has 8,192.
    let (few, many) = bench.either((5_000, 15_000), (4_500, 8_000));
    let many = many.min(bench.machine.descriptors);
    let few = few.min(many * 9 / 16);
    let servers = bench.either(3, 1);
    let series = Rival::ALL.map(|rival| {
        let slopes = (0..servers).map(|_| slope(bench, rival, few, many));
        slopes.collect()
    });
    let what = "per idle connection (Pss)";
    let row = Row::new("memory", what, Unit::Bytes, series);
    let met = row.median(0) <= MOST;
    bench.report.add(row.bar(format!("≤ {MOST} B"), met, false));
}

fn slope(bench: &Bench, rival: Rival, few: usize, many: usize) -> f64 {
    let server = [bench.start(rival)];
    let mut holder = Load::hold(few, many).start(&bench.machine, &server);
    let mut measure = || {
        let count = holder.wait().done();
        let memory = as_f64(server[0].pss_anon());
        holder.go_on();
        (count, memory)
    };
    let (few, at_few) = measure();
    let (many, at_many) = measure();
    (at_many - at_few) / (many - few)
}
