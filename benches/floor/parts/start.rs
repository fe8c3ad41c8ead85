//! The time from the start of the program until it listens, and the size of the program that users build.

use crate::bench::Bench;
use crate::rivals::build_for_users;
use crate::row::{Row, Unit};
use crate::stats::as_f64;
use std::time::Instant;

pub(super) fn run(bench: &mut Bench) {
    let series = bench.measure_rivals(|rival| {
        let begin = Instant::now();
        let server = bench.start(rival);
        let time = begin.elapsed();
        drop(server);
        1000.0 * time.as_secs_f64()
    });
    let row = Row::new("start", "until it listens", Unit::Milliseconds, series);
    let met = row.median(0) < 5.0;
    bench.report.add(row.bar("< 5 ms".into(), met, true));
    // A quarter of it is TLS.
    let size = std::fs::metadata(build_for_users()).unwrap().len();
    let size = as_f64(size) / 1e6;
    let what = "the program of cargo build --release";
    let row = Row::alone("start", what, Unit::Megabytes, vec![size]);
    bench
        .report
        .add(row.bar("< 6.5 MB".into(), size < 6.5, false));
}
