//! What identifies the origin of a result: the host, and the part of a load.

use super::Share;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Identifies a host, since several hosts may have one name, and containers of one machine have counters of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostId {
    /// The running kernel (`/proc/sys/kernel/random/boot_id`, random(4)).
    pub boot_id: String,
    /// The inode of the network namespace (`network_namespaces(7)`), which has the counters of TCP.
    pub network_namespace: u64,
    /// The inode of the PID namespace (`pid_namespaces(7)`), in which a process id identifies a process.
    pub pid_namespace: u64,
}

impl HostId {
    /// The identity of this process's host; none if /proc does not provide it.
    #[must_use]
    pub fn of_this_process() -> Option<HostId> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let inode = |name| {
            let path = format!("/proc/self/ns/{name}");
            fs::metadata(path).map(|file| file.ino()).ok()
        };
        Some(HostId {
            boot_id: boot_id.trim().to_owned(),
            network_namespace: inode("net")?,
            pid_namespace: inode("pid")?,
        })
    }
}

/// Which part of a load a result is: the flag `--part`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartNumber {
    /// The number of the part, from 1.
    pub number: u32,
    /// The number of parts.
    pub of: u32,
}

impl From<Share> for PartNumber {
    fn from(share: Share) -> PartNumber {
        PartNumber {
            number: share.index() + 1,
            of: share.count(),
        }
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part {} of {}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_of_this_host_is_complete() {
        let id = HostId::of_this_process().unwrap();
        assert_eq!(id.boot_id.len(), 36, "{id:?}");
        assert!(id.network_namespace > 0 && id.pid_namespace > 0, "{id:?}");
        assert_eq!(HostId::of_this_process(), Some(id));
    }

    #[test]
    fn part_is_numbered_from_1() {
        let part = PartNumber::from(Share::new(0, 4).unwrap());
        assert_eq!(part.to_string(), "part 1 of 4");
    }
}
