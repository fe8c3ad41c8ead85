//! The machine: which cores there are for whom, how many descriptors, and how it is to be named under a table.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::fs;
use std::process::Command;

/// Where the benches run.
pub(crate) struct Machine {
    /// The first two cores that this process may use.
    cores: Vec<usize>,
    /// How many connections a process can hold.
    pub(crate) descriptors: usize,
}

impl Machine {
    pub(crate) fn look() -> Machine {
        let limit = echoloop::net::raise_descriptor_limit().unwrap();
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        Machine {
            cores: cores.take(2).collect(),
            // Some are needed for other things; and some machines allow more than any part has use for.
            descriptors: usize::try_from(limit.clamp(200, 100_000)).unwrap() - 100,
        }
    }

    /// The core of the servers, if the generator has another.
    pub(crate) fn server_core(&self) -> Option<usize> {
        (self.cores.len() == 2).then(|| self.cores[0])
    }

    /// The core of the generator, if there is one beside the servers'.
    pub(crate) fn generator_core(&self) -> Option<usize> {
        self.cores.get(1).copied()
    }

    /// All cores that are made use of.
    pub(crate) fn cores(&self) -> &[usize] {
        &self.cores
    }

    /// One line about it, to stand under every table.
    pub(crate) fn line(&self) -> String {
        let cores = match std::thread::available_parallelism().map_or(1, usize::from) {
            1 => "1 core".to_string(),
            several => format!("{several} cores"),
        };
        let pinned = match self.cores[..] {
            [server, generator] => {
                format!("server on core {server}, generator on core {generator}")
            }
            _ => {
                "ONE core only, shared by server and generator: nothing here can be compared".into()
            }
        };
        let machine = format!(
            "Linux {}, {}, {cores} of {}",
            kernel(),
            std::env::consts::ARCH,
            processor()
        );
        let parts = [machine, first_line("rustc"), first_line("cc"), pinned];
        let known = parts.into_iter().filter(|part| !part.is_empty());
        known.collect::<Vec<_>>().join("; ")
    }
}

/// Ties a process (0: this one) to a core.
pub(crate) fn pin(pid: u32, core: usize) {
    let mut only = CpuSet::new();
    only.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(i32::try_from(pid).unwrap()), &only).unwrap();
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What follows the number is the builder's.
    release.split(['-', '\n']).next().unwrap_or("").into()
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or("an unknown processor".into(), |(_, name)| {
        name.trim().into()
    })
}

/// What a compiler says about itself, without the date and the builder.
fn first_line(compiler: &str) -> String {
    let output = Command::new(compiler).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let line = text.lines().next().unwrap_or("");
    let outside = line.split(" (").next().unwrap_or("");
    match line.rsplit_once(") ") {
        Some((_, version)) => format!("{outside} {version}"),
        None => outside.into(),
    }
}
