//! The machine: the cores of server and generator, the file descriptor limit, and the description under a table.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::fs;
use std::process::Command;

/// The machine that the bench runs on.
pub(crate) struct Machine {
    /// The first two cores that this process may use.
    cores: Vec<usize>,
    /// How many connections a process can hold.
    pub(crate) max_connections: usize,
}

impl Machine {
    pub(crate) fn detect() -> Machine {
        let limit = echoloop::doctor::raise_fd_limit().unwrap();
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        Machine {
            cores: cores.take(2).collect(),
            // No part needs more than 100,000; 100 file descriptors are left for other uses.
            max_connections: usize::try_from(limit.clamp(200, 100_000)).unwrap() - 100,
        }
    }

    /// The core of the servers; `None` if there is only one core.
    pub(crate) fn server_core(&self) -> Option<usize> {
        (self.cores.len() == 2).then(|| self.cores[0])
    }

    /// The core of the generator; `None` if there is only one core.
    pub(crate) fn generator_core(&self) -> Option<usize> {
        self.cores.get(1).copied()
    }

    /// The cores in use.
    pub(crate) fn cores(&self) -> &[usize] {
        &self.cores
    }

    /// The line under every table, with the versions of the programs that are compared.
    pub(crate) fn description(&self, versions: &[String]) -> String {
        let cores = match std::thread::available_parallelism().map_or(1, usize::from) {
            1 => "1 core".to_string(),
            several => format!("{several} cores"),
        };
        let pinned = match self.cores[..] {
            [server, generator] => {
                format!("server on core {server}, generator on core {generator}")
            }
            _ => "ONE core, shared by server and generator: figures are not comparable".into(),
        };
        let machine = format!(
            "Linux {}, {}, {cores} of {}",
            kernel(),
            std::env::consts::ARCH,
            cpu_model()
        );
        let mut parts = vec![machine, version("rustc", "--version")];
        parts.extend_from_slice(versions);
        parts.push(pinned);
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }
}

/// Pins this thread to a core.
pub(crate) fn pin(core: usize) {
    let mut only = CpuSet::new();
    only.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(0), &only).unwrap();
}

/// Runs `start` pinned to a core: the processes it starts inherit the core.
pub(crate) fn on_core<T>(core: Option<usize>, start: impl FnOnce() -> T) -> T {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    if let Some(core) = core {
        pin(core);
    }
    let result = start();
    sched_setaffinity(Pid::from_raw(0), &allowed).unwrap();
    result
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // The rest names the builder.
    release.split(['-', '\n']).next().unwrap_or("").into()
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or("an unknown CPU".into(), |(_, name)| name.trim().into())
}

/// The name and version that a compiler prints, without date and builder; empty if it is not installed.
pub(crate) fn version(compiler: &str, option: &str) -> String {
    let output = Command::new(compiler).arg(option).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let line = text.lines().next().unwrap_or("");
    // "go version go1.19 linux/amd64"
    if let Some(go) = line.strip_prefix("go version go") {
        return format!("Go {}", go.split(' ').next().unwrap_or(""));
    }
    let name = line.split(" (").next().unwrap_or("");
    match line.rsplit_once(") ") {
        Some((_, version)) => format!("{name} {version}"),
        None => name.into(),
    }
}
