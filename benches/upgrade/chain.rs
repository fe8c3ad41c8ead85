//! What must not grow from upgrade to upgrade: file descriptors, processes, memory.

use crate::held::Load;
use crate::report::{Report, as_f64, mib};
use crate::server::Server;

/// The largest difference of open file descriptors.
const MOST_FDS: usize = 5;

/// The largest growth of memory, in bytes.
const MOST_GROWTH: i64 = 1024 * 1024;

/// The two counts of connections between which memory is compared.
const COUNTS: (u64, u64) = (1000, 10_000);

/// The most bytes of user memory per idle connection, as for a process that was not upgraded, rounded.
const MOST_BYTES: f64 = 56.0;

/// The least memory after each of three upgrades: the program's own differs by some pages.
fn least_memory(server: &mut Server) -> i64 {
    let after = (0..3).map(|_| {
        server.upgrade().unwrap();
        server.wait_until_at_rest();
        server.memory()
    });
    after.min().unwrap()
}

pub(crate) fn run(report: &mut Report) {
    let upgrades = if report.quick { 10 } else { 50 };
    let (few, many) = COUNTS;
    let what = format!("{upgrades} upgrades in a row, {few} idle connections");
    report.part("chain", &what);
    let mut server = Server::start(&[]);
    let inherited = server.inheritable_fds();
    let first = Load::start(server.address, few, 0, &[]);
    server.wait_until_at_rest();
    let fds = server.open_fds();
    let before = server.memory();
    server.upgrade().unwrap();
    server.wait_until_at_rest();
    let memory = server.memory();
    report.figure("memory before the first upgrade", mib(before));
    report.figure("memory after it", mib(memory));
    for _ in 1..upgrades {
        server.upgrade().unwrap();
    }
    server.wait_until_at_rest();

    let growth = server.memory() - memory;
    let bar = format!("at most {}", mib(MOST_GROWTH));
    let name = "growth of memory from the first upgrade on";
    report.bar(name, mib(growth), &bar, growth <= MOST_GROWTH);
    let now = server.open_fds();
    let bar = format!("{fds}, +-{MOST_FDS}");
    let met = now.abs_diff(fds) <= MOST_FDS;
    report.bar("open file descriptors", now, &bar, met);
    let inheritable = server.inheritable_fds();
    let bar = inherited.join(" ");
    let met = inheritable == inherited;
    report.bar("without CLOEXEC", inheritable.join(" "), &bar, met);
    let children = server.children();
    report.bar("child processes", children, "none", children == 0);

    let at_few = least_memory(&mut server);
    let rest = Load::start(server.address, many - few, 0, &[]);
    let at_many = least_memory(&mut server);
    let connections = i64::try_from(many - few).unwrap();
    let slope = as_f64(at_many - at_few) / as_f64(connections);
    let bar = format!("at most {MOST_BYTES:.0} B");
    let name = "memory per idle connection after an upgrade";
    let met = slope.round() <= MOST_BYTES;
    report.bar(name, format!("{slope:.1} B"), &bar, met);
    first.finish("first load", report);
    rest.finish("second load", report);
}
