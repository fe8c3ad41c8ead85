//! What a machine says of its limits: the plain facts, and how the texts below `/proc` and `/sys` are read.
//!
//! Pure: texts in, numbers out. A fact that cannot be read is `None`, and nothing is concluded from it.

use serde::Serialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// From here on a limit of a control group is none: the kernel writes the largest number that it can hold,
/// 9223372036854771712 with pages of 4 KiB.
const UNLIMITED: u64 = 1 << 62;

/// The right to raise a hard limit (capabilities(7), `CAP_SYS_RESOURCE`), as a bit of `CapEff`.
const CAP_SYS_RESOURCE: u32 = 24;

/// The limits of this process and this machine, each as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The soft limit of descriptors of one process (getrlimit(2)). echoloop raises it to the hard one.
    pub descriptors_soft: Option<u64>,
    /// The hard limit of descriptors of one process (getrlimit(2)).
    pub descriptors_hard: Option<u64>,
    /// Whether this process may raise its own hard limit (capabilities(7), `CAP_SYS_RESOURCE`).
    pub may_raise_hard_limit: Option<bool>,
    /// Whether this process runs as root.
    pub is_root: Option<bool>,
    /// Whether `/proc/sys` is mounted so that nothing there can be changed, as in most containers.
    pub sysctl_is_read_only: Option<bool>,
    /// The most descriptors that a hard limit may say (proc(5), `fs.nr_open`).
    pub nr_open: Option<u64>,
    /// The most open files of all processes together (proc(5), `fs.file-max`).
    pub file_max: Option<u64>,
    /// Open files of all processes now (proc(5), `fs.file-nr`).
    pub files_open: Option<u64>,
    /// What one user may register with epoll (epoll(7), `fs.epoll.max_user_watches`).
    pub epoll_watches: Option<u64>,
    /// The ports that are picked from for connections, first and last (ip(7), `ip_local_port_range`).
    pub port_range: Option<PortRange>,
    /// The ports that are not picked all the same (ip(7), `ip_local_reserved_ports`).
    pub reserved_ports: Option<Vec<PortRange>>,
    /// The addresses of this machine, those of the loopback interface too.
    pub addresses: Option<Vec<Address>>,
    /// What caps the backlog of a listener (listen(2), `net.core.somaxconn`).
    pub somaxconn: Option<u64>,
    /// Connections half open at once, where there are no SYN cookies (tcp(7), `tcp_max_syn_backlog`).
    pub tcp_max_syn_backlog: Option<u64>,
    /// Whether there are SYN cookies: 0 no, 1 when needed, 2 always (tcp(7), `tcp_syncookies`).
    pub tcp_syncookies: Option<u64>,
    /// Connections that the firewall can keep in mind; `None` also where it keeps none in mind at all.
    pub conntrack_max: Option<u64>,
    /// Connections that the firewall keeps in mind now.
    pub conntrack_count: Option<u64>,
    /// Pages for data in all TCP sockets: below no worry, from here on thrifty, at most (tcp(7), `tcp_mem`).
    pub tcp_mem_pages: Option<[u64; 3]>,
    /// Closed sockets that the kernel sees to their end, at most (tcp(7), `tcp_max_orphans`).
    pub tcp_max_orphans: Option<u64>,
    /// Sockets in `TIME_WAIT`, at most (tcp(7), `tcp_max_tw_buckets`).
    pub tcp_max_tw_buckets: Option<u64>,
    /// Bytes of memory that can still be had without swapping (proc(5), `MemAvailable`).
    pub memory_available_bytes: Option<u64>,
    /// The control group, of this process's and those around it, that leaves the least memory; `None`: none is limited.
    pub cgroup_memory: Option<CgroupMemory>,
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// How many ports these are, without those that are `reserved` (which may overlap).
    #[must_use]
    pub fn count_without(self, reserved: &[PortRange]) -> u64 {
        let is_free = |port: &u16| {
            let mut holds = reserved
                .iter()
                .map(|range| (range.first..=range.last).contains(port));
            !holds.any(|held| held)
        };
        (self.first..=self.last).filter(is_free).map(|_| 1).sum()
    }
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The interface that has it.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

