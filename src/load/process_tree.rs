//! The server's process and its descendants, read from /proc (proc(5)): a server may fork for each connection.
//!
//! CPU time: that of a process that has exited and was waited for is in its parent's `cutime` and `cstime`. If no parent
//! waits for it (SIGCHLD is ignored, or init has adopted it), the kernel drops it; then its time at the last reading
//! counts. Of a process that started and exited between two readings, only the time that its parent waited for counts.
//!
//! A process whose parent has exited still counts if a reading found it before, or if the server leads its process group.

use super::ServerUsage;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

/// Clock ticks per second in /proc: `USER_HZ`, 100 on all common architectures (time(7)).
const TICKS_PER_SECOND: u64 = 100;

/// A process, from /proc/PID/stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Process {
    parent: u32,
    group: u32,
    /// When it started, in ticks since boot: distinguishes processes with the same id.
    begun: u64,
    /// Its CPU time, in ticks.
    own: u64,
    /// The CPU time of its descendants that have exited and were waited for.
    waited: u64,
    is_zombie: bool,
}

/// Processes by id.
type Processes = BTreeMap<u32, Process>;

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The known processes and their children, without proportional memory.
    Quick,
    /// The processes of the whole machine, and proportional memory if the server has several.
    Full,
}

/// A process and its descendants.
#[derive(Debug)]
pub(super) struct ProcessTree {
    root: u32,
    /// The processes at the last reading.
    known: Processes,
    /// CPU time that no running process counts, in ticks.
    lost: u64,
    /// There were several processes at some reading.
    has_forked: bool,
}

impl ProcessTree {
    pub(super) fn new(root: u32) -> ProcessTree {
        ProcessTree {
            root,
            known: Processes::new(),
            lost: 0,
            has_forked: false,
        }
    }

    /// The usage now; none if the root has exited.
    pub(super) fn read(&mut self, reading: Reading) -> Option<ServerUsage> {
        let is_first = self.known.is_empty();
        let running = self.running(reading)?;
        self.update(running);
        // The first reading has both kinds of memory, to compare with a later one of either kind.
        let is_proportional = reading == Reading::Full && (is_first || self.has_forked);
        Some(ServerUsage {
            pid: self.root,
            cpu_time: Duration::from_millis(self.ticks().saturating_mul(1000 / TICKS_PER_SECOND)),
            rss_bytes: self.known.keys().filter_map(|pid| resident(*pid)).sum(),
            pss_bytes: is_proportional.then(|| self.proportional()).flatten(),
            processes: u32::try_from(self.known.len()).unwrap_or(u32::MAX),
        })
    }

    /// The file descriptors that all processes have open, if /proc permits reading them.
    pub(super) fn open_fds(&self) -> Option<usize> {
        let running = self.running(Reading::Quick)?;
        let fds = |pid: &u32| match fs::read_dir(format!("/proc/{pid}/fd")) {
            Err(error) if has_exited(&error) => Some(0),
            listing => listing.ok().map(Iterator::count),
        };
        running.keys().map(fds).sum()
    }

    fn ticks(&self) -> u64 {
        let times = self
            .known
            .values()
            .map(|process| process.own + process.waited);
        times.sum::<u64>() + self.lost
    }

    /// Replaces the known processes, and keeps the time of those that have exited and that no ancestor waited for.
    fn update(&mut self, running: Processes) {
        let is_running = |pid: u32, process: &Process| {
            let found = running.get(&pid);
            found.is_some_and(|found| found.begun == process.begun)
        };
        // By the nearest running ancestor: the time of exited processes.
        let mut exited: BTreeMap<u32, u64> = BTreeMap::new();
        for (pid, process) in &self.known {
            if is_running(*pid, process) {
                continue;
            }
            let mut ancestor = process.parent;
            while let Some(above) = self.known.get(&ancestor) {
                if is_running(ancestor, above) {
                    break;
                }
                ancestor = above.parent;
            }
            *exited.entry(ancestor).or_default() += process.own + process.waited;
        }
        for (ancestor, time) in exited {
            let waited = |processes: &Processes| processes.get(&ancestor).map(|one| one.waited);
            let before = waited(&self.known).unwrap_or(0);
            let counted = waited(&running).unwrap_or(before).saturating_sub(before);
            self.lost += time.saturating_sub(counted);
        }
        self.has_forked |= running.len() > 1;
        self.known = running;
    }

