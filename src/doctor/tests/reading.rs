//! Reads the facts from a directory that imitates a root file system.

use super::super::reading::facts_below;
use super::super::{CgroupMemory, Facts, PortRange, read_facts};
use std::fs;
use std::path::Path;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn each_fact_comes_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (name, text) in [
        ("fs/nr_open", "1\n"),
        ("fs/file-max", "2\n"),
        ("fs/file-nr", "3\t0\t2\n"),
        ("fs/epoll/max_user_watches", "4\n"),
        ("net/ipv4/ip_local_port_range", "5\t6\n"),
        ("net/ipv4/ip_local_reserved_ports", "5\n"),
        ("net/core/somaxconn", "7\n"),
        ("net/ipv4/tcp_max_syn_backlog", "8\n"),
        ("net/ipv4/tcp_syncookies", "2\n"),
        ("net/netfilter/nf_conntrack_max", "9\n"),
        ("net/netfilter/nf_conntrack_count", "10\n"),
        ("net/ipv4/tcp_mem", "11\t12\t13\n"),
        ("net/ipv4/tcp_max_orphans", "14\n"),
        ("net/ipv4/tcp_max_tw_buckets", "15\n"),
    ] {
        write(root, &format!("proc/sys/{name}"), text);
    }
    write(root, "proc/meminfo", "MemAvailable: 16 kB\n");
    write(root, "proc/self/status", "Uid:\t1\t1\t1\t1\nCapEff:\t0\n");
    write(root, "proc/self/cgroup", "0::/outer/inner\n");
    write(
        root,
        "proc/self/mountinfo",
        "1 2 0:3 / /cg rw - cgroup2 cgroup2 rw\n4 2 0:5 / /proc ro - proc proc rw\n",
    );
    write(root, "cg/outer/memory.max", "1000\n");
    write(root, "cg/outer/memory.current", "900\n");
    write(root, "cg/outer/memory.stat", "inactive_file 50\n");
    write(root, "cg/outer/inner/memory.max", "500\n");
    write(root, "cg/outer/inner/memory.current", "100\n");
    let expected = Facts {
        may_raise_hard_limit: Some(false),
        is_root: Some(false),
        sysctl_is_read_only: Some(true),
        nr_open: Some(1),
        file_max: Some(2),
        files_open: Some(3),
        epoll_watches: Some(4),
        port_range: Some(PortRange { first: 5, last: 6 }),
        reserved_ports: Some(vec![PortRange { first: 5, last: 5 }]),
        somaxconn: Some(7),
        tcp_max_syn_backlog: Some(8),
        tcp_syncookies: Some(2),
        conntrack_max: Some(9),
        conntrack_count: Some(10),
        tcp_mem_pages: Some([11, 12, 13]),
        tcp_max_orphans: Some(14),
        tcp_max_tw_buckets: Some(15),
        memory_available_bytes: Some(16 * 1_024),
        // The outer one leaves 150 bytes, the inner one 400.
        cgroup_memory: Some(CgroupMemory {
            limit_bytes: 1_000,
            used_bytes: 850,
            file: "/cg/outer/memory.max".into(),
        }),
        ..Facts::default()
    };
    assert_eq!(facts_below(root), expected);
}

#[test]
fn missing_files_give_no_facts() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(facts_below(directory.path()), Facts::default());
}

#[test]
fn this_machine_has_the_facts_of_every_linux() {
    let facts = read_facts();
    assert!(facts.descriptors_soft.unwrap() <= facts.descriptors_hard.unwrap());
    assert!(facts.nr_open.is_some() && facts.port_range.is_some() && facts.epoll_watches.is_some());
    assert!(facts.memory_available_bytes.unwrap() > 1 << 20);
    assert!(facts.is_root.is_some() && facts.addresses.is_some());
}
