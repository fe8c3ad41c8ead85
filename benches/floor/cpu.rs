//! What a process has cost, seen from outside through /proc: its time on the processor, and when it is at rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The processes whose time is counted.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    Processes(Vec<u32>),
    /// All processes and threads of a session (setsid(2)), for servers that fork.
    Session(u32),
}

impl Watched {
    /// All their time on the processor so far, in nanoseconds.
    ///
    /// Exact for who is at rest; the kernel brings the count of who runs up to date at every tick only.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.tasks().iter().map(|task| cpu_ns_of(task)).sum()
    }

    /// Waits until all of them sleep, for at most 2 s: then everything asked of them is done, and counted.
    pub(crate) fn wait_until_at_rest(&self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut before = self.cpu_ns();
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            let now = self.cpu_ns();
            if now == before && self.tasks().iter().all(|task| sleeps(task)) {
                return;
            }
            before = now;
        }
    }

    /// The folders of their threads in /proc.
    fn tasks(&self) -> Vec<PathBuf> {
        let processes = match self {
            Watched::Processes(pids) => pids.clone(),
            Watched::Session(session) => members(*session),
        };
        let folders = processes.iter().map(|pid| format!("/proc/{pid}/task"));
        let tasks = folders.filter_map(|folder| fs::read_dir(folder).ok());
        tasks.flatten().flatten().map(|task| task.path()).collect()
    }
}

fn members(session: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        field_after_name(&stat, 3) == Some(u64::from(session))
    })
    .collect()
}

fn cpu_ns_of(task: &Path) -> u64 {
    let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    first_number(&schedstat).unwrap_or_else(|| {
        let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
        ticks_ns(&stat).unwrap_or(0)
    })
}

fn sleeps(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, fields)| !fields.starts_with('R'))
}

/// The first of the three numbers of schedstat: nanoseconds on the processor (Documentation/scheduler/sched-stats.rst).
fn first_number(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// utime and stime of a stat, fields 14 and 15, where the kernel keeps no schedstat: in steps of 10 ms.
fn ticks_ns(stat: &str) -> Option<u64> {
    Some(10_000_000 * (field_after_name(stat, 11)? + field_after_name(stat, 12)?))
}

/// A field of a stat, counted from the one after the name, which stands in parentheses and may contain blanks.
fn field_after_name(stat: &str, index: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split_whitespace().nth(index)?.parse().ok()
}

/// Shows that the files of /proc are read as they are meant.
pub(crate) fn self_check() {
    assert_eq!(first_number("123456789 42 7\n"), Some(123_456_789));
    assert_eq!(first_number(""), None);
    let stat = "17 (a) b) S 1 17 99 0 -1 4194560 0 0 0 0 3 4 0 0 20 0 1 0";
    assert_eq!(field_after_name(stat, 3), Some(99));
    assert_eq!(ticks_ns(stat), Some(70_000_000));
}
