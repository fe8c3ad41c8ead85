//! Connections in user space over IPv6: from a prefix of unique local addresses (RFC 4193), to this host and to another one.

use crate::run::echoloop;
use crate::tools::lacking;
use crate::userspace_hosts::{
    Serve, assert_all_alive, assert_no_overflow, in_tun_network, ip, load_over_tun,
    with_routed_host,
};
use std::fs;
use std::path::Path;

/// The sources of the connections.
const SOURCES: &str = "fd00:7::/64";

/// The addresses of this host and of the other one.
const HERE: &str = "fd00:77::1";
const THERE: &str = "fd00:77::2";

fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists() || lacking("this machine has no IPv6")
}

/// Checks a load of 3,000 idle and 20 active connections.
#[track_caller]
fn assert_load(server: &Serve) {
    let counts = ["--idle", "3k", "--active", "20", "--rate", "1k"];
    let more = ["--prefix", SOURCES, "-d", "1s"];
    let output = load_over_tun(&server.address, &[&counts[..], &more].concat());
    let result = assert_all_alive(&output, 3000);
    assert_eq!(result.target, server.address);
    assert_eq!((result.echo.due, result.echo.unanswered), (1000, 0));
    assert_eq!(result.connect.retransmitted, 0, "{result:#?}");
}

#[test]
fn all_ipv6_connections_to_this_host_are_alive() {
    let name = "userspace_ipv6::all_ipv6_connections_to_this_host_are_alive";
    in_tun_network(name, || {
        if !has_ipv6() {
            return;
        }
        ip(&format!("address add {HERE}/128 dev lo nodad"));
        let listen = format!("[{HERE}]:0");
        let serve = echoloop(&["serve", "--backlog", "128", "-l", &listen]);
        assert_load(&Serve::run(serve));
        assert_no_overflow(&fs::read_to_string("/proc/self/net/netstat").unwrap());
    });
}

#[test]
fn all_ipv6_connections_to_another_host_are_alive() {
    let name = "userspace_ipv6::all_ipv6_connections_to_another_host_are_alive";
    with_routed_host(name, |other| {
        if !has_ipv6() {
            return;
        }
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        ip(&format!("address add {HERE}/64 dev here nodad"));
        for there in [
            format!("address add {THERE}/64 dev there nodad"),
            format!("route add {SOURCES} via {HERE}"),
        ] {
            let output = other.command("ip").args(there.split(' ')).output();
            let output = output.unwrap();
            assert!(output.status.success(), "ip {there}: {output:?}");
        }
        let listen = format!("[{THERE}]:0");
        assert_load(&Serve::start_at(other, &listen, &["--backlog", "128"]));
    });
}
