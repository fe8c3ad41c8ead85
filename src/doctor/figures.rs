//! Formats numbers, and names limits.

use super::limit::Limit;
use crate::numbers::grouped;

/// Bytes in the largest unit that gives at least 1, truncated to a tenth: `23.1 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} bytes"),
        Some((name, shift)) => {
            let tenth = (bytes % (1 << shift) * 10) >> shift;
            format!("{}.{tenth} {name}", grouped(bytes >> shift))
        }
    }
}

/// A number for a narrow column: exact up to a billion.
pub(super) fn narrow(number: u64) -> String {
    match number {
        0..=999_999_999 => grouped(number),
        _ => "> 1 billion".to_owned(),
    }
}

/// The value of a limit in its unit; `format` is for a limit without one.
pub(super) fn value(limit: Limit, value: u64, format: fn(u64) -> String) -> String {
    match limit {
        Limit::Memory | Limit::CgroupMemory => bytes(value),
        _ => format(value),
    }
}

/// Its name in JSON.
pub(super) fn key(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "nr_open",
        Limit::Fds => "descriptors",
        Limit::FileMax => "file_max",
        Limit::EpollWatches => "epoll_watches",
        Limit::Conntrack => "conntrack",
        Limit::Ports => "ports",
        Limit::LoopbackPorts => "loopback_ports",
        Limit::PrefixPorts => "prefix_ports",
        Limit::Memory => "memory",
        Limit::CgroupMemory => "cgroup_memory",
    }
}

/// Its name in text: the resource and its setting, in at most 25 letters.
pub(super) fn label(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "open files (fs.nr_open)",
        Limit::Fds => "open files (ulimit -Hn)",
        Limit::FileMax => "all files (fs.file-max)",
        Limit::EpollWatches => "epoll (max_user_watches)",
        Limit::Conntrack => "firewall (nf_conntrack)",
        Limit::Ports => "ports to one target",
        Limit::LoopbackPorts => "ports over loopback",
        Limit::PrefixPorts => "ports of the prefix",
        Limit::Memory => "memory available",
        Limit::CgroupMemory => "memory of the cgroup",
    }
}

/// The kernel setting of the limit.
pub(super) fn setting(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "fs.nr_open",
        Limit::Fds => "RLIMIT_NOFILE",
        Limit::FileMax => "fs.file-max",
        Limit::EpollWatches => "fs.epoll.max_user_watches",
        Limit::Conntrack => "net.netfilter.nf_conntrack_max",
        Limit::Ports | Limit::LoopbackPorts => "net.ipv4.ip_local_port_range",
        Limit::PrefixPorts => "--prefix",
        Limit::Memory => "MemAvailable",
        Limit::CgroupMemory => "memory.max",
    }
}

/// What the limit bounds.
pub(super) fn meaning(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "file descriptors that the kernel allows any one process",
        Limit::Fds => "file descriptors of one process: one per connection",
        Limit::FileMax => "open files of all processes together",
        Limit::EpollWatches => "file descriptors that one user may register with epoll",
        Limit::Conntrack => "connections that the firewall tracks",
        Limit::Ports => "ports times addresses of this machine, to one remote port",
        Limit::LoopbackPorts => "ports times addresses of 127.0.0.0/8, to one local port",
        Limit::PrefixPorts => "64,512 ports times addresses of --prefix, to one port",
        Limit::Memory => "memory of the machine: about 4 kB per end of a connection",
        Limit::CgroupMemory => "memory of the cgroup: about 4 kB per end of a connection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_numbers_are_exact_below_a_billion() {
        assert_eq!(narrow(999_999_999), "999,999,999");
        assert_eq!(narrow(1_000_000_000), "> 1 billion");
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit() {
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes((1 << 30) - 1), "1,023.9 MiB");
        assert_eq!(bytes(24_769_781_760), "23.0 GiB");
        assert_eq!(bytes(u64::MAX), "16,777,215.9 TiB");
    }
}
