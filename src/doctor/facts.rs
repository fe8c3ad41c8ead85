//! The settings and limits of a machine, and parsers for the files of `/proc` and `/sys` that hold them.
//!
//! Pure: text in, numbers out. A fact that cannot be read is `None` and limits nothing.

use serde::Serialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// From this value on a cgroup has no limit: the kernel writes its largest number, 9223372036854771712 with 4 KiB
/// pages.
const UNLIMITED: u64 = 1 << 62;

/// The bit of `CapEff` that permits raising a hard limit (capabilities(7), `CAP_SYS_RESOURCE`).
const CAP_SYS_RESOURCE: u32 = 24;

/// The limits of this process and this machine, as far as they could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The soft limit of file descriptors of one process (getrlimit(2)). echoloop raises it to the hard limit.
    pub descriptors_soft: Option<u64>,
    /// The hard limit of file descriptors of one process (getrlimit(2)).
    pub descriptors_hard: Option<u64>,
    /// Whether this process may raise its own hard limit (capabilities(7), `CAP_SYS_RESOURCE`).
    pub may_raise_hard_limit: Option<bool>,
    /// Whether this process runs as root.
    pub is_root: Option<bool>,
    /// Whether `/proc/sys` is mounted read-only, as in most containers.
    pub sysctl_is_read_only: Option<bool>,
    /// The maximum of a hard limit of file descriptors (proc(5), `fs.nr_open`).
    pub nr_open: Option<u64>,
    /// The maximum of open files of all processes together (proc(5), `fs.file-max`).
    pub file_max: Option<u64>,
    /// Open files of all processes together (proc(5), `fs.file-nr`).
    pub files_open: Option<u64>,
    /// File descriptors that one user may register with epoll (epoll(7), `fs.epoll.max_user_watches`).
    pub epoll_watches: Option<u64>,
    /// The ephemeral ports (ip(7), `ip_local_port_range`).
    pub port_range: Option<PortRange>,
    /// The ephemeral ports that the kernel does not assign (ip(7), `ip_local_reserved_ports`).
    pub reserved_ports: Option<Vec<PortRange>>,
    /// The addresses of this machine, including loopback.
    pub addresses: Option<Vec<Address>>,
    /// The maximum backlog of a listener (listen(2), `net.core.somaxconn`).
    pub somaxconn: Option<u64>,
    /// The maximum of half-open connections without SYN cookies (tcp(7), `tcp_max_syn_backlog`).
    pub tcp_max_syn_backlog: Option<u64>,
    /// SYN cookies: 0 never, 1 when needed, 2 always (tcp(7), `tcp_syncookies`).
    pub tcp_syncookies: Option<u64>,
    /// Connections that the firewall can track; `None` also without connection tracking.
    pub conntrack_max: Option<u64>,
    /// Connections that the firewall tracks now.
    pub conntrack_count: Option<u64>,
    /// Whether this machine forwards IPv4 packets of others (ip(7), `ip_forward`).
    pub ip_forward: Option<u64>,
    /// Whether this machine forwards IPv6 packets of others (`net.ipv6.conf.all.forwarding`).
    pub ipv6_forwarding: Option<u64>,
    /// Pages for data in all TCP sockets: low, pressure, high (tcp(7), `tcp_mem`).
    pub tcp_mem_pages: Option<[u64; 3]>,
    /// The maximum of closed sockets with unsent data (tcp(7), `tcp_max_orphans`).
    pub tcp_max_orphans: Option<u64>,
    /// The maximum of sockets in `TIME_WAIT` (tcp(7), `tcp_max_tw_buckets`).
    pub tcp_max_tw_buckets: Option<u64>,
    /// Bytes of memory available without swapping (proc(5), `MemAvailable`).
    pub memory_available_bytes: Option<u64>,
    /// The cgroup with the least memory left, of this process's cgroup and its ancestors; `None`: none has a limit.
    pub cgroup_memory: Option<CgroupMemory>,
}

/// The ports from `first` to `last`, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// The number of ports without those that are `reserved`, which may overlap.
    #[must_use]
    pub fn count_without(self, reserved: &[PortRange]) -> u64 {
        let contains = |range: &PortRange, port| (range.first..=range.last).contains(&port);
        let is_free = |port: &u16| !reserved.iter().any(|range| contains(range, *port));
        (self.first..=self.last).filter(is_free).count() as u64
    }
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The interface.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

/// The memory limit of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CgroupMemory {
    /// Bytes allowed.
    pub limit_bytes: u64,
    /// Bytes in use, without the page cache that the kernel can drop.
    pub used_bytes: u64,
    /// The file that holds the limit.
    pub file: PathBuf,
}

impl CgroupMemory {
    /// Bytes available.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}

/// One number, as the only content of its file.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Open files by `fs.file-nr`: allocated, allocated but unused, the maximum.
pub(super) fn files_open(text: &str) -> Option<u64> {
    let [allocated, unused, _] = three_numbers(text)?;
    allocated.checked_sub(unused)
}

/// Three numbers on one line.
pub(super) fn three_numbers(text: &str) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(number).collect();
    numbers?.try_into().ok()
}

