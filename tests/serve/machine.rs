//! Kernel data: about the daemon's process, TCP sockets and the limits of the machine.
//!
//! Everything here only reads /proc, except for [`allow_fds`].

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::tools::skip;

fn process_file(pid: u32, name: &str) -> String {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The number on the line `name:` of /proc/PID/status.
pub(crate) fn status_number(pid: u32, name: &str) -> usize {
    let status = process_file(pid, "status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = line.unwrap_or_else(|| panic!("no {name} in the status of {pid}: {status}"));
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The fields of /proc/PID/stat from the third on: they follow the name, which may contain spaces.
fn stat_fields(pid: u32) -> Vec<String> {
    let stat = process_file(pid, "stat");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
    fields.split_whitespace().map(str::to_owned).collect()
}

/// Whether the process ignores a signal (`SigIgn` of proc(5)).
pub(crate) fn ignores(pid: u32, signal: Signal) -> bool {
    let status = process_file(pid, "status");
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .expect("the status has a line SigIgn");
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
    mask >> (signal as i32 - 1) & 1 == 1
}

/// The process state: `R` running, `S` sleeping, `T` stopped and so on (`proc_pid_stat(5)`).
pub(crate) fn state(pid: u32) -> char {
    stat_fields(pid)[0].chars().next().unwrap()
}

/// CPU time used so far, user and system; accurate to 10 ms.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let fields = stat_fields(pid);
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The unit is 1/USER_HZ; USER_HZ is 100 on every architecture that Rust supports.
    Duration::from_millis(ticks * 10)
}

/// Voluntary context switches so far: each wake-up is followed by one when the process sleeps again.
pub(crate) fn voluntary_switches(pid: u32) -> usize {
    status_number(pid, "voluntary_ctxt_switches")
}

/// Resident memory, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> usize {
    status_number(pid, "VmRSS") * 1024
}

/// Resident memory without pages of files, of which a new process has those that it has used, in bytes.
pub(crate) fn anonymous_bytes(pid: u32) -> usize {
    status_number(pid, "RssAnon") * 1024
}

/// Peak resident memory since the start of the process, in bytes.
pub(crate) fn peak_resident_bytes(pid: u32) -> usize {
    status_number(pid, "VmHWM") * 1024
}

pub(crate) fn open_fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a process may list the file descriptors of its child")
        .count()
}

/// Raises the soft limit of file descriptors of this process; if the hard limit is below `wanted`, reports that the
/// test is skipped and returns false.
pub(crate) fn allow_fds(wanted: u64) -> bool {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
            .expect("the soft limit may be raised to the hard limit");
    }
    if hard < wanted {
        skip(&format!(
            "the test needs {wanted} file descriptors, the hard limit is {hard}"
        ));
    }
    hard >= wanted
}

/// The kernel's limit of an accept queue (`net.core.somaxconn`).
pub(crate) fn somaxconn() -> usize {
    let value = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    value.trim().parse().unwrap()
}

/// A kernel TCP counter (`TcpExt` of /proc/net/netstat); it counts for the whole network namespace.
pub(crate) fn tcp_counter(name: &str) -> u64 {
    let netstat = fs::read_to_string("/proc/net/netstat").unwrap();
    let mut rows = netstat
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let column = names.split(' ').position(|column| column == name);
    let column = column.unwrap_or_else(|| panic!("no counter {name} in /proc/net/netstat"));
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

/// As in the kernel's `net/tcp_states.h`.
const TIME_WAIT: &str = "06";

/// The kernel's table of IPv4 TCP sockets (`proc_pid_net(5)`) at one moment, without those in `TIME_WAIT`, by local and
/// remote port.
pub(crate) struct TcpTable(HashMap<(u16, u16), TcpSocket>);

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct TcpSocket {
    /// As in the kernel's `net/tcp_states.h`.
    pub(crate) state: u8,
    /// Bytes written to the socket that the peer has not acknowledged yet.
    pub(crate) unacknowledged: usize,
    /// Bytes received that the process has not read yet.
    pub(crate) unread: usize,
    /// The active timer: 0 none, 1 retransmission, 2 keepalive, 4 zero window probe.
    pub(crate) timer: u8,
    /// The time until that timer expires.
    pub(crate) timer_left: Duration,
}

impl TcpTable {
    pub(crate) fn read() -> Self {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        // Of connections that were closed, tens of thousands may remain.
        let is_live = |row: &&str| row.split_ascii_whitespace().nth(3) != Some(TIME_WAIT);
        let rows = table.lines().skip(1).filter(is_live);
        Self(rows.map(table_row).collect())
    }

    /// The socket at `local` that is connected to `remote`.
    #[track_caller]
    pub(crate) fn socket(&self, local: SocketAddr, remote: SocketAddr) -> TcpSocket {
        let row = self.0.get(&(local.port(), remote.port()));
        *row.unwrap_or_else(|| panic!("no connection from {local} to {remote} in /proc/net/tcp"))
    }

    /// How many sockets with this local port are in `state`.
    pub(crate) fn count(&self, local: SocketAddr, state: u8) -> usize {
        let sockets = self.0.iter();
        let found =
            sockets.filter(|((port, _), socket)| *port == local.port() && socket.state == state);
        found.count()
    }
}

fn table_row(row: &str) -> ((u16, u16), TcpSocket) {
    let fields: Vec<&str> = row.split_whitespace().collect();
    let hex = |text: &str| usize::from_str_radix(text, 16).unwrap();
    let pair = |text: &str| {
        let (left, right) = text.split_once(':').unwrap();
        (left.to_owned(), hex(right))
    };
    let port = |text: &str| u16::try_from(pair(text).1).unwrap();
    let (unacknowledged, unread) = pair(fields[4]);
    let (timer, timer_left) = pair(fields[5]);
    let socket = TcpSocket {
        state: u8::from_str_radix(fields[3], 16).unwrap(),
        unacknowledged: hex(&unacknowledged),
        unread,
        timer: timer.parse().unwrap(),
        timer_left: Duration::from_millis(10 * u64::try_from(timer_left).unwrap()),
    };
    ((port(fields[1]), port(fields[2])), socket)
}
