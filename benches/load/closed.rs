//! Active connections: at the highest rate, among idle ones, and on schedule.

use crate::plain;
use crate::programs::{Server, load};
use crate::report::{Report, median};
use echoloop::load::LoadResult;
use std::net::SocketAddr;
use std::time::Duration;

const CONNECTIONS: usize = 50;
const SIZE: usize = 128;

/// The smallest rate, as a share of the plain loop's.
const LEAST_RATIO: f64 = 0.95;

/// The largest p99 of the lag behind the schedule.
const MOST_LAG_US: u64 = 50;

/// The length of a measurement, and the number of measurements.
fn extent(report: &Report) -> (Duration, usize) {
    if report.quick {
        (Duration::from_millis(500), 1)
    } else {
        (Duration::from_secs(5), 7)
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn closed_loop(address: SocketAddr, length: Duration, idle: &str) -> LoadResult {
    let length = seconds(length);
    let result = load(
        address,
        &[
            "--active",
            "50",
            "--idle",
            idle,
            "--duration",
            &length,
            "--warmup",
            "500ms",
        ],
    );
    assert_eq!(result.echo.mismatched, 0, "{result:#?}");
    assert_eq!(result.echo.unanswered, 0, "{result:#?}");
    result
}

/// Every reply verified and timed, compared with a loop that does neither, alternately on the same server.
pub(crate) fn against_a_plain_loop(report: &mut Report) {
    report.part(
        "closed",
        "50 connections, 128 B: verified, compared with a plain epoll loop",
    );
    let server = Server::start();
    let (length, rounds) = extent(report);
    let (mut verified, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let one = || closed_loop(server.address, length, "0").echo.per_second;
        let other = || plain::rate(server.address, CONNECTIONS, SIZE, length);
        // Each is measured first as often as the other.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = one();
            (ours, other())
        } else {
            let theirs = other();
            (one(), theirs)
        };
        verified.push(ours);
        plain.push(theirs);
        ratios.push(ours / theirs);
    }
    report.figure("verified, echoes/s", format!("{:.0}", median(verified)));
    report.figure("plain, echoes/s", format!("{:.0}", median(plain)));
    let ratio = median(ratios);
    report.time_bar(
        "verified to plain",
        format!("{ratio:.3}"),
        "at least 0.95",
        ratio >= LEAST_RATIO,
    );
}

/// The figures of active connections must not depend on the number of idle ones.
pub(crate) fn among_idle_ones(report: &mut Report) {
    report.part(
        "among",
        "50 active connections among 0 and among 19,000 idle ones",
    );
    let server = Server::start();
    let (length, rounds) = extent(report);
    let (mut rates, mut tails) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let alone = closed_loop(server.address, length, "0");
        let among = closed_loop(server.address, length, "19k");
        report.figure("alone, echoes/s", format!("{:.0}", alone.echo.per_second));
        report.figure(
            "among 19,000, echoes/s",
            format!("{:.0}", among.echo.per_second),
        );
        rates.push(among.echo.per_second / alone.echo.per_second);
        tails.push(ratio(
            among.echo.response_time_us.p99,
            alone.echo.response_time_us.p99,
        ));
    }
    let (rate, tail) = (median(rates), median(tails));
    report.time_bar(
        "rate, among to alone",
        format!("{rate:.3}"),
        "0.95 to 1.05",
        (0.95..=1.05).contains(&rate),
    );
    report.time_bar(
        "p99, among to alone",
        format!("{tail:.3}"),
        "0.85 to 1.15",
        (0.85..=1.15).contains(&tail),
    );
}

/// The lag behind the schedule at half of the highest rate.
pub(crate) fn lag(report: &mut Report) {
    report.part("lag", "50 connections at half of the highest rate");
    let server = Server::start();
    let (length, rounds) = extent(report);
    let most = closed_loop(server.address, length, "0").echo.per_second;
    let rate = format!("{:.0}", most / 2.0);
    report.figure("rate, echoes/s", &rate);
    for (name, arguments) in [
        ("default", &[][..]),
        ("sleeping between messages", &["--spin", "0"]),
    ] {
        let mut lags = Vec::new();
        for _ in 0..rounds {
            let length = seconds(length);
            let usual = ["--active", "50", "--rate", &rate, "--duration", &length];
            let result = load(server.address, &[&usual, arguments].concat());
            assert_eq!(result.echo.unanswered, 0, "{result:#?}");
            lags.push(result.generator.lag_us.p99);
        }
        lags.sort_unstable();
        let lag = lags[lags.len() / 2];
        let (name, value) = (format!("lag p99, {name}"), format!("{lag} us"));
        if arguments.is_empty() {
            report.time_bar(&name, value, "under 50 us", lag < MOST_LAG_US);
        } else {
            report.figure(&name, value);
        }
    }
}

fn ratio(one: u64, other: u64) -> f64 {
    let as_f64 = |time: u64| f64::from(u32::try_from(time).unwrap());
    as_f64(one) / as_f64(other.max(1))
}
