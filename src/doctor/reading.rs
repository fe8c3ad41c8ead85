//! Reads the facts of this machine; the only file of this module with I/O.

use super::facts::{self, Address, CgroupMemory, Facts};
use super::fd_limit::fd_limits;
use super::interfaces::interface_addresses;
use std::fs;
use std::path::Path;

/// Reads what this process may read; the rest is `None`.
#[must_use]
pub fn read_facts() -> Facts {
    let (soft, hard) = fd_limits();
    let addresses = interface_addresses().ok().map(|addresses| {
        let address = |(interface, address)| Address { interface, address };
        addresses.into_iter().map(address).collect()
    });
    Facts {
        descriptors_soft: Some(soft),
        descriptors_hard: Some(hard),
        addresses,
        ..facts_below(Path::new("/"))
    }
}

/// The facts that are in files, below `root`.
pub(super) fn facts_below(root: &Path) -> Facts {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok();
    let sysctl = |name: &str| text(&format!("proc/sys/{name}"));
    let sysctl_number = |name: &str| facts::number(&sysctl(name)?);
    let status = text("proc/self/status");
    let status = status.as_deref();
    let mountinfo = text("proc/self/mountinfo");
    let port_range = sysctl("net/ipv4/ip_local_port_range");
    let reserved_ports = sysctl("net/ipv4/ip_local_reserved_ports");
    Facts {
        may_raise_hard_limit: status.and_then(facts::may_raise_hard_limit),
        is_root: status.and_then(facts::is_root),
        sysctl_is_read_only: mountinfo.as_deref().and_then(facts::sysctl_is_read_only),
        nr_open: sysctl_number("fs/nr_open"),
        file_max: sysctl_number("fs/file-max"),
        files_open: sysctl("fs/file-nr").and_then(|text| facts::files_open(&text)),
        epoll_watches: sysctl_number("fs/epoll/max_user_watches"),
        port_range: port_range.and_then(|text| facts::port_range(&text)),
        reserved_ports: reserved_ports.and_then(|text| facts::port_list(&text)),
        somaxconn: sysctl_number("net/core/somaxconn"),
        tcp_max_syn_backlog: sysctl_number("net/ipv4/tcp_max_syn_backlog"),
        tcp_syncookies: sysctl_number("net/ipv4/tcp_syncookies"),
        conntrack_max: sysctl_number("net/netfilter/nf_conntrack_max"),
        conntrack_count: sysctl_number("net/netfilter/nf_conntrack_count"),
        ip_forward: sysctl_number("net/ipv4/ip_forward"),
        ipv6_forwarding: sysctl_number("net/ipv6/conf/all/forwarding"),
        tcp_mem_pages: sysctl("net/ipv4/tcp_mem").and_then(|text| facts::three_numbers(&text)),
        tcp_max_orphans: sysctl_number("net/ipv4/tcp_max_orphans"),
        tcp_max_tw_buckets: sysctl_number("net/ipv4/tcp_max_tw_buckets"),
        memory_available_bytes: text("proc/meminfo")
            .and_then(|text| facts::memory_available(&text)),
        cgroup_memory: mountinfo.and_then(|mountinfo| cgroup_memory(root, &mountinfo)),
        ..Facts::default()
    }
}

/// The cgroup with the least memory left, of those that contain this process.
fn cgroup_memory(root: &Path, mountinfo: &str) -> Option<CgroupMemory> {
    let cgroup = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let (files, directories) = facts::memory_groups(&cgroup, mountinfo)?;
    let limits = directories.iter().filter_map(|directory| {
        let below_root = root.join(directory.strip_prefix("/").unwrap_or(directory));
        let text = |name: &str| fs::read_to_string(below_root.join(name)).ok();
        let (limit, usage) = (text(files.limit)?, text(files.usage)?);
        let stat = text("memory.stat").unwrap_or_default();
        facts::cgroup_memory(files, directory, &limit, &usage, &stat)
    });
    limits.min_by_key(CgroupMemory::left)
}
