//! From the start of the program until it listens, and how large it is.

use crate::bench::Bench;
use crate::rivals::{Rival, echoloop};
use crate::row::{Row, Unit};
use crate::stats::as_f64;
use std::time::Instant;

pub(super) fn run(bench: &mut Bench) {
    let series: [Vec<f64>; 3] = bench.interleaved(|rival| {
        let begin = Instant::now();
        let server = bench.start(Rival::ALL[rival]);
        let time = begin.elapsed();
        drop(server);
        1000.0 * time.as_secs_f64()
    });
    let row = Row::new("start", "until it listens", Unit::Milliseconds, series);
    let met = row.median(0) < 5.0;
    bench.report.add(row.bar("< 5 ms".into(), met, true));
    let size = std::fs::metadata(echoloop()).unwrap().len();
    let size = as_f64(size) / 1e6;
    let row = Row::alone(
        "start",
        "the program, stripped",
        Unit::Megabytes,
        vec![size],
    );
    bench
        .report
        .add(row.bar("< 3 MB".into(), size < 3.0, false));
}
