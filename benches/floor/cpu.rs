//! The CPU time and the state of other processes, read from /proc.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for processes to be at rest.
const REST_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest wait for a process to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The processes whose time is counted.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    Processes(Vec<u32>),
    /// All processes and threads of a session (setsid(2)), for servers that fork.
    Session(u32),
}

impl Watched {
    /// Their total CPU time so far, in nanoseconds.
    ///
    /// Exact for sleeping threads; the kernel updates the count of a running one only at every tick.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.tasks().iter().map(|task| cpu_ns_of(task)).sum()
    }

    /// Waits until all of them sleep, for at most [`REST_TIMEOUT`]: all their work is then done and counted.
    pub(crate) fn wait_until_at_rest(&self) {
        let deadline = Instant::now() + REST_TIMEOUT;
        let mut before = self.cpu_ns();
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            let now = self.cpu_ns();
            if now == before && self.tasks().iter().all(|task| is_asleep(task)) {
                return;
            }
            before = now;
        }
    }

    /// Waits until the processes are at rest, and stops them while `act` runs: all that `act` sends is in their socket
    /// buffers before they read any of it.
    pub(crate) fn while_stopped<T>(&self, act: impl FnOnce() -> T) -> T {
        self.wait_until_at_rest();
        self.signal(Signal::SIGSTOP);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !self.tasks().iter().all(|task| state(task) == Some('T')) {
            assert!(Instant::now() < deadline, "the server does not stop");
            thread::yield_now();
        }
        let result = act();
        self.signal(Signal::SIGCONT);
        result
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Watched::Processes(pids) => pids.clone(),
            Watched::Session(session) => members(*session),
        }
    }

    /// The directories of their threads in /proc.
    fn tasks(&self) -> Vec<PathBuf> {
        let pids = self.pids();
        let directories = pids.iter().map(|pid| format!("/proc/{pid}/task"));
        let tasks = directories.filter_map(|directory| fs::read_dir(directory).ok());
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

/// Neither runnable nor in the middle of a page fault or disk access; or gone.
fn is_asleep(task: &Path) -> bool {
    !matches!(state(task), Some('R' | 'D'))
}

/// The state of a thread, as `proc_pid_stat(5)` abbreviates it; `None` if it no longer exists.
fn state(task: &Path) -> Option<char> {
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.chars().next()
}

/// The first of the three numbers of schedstat: nanoseconds of CPU time (Documentation/scheduler/sched-stats.rst).
fn first_number(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// utime and stime of a stat file, fields 14 and 15, for kernels without schedstat: in steps of 10 ms.
fn ticks_ns(stat: &str) -> Option<u64> {
    Some(10_000_000 * (field_after_name(stat, 11)? + field_after_name(stat, 12)?))
}

/// A field of a stat file, counted from the one after the name, which is in parentheses and may contain spaces.
fn field_after_name(stat: &str, index: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split_whitespace().nth(index)?.parse().ok()
}

/// Checks the parsing of the files in /proc.
pub(crate) fn self_check() {
    assert_eq!(first_number("123456789 42 7\n"), Some(123_456_789));
    assert_eq!(first_number(""), None);
    let stat = "17 (a) b) S 1 17 99 0 -1 4194560 0 0 0 0 3 4 0 0 20 0 1 0";
    assert_eq!(field_after_name(stat, 3), Some(99));
    assert_eq!(ticks_ns(stat), Some(70_000_000));
}
