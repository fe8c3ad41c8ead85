//! The pause of an upgrade: the longest round trip of a client that echoes all the time.

use crate::held::Load;
use crate::pinger::Pinger;
use crate::report::{Distribution, Report, ms};
use crate::server::Server;
use std::time::Duration;

/// A number of connections, and the longest pauses allowed.
struct Case {
    connections: u64,
    p50: Option<Duration>,
    p99: Duration,
}

const CASES: [Case; 2] = [
    Case {
        connections: 19_900,
        p50: Some(Duration::from_millis(60)),
        p99: Duration::from_millis(120),
    },
    Case {
        connections: 1000,
        p50: None,
        p99: Duration::from_millis(10),
    },
];

pub(crate) fn run(report: &mut Report) {
    let upgrades = if report.quick { 5 } else { 50 };
    let what = format!("{upgrades} upgrades in a row, most connections idle");
    report.part("pause", &what);
    for case in &CASES {
        measure(case, upgrades, report);
    }
}

fn measure(case: &Case, upgrades: usize, report: &mut Report) {
    let count = case.connections;
    let mut server = Server::start(&[]);
    let load = Load::start(server.address, count - 1, 0, &[]);
    let pinger = Pinger::start(server.address);
    let mut pauses = Vec::new();
    for _ in 0..upgrades {
        let (outcome, pause) = pinger.longest_during(|| server.upgrade());
        outcome.unwrap();
        pauses.push(pause);
    }
    let pauses = Distribution::new(pauses);
    let name = |what: &str| format!("{count} connections: {what}");
    if let Some(most) = case.p50 {
        let bar = format!("at most {}", ms(most));
        let met = pauses.p50() <= most;
        report.time_bar(&name("p50 of the pause"), ms(pauses.p50()), &bar, met);
    } else {
        report.figure(&name("p50 of the pause"), ms(pauses.p50()));
    }
    let bar = format!("at most {}", ms(case.p99));
    let met = pauses.p99() <= case.p99;
    report.time_bar(&name("p99 of the pause"), ms(pauses.p99()), &bar, met);
    let echoes = pinger.stop();
    let is_verified = echoes.is_ok();
    let found = echoes.map_or_else(|error| error.to_string(), |count| count.to_string());
    report.bar(&name("echoes"), found, "all verified", is_verified);
    load.finish(&name("load"), report);
}
