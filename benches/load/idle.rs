//! Idle connections: how fast they are established, and the load tester's memory for each.

use crate::programs::{Running, Server, load};
use crate::report::{Report, as_f64, median};
use std::io::Read;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

/// Connections per second.
const LEAST_OPENED: f64 = 20_000.0;

/// Bytes of user memory per idle connection.
const MOST_BYTES: f64 = 100.0;

/// 19,000 at once, from one process to one process.
pub(crate) fn opening(report: &mut Report) {
    report.part("opening", "19,000 idle connections to one server");
    let rounds = if report.quick { 1 } else { 7 };
    let mut rates = Vec::new();
    let (mut retransmitted, mut alive) = (0, true);
    for _ in 0..rounds {
        let server = Server::start();
        let result = load(
            server.address,
            &["--idle", "19k", "--duration", "100ms", "--warmup", "0"],
        );
        rates.push(result.connect.per_second);
        retransmitted += result.connect.retransmitted;
        alive &= result.connections.opened == 19_000 && result.probe.alive == 19_000;
    }
    let rate = median(rates);
    report.time_bar(
        "established per second",
        format!("{rate:.0}"),
        "at least 20000",
        rate >= LEAST_OPENED,
    );
    report.time_bar("SYN retransmits", retransmitted, "none", retransmitted == 0);
    report.bar("all 19,000 established and alive", alive, "true", alive);
}

/// The slope of the load tester's memory between two counts of idle connections.
pub(crate) fn memory(report: &mut Report) {
    report.part(
        "memory",
        "user memory of the load tester per idle connection",
    );
    let server = Server::start();
    let (few, many) = (5000, 15_000);
    let less = held_memory(&server, few);
    let more = held_memory(&server, many);
    let each = as_f64(more - less) / as_f64(many - few);
    report.bar(
        "bytes per idle connection",
        format!("{each:.1}"),
        "at most 100",
        each <= MOST_BYTES,
    );
}

/// The memory of a load with this number of idle connections.
fn held_memory(server: &Server, count: i64) -> i64 {
    let count = count.to_string();
    let arguments = [
        "--idle",
        &count,
        "--duration",
        "2s",
        "--warmup",
        "0",
        "-o",
        "jsonl",
    ];
    memory_while_held(Running::start(server.address, &arguments))
}

/// The memory of a load with `-o jsonl` while its connections are held, none of which may be dead at its end.
pub(crate) fn memory_while_held(mut running: Running) -> i64 {
    let mut stdout = running.0.stdout.take().unwrap();
    // The line of the first second: all connections are established then.
    wait_for_lines(&mut stdout, 2);
    let memory = running.memory();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"dead\":0"), "{rest}");
    assert!(running.0.wait().unwrap().success());
    memory
}

fn wait_for_lines(stdout: &mut ChildStdout, lines: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut seen, mut byte) = (0, [0]);
    while seen < lines {
        assert!(
            Instant::now() < deadline,
            "no connections are held after a minute"
        );
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "the load has ended");
        seen += usize::from(byte[0] == b'\n');
    }
}
