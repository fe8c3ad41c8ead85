//! What the processes of a server use, read from /proc (proc(5)).
//!
//! CPU time is that of the scheduler, in nanoseconds: the clock ticks of /proc/PID/stat, 10 ms each, are too coarse for a
//! thousand processes that each use a millisecond.

use std::fs;

/// CPU time, context switches and tasks of a server's main process and its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu_nanos: u64,
    /// Voluntary and involuntary.
    pub(super) switches: u64,
    pub(super) processes: u32,
    /// Of all processes.
    pub(super) threads: u32,
}

impl Usage {
    /// The usage now. Processes and threads that have exited are not counted.
    pub(super) fn read(pid: u32) -> Usage {
        let mut usage = Usage::default();
        usage.add(pid);
        // The main thread starts all children.
        let children = read(&format!("/proc/{pid}/task/{pid}/children"));
        for child in children
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
        {
            usage.add(child);
        }
        usage
    }

    fn add(&mut self, pid: u32) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            return;
        };
        self.processes += 1;
        for task in tasks.flatten() {
            let folder = task.path();
            let file = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
            self.threads += 1;
            self.cpu_nanos += cpu_nanos(&file("schedstat"));
            self.switches += switches(&file("status"));
        }
    }

    /// What was used since an earlier reading.
    pub(super) fn since(self, earlier: Usage) -> Usage {
        Usage {
            cpu_nanos: self.cpu_nanos.saturating_sub(earlier.cpu_nanos),
            switches: self.switches.saturating_sub(earlier.switches),
            ..self
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The first field of /proc/PID/task/TID/schedstat.
fn cpu_nanos(schedstat: &str) -> u64 {
    let first = schedstat.split_whitespace().next();
    first.and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// The sum of `voluntary_ctxt_switches` and `nonvoluntary_ctxt_switches` in /proc/PID/task/TID/status.
fn switches(status: &str) -> u64 {
    let figures = status.lines().filter_map(|line| {
        let (name, figure) = line.split_once(':')?;
        name.ends_with("voluntary_ctxt_switches")
            .then(|| figure.trim().parse::<u64>().ok())?
    });
    figures.sum()
}

/// The memory that programs can allocate without swapping; none if the kernel does not report it.
pub(super) fn available_memory() -> Option<u64> {
    let text = read("/proc/meminfo");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_their_lines() {
        assert_eq!(cpu_nanos("1250000 77 3\n"), 1_250_000);
        assert_eq!(cpu_nanos(""), 0);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(switches(status), 42);
    }

    #[test]
    fn own_process_has_threads_and_cpu_time() {
        let usage = Usage::read(std::process::id());
        assert!(usage.processes >= 1 && usage.threads >= usage.processes);
        assert!(usage.cpu_nanos > 0 && usage.switches > 0);
        assert!(available_memory() > Some(0));
    }
}
