//! The facts of this machine, read: the only part of this room that looks at the world.

use super::facts::{self, Address, CgroupMemory, Facts};
use crate::net::{descriptor_limits, interface_addresses};
use std::fs;
use std::path::Path;

/// Reads all that this process may read; the rest is `None`.
#[must_use]
pub fn read_facts() -> Facts {
    let limits = descriptor_limits().ok();
    let addresses = interface_addresses().ok().map(|addresses| {
        let address = |(interface, address)| Address { interface, address };
        addresses.into_iter().map(address).collect()
    });
    Facts {
        descriptors_soft: limits.map(|(soft, _)| soft),
        descriptors_hard: limits.map(|(_, hard)| hard),
        addresses,
        ..facts_below(Path::new("/"))
    }
}

/// The facts that stand in files, of the file system whose root is `root`.
pub(super) fn facts_below(root: &Path) -> Facts {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok();
    let sysctl = |name: &str| text(&format!("proc/sys/{name}"));
    let sysctl_number = |name: &str| sysctl(name).as_deref().and_then(facts::number);
    let status = text("proc/self/status");
    let status = status.as_deref();
    let mountinfo = text("proc/self/mountinfo");
    Facts {
        descriptors_soft: None,
        descriptors_hard: None,
        addresses: None,
        may_raise_hard_limit: status.and_then(facts::may_raise_hard_limit),
        is_root: status.and_then(facts::is_root),
        sysctl_is_read_only: mountinfo.as_deref().and_then(facts::sysctl_is_read_only),
        nr_open: sysctl_number("fs/nr_open"),
        file_max: sysctl_number("fs/file-max"),
        files_open: sysctl("fs/file-nr").as_deref().and_then(facts::files_open),
        epoll_watches: sysctl_number("fs/epoll/max_user_watches"),
        port_range: sysctl("net/ipv4/ip_local_port_range")
            .as_deref()
            .and_then(facts::port_range),
        reserved_ports: sysctl("net/ipv4/ip_local_reserved_ports")
            .as_deref()
            .and_then(facts::port_list),
        somaxconn: sysctl_number("net/core/somaxconn"),
        tcp_max_syn_backlog: sysctl_number("net/ipv4/tcp_max_syn_backlog"),
        tcp_syncookies: sysctl_number("net/ipv4/tcp_syncookies"),
        conntrack_max: sysctl_number("net/netfilter/nf_conntrack_max"),
        conntrack_count: sysctl_number("net/netfilter/nf_conntrack_count"),
        tcp_mem_pages: sysctl("net/ipv4/tcp_mem")
            .as_deref()
            .and_then(facts::three_numbers),
        tcp_max_orphans: sysctl_number("net/ipv4/tcp_max_orphans"),
        tcp_max_tw_buckets: sysctl_number("net/ipv4/tcp_max_tw_buckets"),
        memory_available_bytes: text("proc/meminfo")
            .as_deref()
            .and_then(facts::memory_available),
        cgroup_memory: mountinfo.and_then(|mountinfo| cgroup_memory(root, &mountinfo)),
    }
}

/// The tightest of the control groups around this process.
fn cgroup_memory(root: &Path, mountinfo: &str) -> Option<CgroupMemory> {
    let cgroup = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let (files, folders) = facts::memory_groups(&cgroup, mountinfo)?;
    let limits = folders.iter().filter_map(|folder| {
        let below_root = root.join(folder.strip_prefix("/").unwrap_or(folder));
        let text = |name: &str| fs::read_to_string(below_root.join(name)).ok();
        let stat = text("memory.stat").unwrap_or_default();
        facts::cgroup_memory(
            files,
            folder,
            &text(files.limit)?,
            &text(files.usage)?,
            &stat,
        )
    });
    limits.min_by_key(CgroupMemory::left)
}
