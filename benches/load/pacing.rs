//! Opening connections to a server with a small backlog: adaptive, compared with the best fixed window.

use crate::programs::load;
use crate::python::{ASYNCIO, Python};
use crate::report::{Report, median};
use echoloop::load::LoadResult;

/// The smallest rate, as a share of that with the fixed window.
const LEAST_RATIO: f64 = 0.5;

fn open(more: &[&str]) -> LoadResult {
    let server = Python::start(ASYNCIO, &[]);
    let arguments = [
        "--idle",
        "5000",
        "--probe",
        "off",
        "--duration",
        "100ms",
        "--warmup",
        "0",
    ];
    load(server.address, &[&arguments, more].concat())
}

/// 5,000 connections to a new server each time, alternately with either window.
pub(crate) fn against_a_fixed_window(report: &mut Report) {
    report.part(
        "pacing",
        "5,000 idle connections to python's asyncio, backlog 100",
    );
    let rounds = if report.quick { 1 } else { 7 };
    let (mut adaptive, mut fixed, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut retransmitted, mut is_complete) = (0, true);
    for round in 0..rounds {
        // Each is measured first as often as the other.
        let [ours, theirs] = if round % 2 == 0 {
            let ours = open(&[]);
            [ours, open(&["--window", "90"])]
        } else {
            let theirs = open(&["--window", "90"]);
            [open(&[]), theirs]
        };
        retransmitted += ours.connect.retransmitted;
        is_complete &= ours.connections.opened == 5_000;
        let rates = [&ours, &theirs].map(|result| result.connect.per_second);
        adaptive.push(rates[0]);
        fixed.push(rates[1]);
        ratios.push(rates[0] / rates[1]);
    }
    report.figure(
        "adaptive, established per second",
        format!("{:.0}", median(adaptive)),
    );
    report.figure(
        "--window 90, established per second",
        format!("{:.0}", median(fixed)),
    );
    let ratio = median(ratios);
    report.time_bar(
        "adaptive to --window 90",
        format!("{ratio:.2}"),
        "at least 0.5",
        ratio >= LEAST_RATIO,
    );
    report.bar("SYN retransmits", retransmitted, "none", retransmitted == 0);
    report.bar("all 5,000 established", is_complete, "true", is_complete);
}
