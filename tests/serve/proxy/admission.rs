//! Limits and rules by the address in the header; that of the proxy counts for none.

use std::io::Write;

use nix::sys::signal::Signal;

use super::{LOCAL, begin_as, connect_as, serve};
use crate::client::{assert_echo, assert_reset, connect};
use crate::harness::{PATIENCE, eventually};

#[test]
fn clients_are_limited_by_the_address_in_the_header() {
    let mut daemon = serve(&["--max-per-source", "2"]);
    let mut first = connect_as(&daemon, "192.0.2.1:1001");
    let second = connect_as(&daemon, "192.0.2.1:1002");
    assert_reset(begin_as(&daemon, "192.0.2.1:1003"));
    let mut others: Vec<_> = (2..10)
        .map(|host| connect_as(&daemon, &format!("192.0.2.{host}:1001")))
        .collect();
    // Addresses of one /64 are one source.
    let mut ipv6 = connect_as(&daemon, "[2001:db8::1]:1001");
    let neighbour = connect_as(&daemon, "[2001:db8::2]:1001");
    assert_reset(begin_as(&daemon, "[2001:db8::3]:1001"));
    assert_echo(&mut ipv6, b"still served");
    let closed = daemon.close_summary(3);
    assert!(closed.starts_with("refused, "), "{closed}");
    daemon.wait_for_line("the refusal", |line| {
        line.contains("refused 192.0.2.1:1003: connection limit of its source reached")
    });
    // A closed connection is not counted any more.
    drop(second);
    eventually(PATIENCE, "a place for the client", || {
        let mut stream = begin_as(&daemon, "192.0.2.1:1004");
        std::io::Read::read(&mut stream, &mut [0]).is_ok_and(|count| count == 1)
    });
    for stream in others.iter_mut().chain([&mut first]) {
        assert_echo(stream, b"still served");
    }
    daemon.signal(Signal::SIGTERM);
    drop((first, others, ipv6, neighbour));
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

#[test]
fn own_connections_of_the_proxy_are_not_limited_per_source() {
    let daemon = serve(&["--max-per-source", "1", "--deny", "127.0.0.0/8"]);
    let mut streams: Vec<_> = (0..5).map(|_| connect(daemon.address())).collect();
    for stream in &mut streams {
        stream.write_all(LOCAL).unwrap();
        assert_echo(stream, b"served");
    }
}

#[test]
fn connections_without_header_so_far_are_not_limited_per_source() {
    let daemon = serve(&["--max-per-source", "1"]);
    let _silent: Vec<_> = (0..5).map(|_| connect(daemon.address())).collect();
    let mut client = connect_as(&daemon, "192.0.2.1:1001");
    assert_echo(&mut client, b"served");
}

#[test]
fn rules_apply_to_the_address_in_the_header() {
    let rules = ["--allow", "192.0.2.0/24", "--deny", "192.0.2.128/25"];
    let mut daemon = serve(&rules);
    let mut allowed = connect_as(&daemon, "192.0.2.1:1001");
    for client in [
        "192.0.2.129:1001",
        "198.51.100.1:1001",
        "[2001:db8::1]:1001",
    ] {
        assert_reset(begin_as(&daemon, client));
        let expected = format!("refused {client}: its address is not admitted");
        daemon.wait_for_line(&expected, |line| line.contains(&expected));
    }
    // An IPv4 client that the proxy reports as an IPv6 client.
    let mut mapped = connect_as(&daemon, "[::ffff:192.0.2.2]:1001");
    daemon.wait_for_line("the IPv4 client", |line| {
        line.contains(" is 192.0.2.2:1001 behind")
    });
    for stream in [&mut allowed, &mut mapped] {
        assert_echo(stream, b"served");
    }
    drop((allowed, mapped));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    daemon.wait_for_line("the counts", |line| {
        line.contains("5 connections served, 3 refused")
    });
}
