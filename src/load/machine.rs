//! What the machine says of processes and of TCP, read from /proc (proc(5)).

use super::surroundings::{Readings, ServerReadings};
use super::syn::SynTimers;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::fs::{self, File};
use std::time::Duration;

/// Clock ticks per second in /proc: `USER_HZ`, 100 on every machine that Linux is at home on (time(7)).
const TICKS_PER_SECOND: u64 = 100;

/// The kernel's own range of ephemeral ports (ip(7)), where it does not say.
const USUAL_PORTS: u32 = 28_232;

/// Looks at this machine.
#[derive(Debug)]
pub struct Machine {
    server: Option<u32>,
    /// Held so that there is a descriptor to look with when connections have taken all others.
    spare: Option<File>,
}

impl Machine {
    /// With the server's process in sight, if its id is known.
    #[must_use]
    pub fn new(server: Option<u32>) -> Machine {
        let spare = File::open("/proc/self/stat").ok();
        Machine { server, spare }
    }

    /// What it says now.
    pub fn look(&mut self) -> Readings {
        self.spare = None;
        let readings = Readings {
            own_processor: own_processor(),
            syn_retransmits: syn_retransmits(&read("/proc/net/netstat")),
            server: self.server.and_then(server),
        };
        self.spare = File::open("/proc/self/stat").ok();
        readings
    }

    /// When this kernel retransmits a SYN, by its settings (ip-sysctl in the kernel's documentation). An old one has no
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

    /// How many descriptors the server has open, if that may be seen.
    pub fn server_descriptors(&mut self) -> Option<usize> {
        let server = self.server?;
        self.spare = None;
        let listing = fs::read_dir(format!("/proc/{server}/fd"));
        listing.ok().map(Iterator::count)
    }
}

/// How many ephemeral ports an address has.
#[must_use]
pub fn ephemeral_ports() -> u32 {
    let text = read("/proc/sys/net/ipv4/ip_local_port_range");
    let mut ends = text.split_whitespace().map(str::parse::<u32>);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => last - first + 1,
        _ => USUAL_PORTS,
    }
}

/// What this machine calls itself.
#[must_use]
pub fn host_name() -> String {
    read("/proc/sys/kernel/hostname").trim().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn own_processor() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    of_time_value(usage.user_time()) + of_time_value(usage.system_time())
}

fn of_time_value(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let microseconds = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}

fn server(pid: u32) -> Option<ServerReadings> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(ServerReadings {
        pid,
        processor: processor_of(&stat)?,
        rss_bytes: resident_of(&status)?,
    })
}

/// User and system time from /proc/PID/stat: fields 14 and 15. The second field is the program's name, which may hold
/// anything, in parentheses.
fn processor_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system).saturating_mul(1000 / TICKS_PER_SECOND),
    ))
}

/// `VmRSS` from /proc/PID/status, in bytes. A process that has ended, and was not waited for, has none.
fn resident_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `TCPSynRetrans` from /proc/net/netstat: in pairs of lines, one of names and one of values.
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
    fn a_name_full_of_parentheses_does_not_confuse() {
        let stat =
            "17 (a) b (c)) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 300 1000 200";
        assert_eq!(processor_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(processor_of("17 (cut"), None);
    }

    #[test]
    fn memory_is_in_bytes_and_the_dead_have_none() {
        assert_eq!(
            resident_of("Name:\tx\nVmRSS:\t    3072 kB\n"),
            Some(3072 * 1024)
        );
        assert_eq!(resident_of("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn retransmissions_are_found_by_name() {
        let netstat = "TcpExt: A TCPSynRetrans B\nTcpExt: 1 42 3\nIpExt: C\nIpExt: 4\n";
        assert_eq!(syn_retransmits(netstat), 42);
        assert_eq!(syn_retransmits(""), 0);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let mut machine = Machine::new(Some(std::process::id()));
        let readings = machine.look();
        assert!(readings.server.unwrap().rss_bytes > 100_000);
        assert!(ephemeral_ports() > 0);
        assert!(Machine::syn_timers().retries > 0);
        assert!(machine.server_descriptors().unwrap() >= 3);
        assert!(read("/proc/net/netstat").contains(" TCPSynRetrans "));
    }
}
