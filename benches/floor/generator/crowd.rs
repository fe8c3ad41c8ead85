//! Connections that only exist: to see what taking them costs, and what having them.

use super::open::{self, Close, open_proven};
use super::{Measured, Words};
use std::fs;
use std::io::stdin;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connects as fast as it can, and then sees each connection echo.
pub(super) fn accept(words: &Words) -> Measured {
    let watched = words.watched();
    let count = words.number("count", 1000);
    let target = words.target();
    watched.wait_until_at_rest();
    let before = watched.cpu_ns();
    let (retries, overflows) = network_trouble();
    let begin = Instant::now();
    let mut streams: Vec<TcpStream> = (0..count)
        .map(|number| open::open(target, number, Close::Reset))
        .collect();
    watched.wait_until_at_rest();
    let time = begin.elapsed();
    let server_cpu_ns = watched.cpu_ns() - before;
    let (retries_then, overflows_then) = network_trouble();
    for some in streams.chunks_mut(1000) {
        open::prove(some);
    }
    Measured {
        done: count as u64,
        time,
        server_cpu_ns,
        syn_retries: retries_then - retries,
        overflows: overflows_then - overflows,
    }
}

/// Opens up to each of the counts in turn, with a word when it is reached, and goes on when it is told to.
pub(super) fn hold(words: &Words) {
    let mut streams = Vec::new();
    for count in words.text("counts").split(',') {
        let more = count.parse::<usize>().unwrap() - streams.len();
        streams.extend(open_proven(words.target(), more));
        words.watched().wait_until_at_rest();
        Measured {
            done: streams.len() as u64,
            time: Duration::ZERO,
            ..Measured::default()
        }
        .print();
        stdin().read_line(&mut String::new()).unwrap();
    }
}

/// Retried SYNs and overflown backlogs since the machine started (`/proc/net/netstat`, `TcpExt`).
fn network_trouble() -> (u64, u64) {
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

/// Shows that the counters are read as they are meant.
pub(super) fn self_check() {
    let netstat = "TcpExt: A TCPSynRetrans B\nTcpExt: 1 22 3\nIpExt: A\nIpExt: 5\n";
    assert_eq!(counter(netstat, "TCPSynRetrans"), 22);
}
