//! User memory per idle connection that has echoed once: the slope of PSS between two counts.

use crate::bench::Bench;
use crate::load::Load;
use crate::rivals::Rival;
use crate::row::{Row, Unit};
use crate::stats::as_f64;

/// The most bytes per idle connection.
const MOST: f64 = 64.0;

pub(super) fn run(bench: &mut Bench) {
    // A table that grows by doubling may leave freed memory in the heap. A full run counts it; a quick run, in which the
    // bar decides everywhere, stays within the capacity of the table of slots after it has grown to 8,192.
    let (few, many) = bench.full_or_quick((5_000, 15_000), (4_500, 8_000));
    let many = many.min(bench.machine.max_connections);
    let few = few.min(many * 9 / 16);
    let servers = bench.full_or_quick(3, 1);
    let series = Rival::ALL.map(|rival| {
        let slope = |_| slope(bench, rival, few, many);
        let servers = if bench.has(rival) { servers } else { 0 };
        (0..servers).map(slope).collect()
    });
    let what = "per idle connection (PSS)";
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
        holder.resume();
        (count, memory)
    };
    let (few, at_few) = measure();
    let (many, at_many) = measure();
    (at_many - at_few) / (many - few)
}
