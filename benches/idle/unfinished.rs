//! Connections in the middle of a message: memory per connection, memory after they have disconnected, and how many
//! fit into `--max-buffered`.

use crate::clients::Clients;
use crate::daemon::Daemon;
use crate::report::{Report, mib};
use crate::{counts, slope};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes of user memory per connection that holds up to 64 bytes of a message: the connection itself (56 B)
/// and its buffer.
const MOST_BYTES: f64 = 56.0 + 192.0;

/// The most memory, in bytes, that clients may leave allocated.
const MOST_LEFT: i64 = 1024 * 1024;

/// Clients that connect and disconnect.
const LEAVING: usize = 10_000;

/// How soon the daemon must have returned the memory of closed connections.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that must fit into `--max-buffered 1MiB` with one byte of a line each.
const ONE_BYTE_CLIENTS: usize = 2_000;

/// Longer than memory must be scarce before the daemon evicts a connection.
const EVICTION_TIME: Duration = Duration::from_secs(3);

/// Without a prefix, a line is echoed unchanged.
const LINE: &[&str] = &["--protocol", "line", "--prefix", ""];
const FRAME: &[&str] = &["--protocol", "frame:4"];

/// An unfinished message.
struct Case {
    what: &'static str,
    flags: &'static [&'static str],
    bytes: &'static [u8],
}

const CASES: [Case; 3] = [
    Case {
        what: "line, 10 B",
        flags: LINE,
        bytes: &[b'x'; 10],
    },
    Case {
        what: "line, 64 B",
        flags: LINE,
        bytes: &[b'x'; 64],
    },
    Case {
        what: "frame:4, 10 B of 1 MiB",
        flags: FRAME,
        bytes: b"\x00\x10\x00\x00xxxxxxxxxx",
    },
];

pub(crate) fn run(report: &mut Report) {
    memory_per_connection(report);
    memory_after_disconnect(report);
    no_eviction(report);
}

fn memory_per_connection(report: &mut Report) {
    report.part("unfinished", "connections in the middle of a message");
    let (few, many) = counts(report.quick);
    for case in &CASES {
        let daemon = Daemon::start(case.flags, None);
        let mut clients = Clients::new(&daemon);
        let at_few = clients.open_until(few, case.bytes);
        let at_many = clients.open_until(many, case.bytes);
        let slope = slope(at_few, at_many, many - few);
        let name = format!("per connection: {}", case.what);
        let bar = format!("at most {MOST_BYTES} B");
        let met = slope <= MOST_BYTES;
        report.bar(&name, format!("{slope:.1} B"), &bar, met);
    }
}

fn memory_after_disconnect(report: &mut Report) {
    let what = format!("memory after {LEAVING} clients have reset in the middle of a message");
    report.part("disconnected", &what);
    for case in &CASES {
        let daemon = Daemon::start(case.flags, None);
        let mut clients = Clients::new(&daemon);
        // The first clients load the pages of the program that all clients need.
        clients.open_until(10, case.bytes);
        clients.reset_all();
        let start = daemon.memory().pss;
        let peak = clients.open_until(LEAVING, case.bytes).pss - start;
        clients.reset_all();
        let left = memory_returned(&daemon, start);
        let name = format!("while connected: {}", case.what);
        report.figure(&name, mib(peak));
        let name = format!("left: {}", case.what);
        let bar = format!("at most {}", mib(MOST_LEFT));
        report.bar(&name, mib(left), &bar, left <= MOST_LEFT);
    }
}

/// The growth of the daemon's PSS since `start`, once the bar is met or the time is up.
fn memory_returned(daemon: &Daemon, start: i64) -> i64 {
    let deadline = Instant::now() + RETURN_TIMEOUT;
    loop {
        let left = daemon.memory().pss - start;
        if left <= MOST_LEFT || Instant::now() >= deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn no_eviction(report: &mut Report) {
    let what = format!("{ONE_BYTE_CLIENTS} lines of one byte under --max-buffered 1MiB");
    report.part("limit", &what);
    let flags = [LINE, &["--max-buffered", "1MiB"]].concat();
    let daemon = Daemon::start(&flags, None);
    let mut clients = Clients::new(&daemon);
    clients.open_until(ONE_BYTE_CLIENTS, b"x");
    // An eviction must have time to happen, and no event is expected without one.
    thread::sleep(EVICTION_TIME);
    let failed = clients.count_failures(b"\n", b"x\n");
    report.bar("evicted or not echoed", failed, "none", failed == 0);
}
