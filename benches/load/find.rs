//! The search for the limit of a server, against servers of a known capacity.

use crate::fixed::{Above, Fixed};
use crate::programs::load;
use crate::python::Python;
use crate::report::{Report, as_f64};
use echoloop::load::Find;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// The largest difference between the rate found and the capacity.
const MOST_OFF: f64 = 0.10;

/// What a search with these flags finds.
fn search(address: SocketAddr, step: &str, flags: &[&str]) -> Find {
    let result = load(address, &[&["--step", step], flags].concat());
    let find = result.find.unwrap();
    println!("  {}", find.sentence);
    find
}

/// Fixed service times: the rate is their reciprocal. A limit of connections: exactly.
pub(crate) fn known_capacities(report: &mut Report) {
    report.part("find", "the limits of servers of a known capacity");
    let step = if report.quick { "300ms" } else { "2s" };
    for (service, capacity) in [(50, 20_000), (100, 10_000), (400, 2_500)] {
        let server = Fixed {
            service: Duration::from_micros(service),
            limit: usize::MAX,
            above: Above::Reset,
        };
        let find = search(
            server.start(),
            step,
            &["--find", "rate", "--while", "p99<50ms"],
        );
        let best = find.best.unwrap_or(0);
        let off = as_f64(i64::try_from(best).unwrap()) / as_f64(capacity) - 1.0;
        report.time_bar(
            &format!("rate found at {service} us, of {capacity}"),
            format!("{best} ({:+.1} %)", 100.0 * off),
            "within 10 %",
            off.abs() <= MOST_OFF,
        );
    }
    let server = Fixed {
        service: Duration::ZERO,
        limit: 700,
        above: Above::Reset,
    };
    let find = search(server.start(), "200ms", &["--find", "idle"]);
    let best = find.best.unwrap_or(0);
    report.bar("connections found, of 700", best, "700", best == 700);
}

/// On poll(2), the cost of a message grows with the idle connections: their number has a limit at this p99.
pub(crate) fn knee_of_poll(report: &mut Report) {
    report.part(
        "knee",
        "python on poll(2): idle connections with p99 < 5 ms of 10 active ones",
    );
    if report.quick {
        println!("  not in a quick pass: the server needs minutes for some thousand connections");
        return;
    }
    let python = Command::new("python3").arg("-V").output();
    if !python.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("ECHOLOOP_REQUIRE_TOOLS").is_none(),
            "python3 is missing"
        );
        println!("  SKIPPED: python3 is missing");
        return;
    }
    let server = Python::start(include_str!("poll.py"), &[]);
    let flags = ["--find", "idle", "--active", "10", "--while", "p99<5ms"];
    let find = search(server.address, "2s", &flags);
    for step in &find.steps {
        let p99 = step.p99_us.unwrap_or(0);
        report.figure(&format!("p99 among {}", step.value), format!("{p99} us"));
    }
    let best = find.best.unwrap_or(0);
    let has_knee = find.best.is_some() && find.next.is_some();
    report.time_bar("idle connections found", best, "a limit", has_knee);
}