/// The limit of memory of a control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CgroupMemory {
    /// Bytes allowed.
    pub limit_bytes: u64,
    /// Bytes used now, without those of files that the kernel can drop at will.
    pub used_bytes: u64,
    /// The file that holds the limit.
    pub file: PathBuf,
}

impl CgroupMemory {
    /// Bytes that can still be had.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}

/// One number, alone in its file.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Open files, of `fs.file-nr`: allocated, allocated but unused, the maximum.
pub(super) fn files_open(text: &str) -> Option<u64> {
    let [allocated, unused, _] = three_numbers(text)?;
    allocated.checked_sub(unused)
}

/// Three numbers in a line.
pub(super) fn three_numbers(text: &str) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(number).collect();
    numbers?.try_into().ok()
}

/// Two ports in a line, the lower first.
pub(super) fn port_range(text: &str) -> Option<PortRange> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    ports(first, last)
}

/// Ports and ranges of ports, such as `8080,9148-9160`; often none.
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

/// Bytes available, of `/proc/meminfo`.
pub(super) fn memory_available(meminfo: &str) -> Option<u64> {
    let value = field(meminfo, "MemAvailable:")?;
    number(value.strip_suffix("kB")?)?.checked_mul(1024)
}

/// Whether the process of this `/proc/PID/status` runs as root: the second number is the effective user.
pub(super) fn is_root(status: &str) -> Option<bool> {
    let user = field(status, "Uid:")?.split_whitespace().nth(1)?;
    Some(number(user)? == 0)
}

/// Whether the process of this `/proc/PID/status` may raise its hard limits.
pub(super) fn may_raise_hard_limit(status: &str) -> Option<bool> {
    let capabilities = u64::from_str_radix(field(status, "CapEff:")?, 16).ok()?;
    Some(capabilities >> CAP_SYS_RESOURCE & 1 == 1)
}

/// What stands behind `name` on its line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
    values.next().map(str::trim)
}

/// A line of `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`), as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount<'a> {
    /// The folder of the mounted file system that is shown at `point`.
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
    let last_at = |point: &str| {
        mounts(mountinfo)
            .filter(|mount| mount.point == Path::new(point))
            .last()
    };
    let mount = last_at("/proc/sys").or_else(|| last_at("/proc"))?;
    Some(mount.options.split(',').any(|option| option == "ro"))
}

/// The names of the files of a control group, which differ between its two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CgroupFiles {
    pub(super) limit: &'static str,
    pub(super) usage: &'static str,
    /// In `memory.stat`: bytes of files that the kernel can drop.
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

/// The folders of the control groups that bound the memory of a process, the innermost first, and the names of their files.
///
/// `cgroup` is `/proc/PID/cgroup`. Where version 1 has the memory, version 2 has not.
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
        Some((VERSION_1, folders(&mount, path)))
    });
    first.or_else(|| {
        let mount = mounts(mountinfo).find(|mount| mount.kind == "cgroup2")?;
        Some((VERSION_2, folders(&mount, path(str::is_empty)?)))
    })
}

/// The folders from that of `path` up to the mount's own. A container may be shown only a part of the tree.
fn folders(mount: &Mount<'_>, path: &Path) -> Vec<PathBuf> {
    let below = path.strip_prefix(mount.root).unwrap_or(Path::new(""));
    let escapes = below.components().any(|part| part.as_os_str() == "..");
    let below = if escapes { Path::new("") } else { below };
    below
        .ancestors()
        .map(|folder| mount.point.join(folder))
        .collect()
}

/// The limit of one control group, if it has one.
pub(super) fn cgroup_memory(
    files: CgroupFiles,
    folder: &Path,
    limit: &str,
    usage: &str,
    stat: &str,
) -> Option<CgroupMemory> {
    // `max` is no number, and so no limit either.
    let limit_bytes = number(limit).filter(|limit| *limit < UNLIMITED)?;
    let droppable = field(stat, files.droppable).and_then(number).unwrap_or(0);
    Some(CgroupMemory {
        limit_bytes,
        used_bytes: number(usage)?.saturating_sub(droppable),
        file: folder.join(files.limit),
    })
}
