//! Reports about invented machines.

mod capacity;
mod parsing;
mod reading;
mod remedies;
mod showing;
mod userspace;

use super::{Address, Bound, Capacity, CgroupMemory, Facts, Limit, PortRange};

/// A machine on which a million connections fit in every role.
pub(super) fn large() -> Facts {
    Facts {
        descriptors_soft: Some(1_024),
        descriptors_hard: Some(2_000_000),
        may_raise_hard_limit: Some(true),
        is_root: Some(true),
        sysctl_is_read_only: Some(false),
        nr_open: Some(4_000_000),
        file_max: Some(9_223_372_036_854_775_807),
        files_open: Some(1_000),
        epoll_watches: Some(8_000_000),
        port_range: Some(PortRange {
            first: 1_024,
            last: 65_535,
        }),
        reserved_ports: Some(Vec::new()),
        addresses: Some(
            (0..20)
                .map(|index| address("eth0", &format!("192.0.2.{index}")))
                .collect(),
        ),
        somaxconn: Some(4_096),
        tcp_max_syn_backlog: Some(2_048),
        tcp_syncookies: Some(1),
        conntrack_max: Some(3_000_000),
        conntrack_count: Some(10),
        ip_forward: Some(1),
        ipv6_forwarding: Some(1),
        tcp_mem_pages: Some([3_000_000, 4_000_000, 6_000_000]),
        tcp_max_orphans: Some(131_072),
        tcp_max_tw_buckets: Some(131_072),
        memory_available_bytes: Some(64 << 30),
        cgroup_memory: Some(CgroupMemory {
            limit_bytes: 32 << 30,
            used_bytes: 1 << 30,
            file: "/sys/fs/cgroup/memory.max".into(),
        }),
    }
}

pub(super) fn address(interface: &str, address: &str) -> Address {
    Address {
        interface: interface.to_owned(),
        address: address.parse().unwrap(),
    }
}

pub(super) fn bound(facts: &Facts, limit: Limit) -> Bound {
    let bounds = Capacity::of(facts).bounds;
    let found = bounds.into_iter().find(|bound| bound.limit == limit);
    found.unwrap_or_else(|| panic!("{limit:?} is not among the bounds"))
}
