//! Numbers as people read them, and the names of limits.

use crate::net::Limit;
use crate::numbers::grouped;

/// Bytes in the largest unit of which there is one at least, cut to a tenth: `23.1 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((name, unit)) => {
            let tenth = bytes % unit * 10 / unit;
            format!("{}.{tenth} {name}", grouped(bytes / unit))
        }
    }
}

/// A number for a narrow column: past a billion only that it is so large.
pub(super) fn narrow(number: u64) -> String {
    match number {
        0..=999_999_999 => grouped(number),
        _ => "> 1 billion".to_owned(),
    }
}

/// The value of a limit in its own unit.
pub(super) fn value(limit: Limit, value: u64) -> String {
    match limit {
        Limit::Memory | Limit::CgroupMemory => bytes(value),
        _ => grouped(value),
    }
}

/// As [`value`], for a narrow column.
pub(super) fn narrow_value(limit: Limit, number: u64) -> String {
    match limit {
        Limit::Memory | Limit::CgroupMemory => bytes(number),
        _ => narrow(number),
    }
}

/// Its name in JSON.
pub(super) fn key(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "nr_open",
        Limit::Descriptors => "descriptors",
        Limit::FileMax => "file_max",
        Limit::EpollWatches => "epoll_watches",
        Limit::Conntrack => "conntrack",
        Limit::Ports => "ports",
        Limit::LoopbackPorts => "loopback_ports",
        Limit::Memory => "memory",
        Limit::CgroupMemory => "cgroup_memory",
    }
}

/// Its name in text: what runs out, and the setting that says so. At most 25 letters.
pub(super) fn label(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "descriptors (fs.nr_open)",
        Limit::Descriptors => "descriptors (ulimit -Hn)",
        Limit::FileMax => "all files (fs.file-max)",
        Limit::EpollWatches => "epoll (max_user_watches)",
        Limit::Conntrack => "firewall (nf_conntrack)",
        Limit::Ports => "ports to one target",
        Limit::LoopbackPorts => "ports over loopback",
        Limit::Memory => "memory available",
        Limit::CgroupMemory => "memory of the cgroup",
    }
}

/// The setting that holds it.
pub(super) fn setting(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "fs.nr_open",
        Limit::Descriptors => "RLIMIT_NOFILE",
        Limit::FileMax => "fs.file-max",
        Limit::EpollWatches => "fs.epoll.max_user_watches",
        Limit::Conntrack => "net.netfilter.nf_conntrack_max",
        Limit::Ports | Limit::LoopbackPorts => "net.ipv4.ip_local_port_range",
        Limit::Memory => "MemAvailable",
        Limit::CgroupMemory => "memory.max",
    }
}

/// What it limits.
pub(super) fn meaning(limit: Limit) -> &'static str {
    match limit {
        Limit::NrOpen => "the most descriptors that the kernel grants to any one process",
        Limit::Descriptors => "descriptors of one process: each connection is one",
        Limit::FileMax => "open files of all processes together",
        Limit::EpollWatches => "descriptors that one user may wait for with epoll",
        Limit::Conntrack => "connections that the firewall keeps in mind",
        Limit::Ports => "ports times addresses of this machine, to one port of another",
        Limit::LoopbackPorts => "ports times the addresses of 127.0.0.0/8, to one port here",
        Limit::Memory => "memory of the machine: about 4 kB for each end of a connection",
        Limit::CgroupMemory => {
            "memory of the control group: about 4 kB for each end of a connection"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_column_has_room_for_less_than_a_billion() {
        assert_eq!(narrow(999_999_999), "999,999,999");
        assert_eq!(narrow(1_000_000_000), "> 1 billion");
    }

    #[test]
    fn bytes_as_people_read_them() {
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes((1 << 30) - 1), "1,023.9 MiB");
        assert_eq!(bytes(24_769_781_760), "23.0 GiB");
        assert_eq!(bytes(u64::MAX), "16,777,215.9 TiB");
    }
}
