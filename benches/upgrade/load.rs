//! Many upgrades in a row under verified load.

use crate::cut::{Cut, Messages};
use crate::held::Load;
use crate::pinger::Pinger;
use crate::report::{Distribution, Report, mib, ms};
use crate::server::Server;
use crate::slow::SlowReaders;
use std::io;

/// Active connections on schedule.
const ACTIVE: u64 = 50;

/// Clients with unread echoes.
const SLOW: u64 = 100;

/// Clients that connect, echo once and disconnect, again and again.
const CHURNING: u64 = 8;

pub(crate) fn run(report: &mut Report) {
    let (upgrades, connections) = if report.quick {
        (20, 2000)
    } else {
        (1000, 19_900)
    };
    let what = format!(
        "{upgrades} upgrades in a row, {connections} connections, of which {ACTIVE} are active, {SLOW} slow readers"
    );
    report.part("load", &what);
    let mut server = Server::start(&[]);
    let mut lines = Server::start(&["-p", "line"]);
    let mut frames = Server::start(&["-p", "frame:4"]);
    let idle = connections - ACTIVE - SLOW - CHURNING - 1;
    let load = Load::start(server.address, idle, ACTIVE, &["--rate", "2000"]);
    let churn = ["--rate", "200", "--churn", "fin"];
    let churn = Load::start(server.address, 0, CHURNING, &churn);
    let slow = SlowReaders::start(server.address, SLOW);
    let line_clients = Cut::start(lines.address, Messages::Lines);
    let frame_clients = Cut::start(frames.address, Messages::Frames);
    let pinger = Pinger::start(server.address);

    let (mut done, mut pauses) = (0, Vec::new());
    for _ in 0..upgrades {
        let (outcome, pause) = pinger.longest_during(|| server.upgrade());
        pauses.push(pause);
        let outcome = outcome.and_then(|()| lines.upgrade());
        match outcome.and_then(|()| frames.upgrade()) {
            Ok(()) => done += 1,
            Err(reason) => println!("  !! {reason}"),
        }
    }
    let bar = upgrades.to_string();
    report.bar(
        "upgrades of all three daemons",
        done,
        &bar,
        done == upgrades,
    );
    let pauses = Distribution::new(pauses);
    report.figure("p50 of the pause", ms(pauses.p50()));
    report.figure("p99 of the pause", ms(pauses.p99()));

    let result = load.finish("load", report);
    report.figure("load: echoes", result.echo.received);
    let result = churn.finish("new", report);
    let echoed = result.echo.received;
    report.bar(
        "new: connections, one echo each",
        echoed,
        "some",
        echoed > 0,
    );
    report_slow_readers(slow, report);
    report_verified("line clients: messages", line_clients.stop(), report);
    report_verified("frame clients: messages", frame_clients.stop(), report);
    report_verified("closed loop: echoes", pinger.stop(), report);
    for (name, server) in [("raw", server), ("line", lines), ("frame:4", frames)] {
        let totals = server.stop();
        let name = format!("{name}: refused");
        report.bar(&name, refused(&totals), "0", refused(&totals) == "0");
    }
}

fn report_slow_readers(slow: SlowReaders, report: &mut Report) {
    let outcome = slow.stop();
    let met = outcome.ends.errors() == 0 && outcome.unfinished == 0;
    let ends = outcome.ends.summary();
    report.bar("slow readers", ends, "all as expected", met);
    let bytes = |count| mib(i64::try_from(count).unwrap());
    report.figure("slow readers: verified", bytes(outcome.slowly));
    let unread = outcome.at_the_end;
    report.bar(
        "slow readers: pending at the end",
        bytes(unread),
        "some",
        unread > 0,
    );
}

/// A count of verified replies, or the failure of a client.
pub(crate) fn report_verified(name: &str, verified: io::Result<u64>, report: &mut Report) {
    let met = verified.as_ref().is_ok_and(|count| *count > 0);
    let found = verified.map_or_else(|error| error.to_string(), |count| count.to_string());
    report.bar(name, found, "all verified", met);
}

/// The number of refused connections in the totals of a daemon.
fn refused(totals: &str) -> &str {
    let before = totals.split(" refused").next().unwrap();
    before.rsplit(' ').next().unwrap()
}
