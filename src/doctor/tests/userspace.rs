//! Reports about clients in user space.

use super::{Limit, large};
use crate::doctor::{Facts, Report, Role, Userspace, json, text};
use serde_json::Value;

fn userspace(prefix: &str) -> Userspace {
    Userspace {
        prefix: prefix.parse().unwrap(),
        is_private: false,
        queue_length: Ok(65_536),
    }
}

fn report(facts: Facts, role: Role, requested: u64) -> Report {
    Report::in_userspace(facts, role, Some(requested), userspace("198.18.0.0/15"))
}

#[test]
fn load_side_is_limited_by_neither_fds_nor_kernel_memory() {
    let facts = Facts {
        descriptors_hard: Some(100),
        epoll_watches: Some(100),
        memory_available_bytes: Some(80_000_000),
        cgroup_memory: None,
        conntrack_max: None,
        ..large()
    };
    let at = |requested| report(facts.clone(), Role::Client, requested);
    assert_eq!(at(10_000_000).fits(), Some(true));
    assert_eq!(at(10_000_001).fits(), Some(false));
    let capacity = at(1).capacity.by_role;
    assert_eq!(capacity.client.limited_by, Some(Limit::Memory));
    // The server has a kernel socket for each; here its memory allows fewer than its file descriptors.
    assert_eq!(capacity.server.connections, Some(67));
    assert_eq!(capacity.both.connections, Some(67));
}

#[test]
fn memory_of_both_ends_is_that_of_the_server_and_8_bytes() {
    let facts = Facts {
        memory_available_bytes: Some(3_964_000),
        cgroup_memory: None,
        ..large()
    };
    let capacity = report(facts, Role::Both, 1).capacity.by_role;
    assert_eq!(capacity.both.connections, Some(1_000));
    assert_eq!(capacity.server.connections, Some(1_002));
}

#[test]
fn prefix_limits_the_connections_and_its_size_is_named() {
    let of = |prefix, requested| {
        let userspace = userspace(prefix);
        Report::in_userspace(large(), Role::Client, Some(requested), userspace)
    };
    assert_eq!(of("10.0.0.0/30", 64_512).fits(), Some(true));
    let report = of("10.0.0.0/30", 64_513);
    assert_eq!(report.fits(), Some(false));
    let shown = text(&report);
    assert!(
        shown.contains("ports of the prefix: 64,512, needed: 64,513"),
        "{shown}"
    );
    assert!(
        shown.contains("Needs a --prefix of 5 addresses."),
        "{shown}"
    );
    // As many addresses in fact, and one more than the network has without them.
    assert_eq!(of("10.0.0.0/29", 2 * 64_512).fits(), Some(true));
}

#[test]
fn missing_permission_makes_any_number_too_large() {
    let forbidden = Userspace {
        queue_length: Err("cannot use --userspace-tcp: not permitted; run with sudo".to_owned()),
        ..userspace("198.18.0.0/15")
    };
    let of = |role| Report::in_userspace(large(), role, Some(1), forbidden.clone());
    let report = of(Role::Client);
    assert_eq!(report.fits(), Some(false));
    let shown = text(&report);
    assert!(
        shown.contains("1 connection as client does not fit: no TUN interface can be"),
        "{shown}"
    );
    assert!(shown.contains("run with sudo."), "{shown}");
    let document: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    assert_eq!(document["fits"], false);
    assert_eq!(document["userspace_tcp"]["possible"], false);
    let error = document["userspace_tcp"]["error"].as_str().unwrap();
    assert!(error.contains("not permitted"), "{error}");
    // The server has no TUN interface.
    assert_eq!(of(Role::Server).fits(), Some(true));
}

#[test]
fn json_has_the_prefix_and_the_bytes_of_each_side() {
    let report = report(large(), Role::Client, 2_000_000);
    let document: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    let found = &document["userspace_tcp"];
    assert_eq!(found["prefix"], "198.18.0.0/15");
    assert_eq!(found["private"], false);
    assert_eq!(found["possible"], true);
    assert_eq!(found["error"], Value::Null);
    assert_eq!(found["queue_length"], 65_536);
    assert_eq!(found["source_addresses"], 131_069);
    assert_eq!(found["ports_per_address"], 64_512);
    assert_eq!(found["client_bytes_per_connection"], 8);
    assert_eq!(found["server_bytes_per_connection"], 3_956);
    assert_eq!(document["fits"], true);
    // Lines are broken at any space.
    let shown = text(&report).replace('\n', " ");
    assert!(
        shown.contains("takes 8 bytes here, and 3,956 on the machine"),
        "{shown}"
    );
}

#[test]
fn forwarding_is_named_for_a_server_on_another_machine() {
    let facts = || Facts {
        ip_forward: Some(0),
        ..large()
    };
    let shown = |prefix, is_private, role| {
        let userspace = Userspace {
            is_private,
            ..userspace(prefix)
        };
        text(&Report::in_userspace(facts(), role, None, userspace))
    };
    let command = "sysctl -w net.ipv4.ip_forward=1";
    assert!(shown("198.18.0.0/15", false, Role::Client).contains(command));
    for (prefix, is_private, role) in [
        ("198.18.0.0/15", true, Role::Client),
        ("198.18.0.0/15", false, Role::Both),
        ("fd00:7::/64", false, Role::Client),
    ] {
        assert!(!shown(prefix, is_private, role).contains(command));
    }
}

#[test]
fn report_fits_80_columns() {
    for role in Role::ALL {
        let shown = text(&report(large(), role, 5_000_000));
        let commands = |line: &&str| !line.starts_with("    ");
        let longest = shown.lines().filter(commands).map(str::len).max();
        assert!(longest <= Some(80), "{shown}");
    }
}
