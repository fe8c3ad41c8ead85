//! Idle connections: the cost of accepting them, and of holding them.

use super::open::{self, Close, open_proven};
use super::{Measured, Options};
use std::fs;
use std::io::stdin;
use std::net::TcpStream;
use std::time::Instant;

/// Connects as fast as possible, and then verifies an echo on each connection.
pub(super) fn accept(options: &Options) -> Measured {
    let watched = options.watched();
    let count = options.number("count", 1000);
    let target = options.target();
    watched.wait_until_at_rest();
    let before = watched.cpu_ns();
    let (retransmits, overflows) = accept_failures();
    let begin = Instant::now();
    let mut streams: Vec<TcpStream> = (0..count)
        .map(|number| open::open(target, number, Close::Reset))
        .collect();
    watched.wait_until_at_rest();
    let time = begin.elapsed();
    let server_cpu_ns = watched.cpu_ns() - before;
    let (retransmits_after, overflows_after) = accept_failures();
    for batch in streams.chunks_mut(1000) {
        open::prove(batch);
    }
    Measured {
        done: count as u64,
        time,
        server_cpu_ns,
        syn_retransmits: retransmits_after - retransmits,
        overflows: overflows_after - overflows,
    }
}

/// Opens connections up to each of the counts in turn; prints a line at each count, and waits for a line on stdin.
pub(super) fn hold(options: &Options) {
    let mut streams = Vec::new();
    for count in options.text("counts").split(',') {
        let more = count.parse::<usize>().unwrap() - streams.len();
        streams.extend(open_proven(options.target(), more));
        options.watched().wait_until_at_rest();
        Measured {
            done: streams.len() as u64,
            ..Measured::default()
        }
        .print();
        stdin().read_line(&mut String::new()).unwrap();
    }
}

/// SYN retransmits and backlog overflows since boot (`/proc/net/netstat`, `TcpExt`).
fn accept_failures() -> (u64, u64) {
    let text = fs::read_to_string("/proc/net/netstat").unwrap();
    (
        counter(&text, "TCPSynRetrans"),
        counter(&text, "ListenOverflows"),
    )
}

/// A counter of `TcpExt`: the first of two lines has the names, the second the values.
fn counter(netstat: &str, name: &str) -> u64 {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|other| other == name).unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

/// Checks the parsing of the counters.
pub(super) fn self_check() {
    let netstat = "TcpExt: A TCPSynRetrans B\nTcpExt: 1 22 3\nIpExt: A\nIpExt: 5\n";
    assert_eq!(counter(netstat, "TCPSynRetrans"), 22);
}
