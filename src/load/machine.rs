//! Resource usage of processes and counters of TCP, read from /proc (proc(5)).

use super::process_tree::{ProcessTree, Reading};
use super::{Snapshot, SynTimers};
use nix::time::ClockId;
use std::fs::{self, File};
use std::time::Duration;

/// The size of the kernel's default range of ephemeral ports (ip(7)).
const DEFAULT_PORTS: u32 = 28_232;

/// Reads the resource usage of this machine.
#[derive(Debug)]
pub struct Machine {
    server: Option<ProcessTree>,
    /// A file descriptor in reserve: connections may use all others.
    reserve: Option<File>,
}

impl Machine {
    /// Observes the server process and its descendants too, if its id is known.
    #[must_use]
    pub fn new(server: Option<u32>) -> Machine {
        let mut machine = Machine {
            server: server.map(ProcessTree::new),
            reserve: None,
        };
        machine.reserve_fd();
        machine
    }

    fn reserve_fd(&mut self) {
        self.reserve = File::open("/proc/self/stat").ok();
    }

    /// The resource usage now.
    pub fn snapshot(&mut self) -> Snapshot {
        self.read(Reading::Full)
    }

    /// The resource usage now, without what takes long to read: new processes whose parent has exited, and proportional
    /// memory.
    pub fn quick_snapshot(&mut self) -> Snapshot {
        self.read(Reading::Quick)
    }

    fn read(&mut self, reading: Reading) -> Snapshot {
        self.reserve = None;
        let snapshot = Snapshot {
            own_cpu_time: own_cpu_time(),
            syn_retransmits: syn_retransmits(&read("/proc/net/netstat")),
            server: self.server.as_mut().and_then(|server| server.read(reading)),
        };
        self.reserve_fd();
        snapshot
    }

    /// When this kernel retransmits a SYN, by its settings (ip-sysctl in the kernel's documentation). An old kernel has no
    /// `tcp_syn_linear_timeouts`.
    #[must_use]
    pub fn syn_timers() -> SynTimers {
        let setting = |name| {
            let text = read(&format!("/proc/sys/net/ipv4/{name}"));
            text.trim().parse().ok()
        };
        let rfc = SynTimers::default();
        SynTimers {
            linear: setting("tcp_syn_linear_timeouts").unwrap_or(rfc.linear),
            retries: setting("tcp_syn_retries").unwrap_or(rfc.retries),
        }
    }

    /// The number of file descriptors that the server's processes have open, if /proc permits reading it.
    pub fn server_fds(&mut self) -> Option<usize> {
        self.reserve = None;
        let count = self.server.as_ref().and_then(ProcessTree::open_fds);
        self.reserve_fd();
        count
    }
}

/// The number of ephemeral ports per address.
#[must_use]
pub fn ephemeral_ports() -> u32 {
    let text = read("/proc/sys/net/ipv4/ip_local_port_range");
    let mut ends = text.split_whitespace().map(str::parse::<u32>);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => last - first + 1,
        _ => DEFAULT_PORTS,
    }
}

/// The host name of this machine.
#[must_use]
pub fn host_name() -> String {
    read("/proc/sys/kernel/hostname").trim().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn own_cpu_time() -> Duration {
    let time = ClockId::CLOCK_PROCESS_CPUTIME_ID.now();
    time.map_or(Duration::ZERO, Duration::from)
}

/// `TCPSynRetrans` from /proc/net/netstat: pairs of lines, the first with names, the second with values.
fn syn_retransmits(netstat: &str) -> u64 {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let value = pairs.find_map(|(name, value)| (name == "TCPSynRetrans").then_some(value));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syn_retransmits_are_found_by_name() {
        let netstat = "TcpExt: A TCPSynRetrans B\nTcpExt: 1 42 3\nIpExt: C\nIpExt: 4\n";
        assert_eq!(syn_retransmits(netstat), 42);
        assert_eq!(syn_retransmits(""), 0);
    }

    #[test]
    fn snapshot_of_this_machine_has_all_figures() {
        let mut machine = Machine::new(Some(std::process::id()));
        let snapshot = machine.snapshot();
        assert!(snapshot.own_cpu_time > Duration::ZERO);
        assert!(snapshot.server.unwrap().rss_bytes > 100_000);
        assert!(ephemeral_ports() > 0);
        assert!(Machine::syn_timers().retries > 0);
        assert!(machine.server_fds().unwrap() >= 3);
        assert!(read("/proc/net/netstat").contains(" TCPSynRetrans "));
    }
}