    /// The running processes; none if the root has exited.
    fn running(&self, reading: Reading) -> Option<Processes> {
        let root = stat(self.root).filter(|root| !root.is_zombie)?;
        let mut found = Processes::new();
        for (pid, process) in &self.known {
            if let Some(now) = stat(*pid)
                && now.begun == process.begun
            {
                found.insert(*pid, now);
            }
        }
        found.insert(self.root, root);
        let children = (reading == Reading::Quick).then(|| descend(&mut found));
        if children.flatten().is_none() {
            add_descendants(&mut found, &all_processes(), self.root);
        }
        self.exclude_this_process(&mut found);
        Some(found)
    }

    /// The load tester is not part of the server, even if the server's process has started it.
    fn exclude_this_process(&self, found: &mut Processes) {
        let own = std::process::id();
        if own == self.root {
            return;
        }
        let mut excluded = vec![own];
        while let Some(pid) = excluded.pop() {
            if found.remove(&pid).is_some() {
                let children = found.iter().filter(|(_, one)| one.parent == pid);
                excluded.extend(children.map(|(child, _)| *child));
            }
        }
    }

    /// The proportional set size of all processes; none if /proc does not permit reading it.
    fn proportional(&self) -> Option<u64> {
        let pss = |pid: &u32| match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            Err(error) if has_exited(&error) => Some(0),
            Err(_) => None,
            // A zombie has no memory, and its file is empty.
            Ok(text) => Some(kibibytes(&text, "Pss:").unwrap_or(0)),
        };
        self.known.keys().map(pss).sum()
    }
}

/// Whether a file of /proc cannot be read because the process has exited.
fn has_exited(error: &io::Error) -> bool {
    // Reading an open file of an exited process fails with ESRCH.
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

/// Adds the children of all processes, and theirs. None if this kernel does not list children.
fn descend(found: &mut Processes) -> Option<()> {
    let mut parents: Vec<u32> = found.keys().copied().collect();
    while let Some(parent) = parents.pop() {
        for child in children(parent)? {
            if !found.contains_key(&child)
                && let Some(process) = stat(child)
            {
                found.insert(child, process);
                parents.push(child);
            }
        }
    }
    Some(())
}

/// The children of a process, of all its threads; none if this kernel does not list them (`CONFIG_PROC_CHILDREN`).
fn children(parent: u32) -> Option<Vec<u32>> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Some(Vec::new());
    };
    // Collected first, since one file descriptor may be all that is left.
    let threads: Vec<PathBuf> = threads.flatten().map(|thread| thread.path()).collect();
    let mut children = Vec::new();
    for path in threads {
        match fs::read_to_string(path.join("children")) {
            Ok(text) => children.extend(text.split_whitespace().flat_map(str::parse::<u32>)),
            // The thread has exited, unless only this file is missing.
            Err(_) if path.exists() => return None,
            Err(_) => {}
        }
    }
    Some(children)
}

/// Adds those of `all` that descend from the `found` processes, or are in the process group that `root` leads.
fn add_descendants(found: &mut Processes, all: &Processes, root: u32) {
    let leads = found
        .get(&root)
        .is_some_and(|process| process.group == root);
    if leads {
        let group = all.iter().filter(|(_, process)| process.group == root);
        found.extend(group.map(|(pid, process)| (*pid, *process)));
    }
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, process) in all {
        children.entry(process.parent).or_default().push(*pid);
    }
    let mut parents: Vec<u32> = found.keys().copied().collect();
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if let Some(process) = all.get(&child) {
                found.insert(child, *process);
                parents.push(child);
            }
        }
    }
}

/// All processes of this machine.
fn all_processes() -> Processes {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pids: Vec<u32> = pids.collect();
    let mut found = Processes::new();
    found.extend(pids.into_iter().filter_map(|pid| Some((pid, stat(pid)?))));
    found
}

fn stat(pid: u32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses /proc/PID/stat. The second field is the program's name in parentheses and may contain any character.
fn parse_stat(stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // Fields are counted from 1 in proc(5); the third is the first one here.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let id = |field| u32::try_from(number(field)?).ok();
    Some(Process {
        parent: id(4)?,
        group: id(5)?,
        begun: number(22)?,
        own: number(14)? + number(15)?,
        waited: number(16)? + number(17)?,
        is_zombie: fields.first() == Some(&"Z"),
    })
}

/// The resident memory of a process, in bytes. A zombie has none.
fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kibibytes(&status, "VmRSS:")
}

/// The figure of a line such as `VmRSS:   3072 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
#[path = "process_tree_tests.rs"]
mod tests;