/// Two ports on one line, the lower first.
pub(super) fn port_range(text: &str) -> Option<PortRange> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    ports(first, last)
}

/// Ports and port ranges, such as `8080,9148-9160`; may be empty.
pub(super) fn port_list(text: &str) -> Option<Vec<PortRange>> {
    let parts = text.trim().split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            ports(first, last)
        })
        .collect()
}

fn ports(first: &str, last: &str) -> Option<PortRange> {
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(PortRange { first, last })
}

/// Bytes available by `/proc/meminfo`.
pub(super) fn memory_available(meminfo: &str) -> Option<u64> {
    let value = field(meminfo, "MemAvailable:")?;
    number(value.strip_suffix("kB")?)?.checked_mul(1024)
}

/// Whether the process of this `/proc/PID/status` runs as root: the second number is the effective user ID.
pub(super) fn is_root(status: &str) -> Option<bool> {
    let user = field(status, "Uid:")?.split_whitespace().nth(1)?;
    Some(number(user)? == 0)
}

/// Whether the process of this `/proc/PID/status` may raise its hard limits.
pub(super) fn may_raise_hard_limit(status: &str) -> Option<bool> {
    let capabilities = u64::from_str_radix(field(status, "CapEff:")?, 16).ok()?;
    Some(capabilities >> CAP_SYS_RESOURCE & 1 == 1)
}

/// The rest of the line that starts with `name`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
    values.next().map(str::trim)
}

/// The fields needed here of a line of `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount<'a> {
    /// The directory of the mounted file system that appears at `point`.
    root: &'a Path,
    point: &'a Path,
    options: &'a str,
    kind: &'a str,
    kind_options: &'a str,
}

fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut file_system = file_system.split(' ');
        Some(Mount {
            root: Path::new(mount.next()?),
            point: Path::new(mount.next()?),
            options: mount.next()?,
            kind: file_system.next()?,
            kind_options: file_system.nth(1)?,
        })
    })
}

/// Whether `/proc/sys`, or else `/proc`, is mounted read-only.
pub(super) fn sysctl_is_read_only(mountinfo: &str) -> Option<bool> {
    let at = |point: &'static str| mounts(mountinfo).filter(move |m| m.point == Path::new(point));
    // The last mount at a point hides those before it.
    let mount = at("/proc/sys").last().or_else(|| at("/proc").last())?;
    Some(mount.options.split(',').any(|option| option == "ro"))
}

/// The file names of a cgroup, which differ between the two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CgroupFiles {
    pub(super) limit: &'static str,
    pub(super) usage: &'static str,
    /// In `memory.stat`: bytes of page cache that the kernel can drop.
    droppable: &'static str,
}

/// Version 1 (cgroups(7)).
const VERSION_1: CgroupFiles = CgroupFiles {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    droppable: "total_inactive_file ",
};

/// Version 2 (cgroups(7)).
const VERSION_2: CgroupFiles = CgroupFiles {
    limit: "memory.max",
    usage: "memory.current",
    droppable: "inactive_file ",
};

/// The directories of the cgroups that limit the memory of a process, innermost first, and their file names.
///
/// `cgroup` is the text of `/proc/PID/cgroup`. The memory controller belongs to either version 1 or version 2.
pub(super) fn memory_groups(cgroup: &str, mountinfo: &str) -> Option<(CgroupFiles, Vec<PathBuf>)> {
    let path = |fits: fn(&str) -> bool| {
        cgroup.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            fits(controllers).then(|| Path::new(path))
        })
    };
    let names_memory = |list: &str| list.split(',').any(|name| name == "memory");
    let first = path(names_memory).and_then(|path| {
        let mount = mounts(mountinfo)
            .find(|mount| mount.kind == "cgroup" && names_memory(mount.kind_options))?;
        Some((VERSION_1, directories(&mount, path)))
    });
    first.or_else(|| {
        let mount = mounts(mountinfo).find(|mount| mount.kind == "cgroup2")?;
        Some((VERSION_2, directories(&mount, path(str::is_empty)?)))
    })
}

/// The directories from that of `path` up to the mount point. A container may see only a part of the tree.
fn directories(mount: &Mount<'_>, path: &Path) -> Vec<PathBuf> {
    let below = path.strip_prefix(mount.root).unwrap_or(Path::new(""));
    let escapes = below.components().any(|part| part.as_os_str() == "..");
    let below = if escapes { Path::new("") } else { below };
    below
        .ancestors()
        .map(|directory| mount.point.join(directory))
        .collect()
}

/// The memory limit of one cgroup, if it has one.
pub(super) fn cgroup_memory(
    files: CgroupFiles,
    directory: &Path,
    limit: &str,
    usage: &str,
    stat: &str,
) -> Option<CgroupMemory> {
    // `max` is no number, so it is no limit.
    let limit_bytes = number(limit).filter(|limit| *limit < UNLIMITED)?;
    let droppable = field(stat, files.droppable).and_then(number).unwrap_or(0);
    Some(CgroupMemory {
        limit_bytes,
        used_bytes: number(usage)?.saturating_sub(droppable),
        file: directory.join(files.limit),
    })
}
