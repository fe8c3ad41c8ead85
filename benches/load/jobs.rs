//! One load over four processes, against three servers on one port: more connections than one process may hold.

use crate::programs::{Running, Server};
use crate::report::Report;
use echoloop::load::{LoadResult, Part, Saved};

/// Processes of the load.
const JOBS: u64 = 4;

/// Servers on one port.
const SERVERS: usize = 3;

/// A figure of a result.
type Figure = fn(&LoadResult) -> u64;

/// The exact split, and the result as the sum of its parts.
pub(crate) fn run(report: &mut Report) {
    let (idle, active, duration) = if report.quick {
        (2000, 20, "1s")
    } else {
        (40_000, 200, "5s")
    };
    report.part(
        "jobs",
        "load --jobs 4 with idle and active connections to three serve --reuse-port",
    );
    let first = Server::start();
    let address = first.address;
    let others: Vec<_> = (1..SERVERS)
        .map(|_| Server::start_at(&address.to_string()))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.json");
    let (asked_idle, asked_active) = (idle.to_string(), active.to_string());
    let arguments = [
        "-o",
        "json",
        "--jobs",
        "4",
        "--idle",
        &asked_idle,
        "--active",
        &asked_active,
        "--rate",
        "4000",
        "--duration",
        duration,
        "--connect-timeout",
        "30s",
        "--save",
        path.to_str().unwrap(),
    ];
    let result = Running::start(address, &arguments).finish();
    drop((first, others));
    let saved: Saved = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let parts = &saved.parts;
    let split = |pick: fn(&Part) -> u64| {
        let all: Vec<String> = parts.iter().map(|part| pick(part).to_string()).collect();
        all.join(" ")
    };
    let each = |count: u64| vec![(count / JOBS).to_string(); 4].join(" ");
    let found = split(|part| part.configuration.idle);
    report.bar("idle by process", &found, &each(idle), found == each(idle));
    let found = split(|part| part.configuration.active);
    let expected = each(active);
    report.bar("active by process", &found, &expected, found == expected);

    let counts = &result.connections;
    let all = idle + active;
    let opened = counts.opened;
    report.bar("established", opened, &all.to_string(), opened == all);
    report.bar("lost", counts.lost, "none", counts.lost == 0);
    let alive = result.probe.alive;
    report.bar("alive by probe", alive, &idle.to_string(), alive == idle);
    let sums: [(&str, Figure); 4] = [
        ("established", |result| result.connections.opened),
        ("sent", |result| result.echo.sent),
        ("received", |result| result.echo.received),
        ("alive", |result| result.probe.alive),
    ];
    for (name, figure) in sums {
        let sum: u64 = parts.iter().map(|part| figure(&part.result)).sum();
        let found = figure(&result);
        let name = format!("sum of the parts: {name}");
        report.bar(&name, found, &sum.to_string(), found == sum);
    }
    let recorded = result.echo.response_time_us.count;
    // The response times of messages outstanding at the end of the measured part are recorded, too.
    let messages = result.echo.received + result.echo.outstanding;
    let bar = messages.to_string();
    report.bar("response times", recorded, &bar, recorded == messages);
    let unanswered = result.echo.unanswered;
    report.bar("unanswered messages", unanswered, "none", unanswered == 0);
    report.figure(
        "established per second",
        format!("{:.0}", result.connect.per_second),
    );
    report.figure(
        "p99 of the response time in us",
        result.echo.response_time_us.p99,
    );
    report.figure(
        "CPU time of the load",
        format!("{:.0} %", result.generator.cpu_percent),
    );
    let retransmitted = result.connect.retransmitted;
    report.time_bar("SYN retransmits", retransmitted, "none", retransmitted == 0);
}
