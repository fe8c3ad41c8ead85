//! Upgrades and drains while headers are incomplete.

use std::io::{Read, Write};

use nix::sys::signal::Signal;

use super::{FLAGS, connect_as, line, serve};
use crate::client::{assert_echo, assert_reads, assert_reset, connect, read_to_fin};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::TcpTable;
use crate::upgrade::Upgradable;

#[track_caller]
fn upgrade(server: &Upgradable) {
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}

#[test]
fn incomplete_headers_and_sources_are_passed_on() {
    let server = Upgradable::start(&[&FLAGS[..], &["--max-per-source", "1"]].concat());
    let daemon: &Daemon = &server.daemon;
    let mut open = connect_as(daemon, "192.0.2.1:1001");
    let mut partial = Vec::new();
    for (host, cut) in (2..).zip([0, 1, 10, 44]) {
        let header = line(&format!("192.0.2.{host}:1001"));
        let mut stream = connect(daemon.address());
        stream.write_all(&header[..cut]).unwrap();
        partial.push((stream, header[cut..].to_vec()));
    }
    eventually(PATIENCE, "the server has read the parts", || {
        let table = TcpTable::read();
        partial.iter().all(|(stream, _)| {
            let local = stream.local_addr().unwrap();
            table.socket(daemon.address(), local).unread == 0
        })
    });
    upgrade(&server);
    // The source of the open connection is still counted.
    let mut refused = connect(daemon.address());
    refused.write_all(&line("192.0.2.1:1003")).unwrap();
    assert_reset(refused);
    assert_echo(&mut open, b"still served");
    for (stream, rest) in &mut partial {
        stream.write_all(rest).unwrap();
        assert_echo(stream, b"served");
    }
}

#[test]
fn drain_closes_connections_with_incomplete_headers() {
    let mut daemon = serve(&[]);
    let mut silent = connect(daemon.address());
    let mut partial = connect(daemon.address());
    partial.write_all(b"PROXY TCP4 ").unwrap();
    let mut open = connect_as(&daemon, "192.0.2.1:1001");
    daemon.signal(Signal::SIGTERM);
    for stream in [&mut silent, &mut partial, &mut open] {
        assert_eq!(read_to_fin(stream), b"");
    }
    drop((silent, partial, open));
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

/// The header and the data arrive before the drain, so they are answered.
#[test]
fn drain_answers_what_has_arrived_after_a_header() {
    let mut daemon = serve(&[]);
    let mut streams: Vec<_> = (0..20).map(|_| connect(daemon.address())).collect();
    daemon.pause();
    for stream in &mut streams {
        let input = [&line("192.0.2.1:1001")[..], b"hello"].concat();
        stream.write_all(&input).unwrap();
    }
    daemon.signal(Signal::SIGTERM);
    daemon.resume();
    for stream in &mut streams {
        assert_reads(stream, b"hello");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "FIN");
    }
    drop(streams);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}
