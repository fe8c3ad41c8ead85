//! The figures of this process, from /proc (proc(5)); the only I/O of this module beside its listener.

use crate::net::time_of_day;
use nix::time::ClockId;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::time::Duration;

/// The figures of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// When it started, as the time since 1970-01-01 00:00 UTC.
    pub started: Duration,
    /// CPU time of the user and of the kernel.
    pub cpu: Duration,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The limit of open file descriptors; `u64::MAX` if there is none.
    pub max_fds: u64,
}

/// This process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    started: Duration,
    /// File descriptors that are not connections, counted at the start.
    other_fds: Option<u64>,
}

impl Process {
    /// This process, which has just started.
    #[must_use]
    pub fn started_now() -> Process {
        let entries = fs::read_dir("/proc/self/fd").ok();
        Process {
            started: time_of_day(),
            other_fds: entries.map(|entries| entries.count() as u64),
        }
    }

    /// Its figures now; it has `connections` open.
    #[must_use]
    pub fn figures(&self, connections: usize) -> ProcessFigures {
        let cpu = ClockId::CLOCK_PROCESS_CPUTIME_ID.now();
        let counted = fs::metadata("/proc/self/fd").map_or(0, |metadata| metadata.len());
        // Since Linux 6.2 the size of the directory is their number. To list them would take a second for a million.
        let open_fds = if counted > 0 {
            Some(counted)
        } else {
            self.other_fds.map(|others| others + connections as u64)
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        ProcessFigures {
            started: self.started,
            cpu: cpu.map_or(Duration::ZERO, Duration::from),
            resident_bytes: resident_bytes(&status),
            open_fds,
            max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }
}

/// Resident memory by `/proc/PID/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_this_process_are_plausible() {
        let process = Process::started_now();
        let figures = process.figures(0);
        assert!(figures.started > Duration::from_secs(1_700_000_000));
        assert!(figures.resident_bytes.unwrap() > 100_000);
        let open = figures.open_fds.unwrap();
        assert!((3..figures.max_fds).contains(&open), "{open}");
    }

    #[test]
    fn resident_memory_is_in_kibibytes() {
        let status = "VmPeak:\t  900 kB\nVmRSS:\t     123 kB\n";
        assert_eq!(resident_bytes(status), Some(123 * 1024));
        assert_eq!(resident_bytes("VmRSS:\tmany kB\n"), None);
        assert_eq!(resident_bytes(""), None);
    }
}
