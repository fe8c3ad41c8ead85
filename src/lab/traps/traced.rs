//! Runs an experiment in strace(1): its system calls, as a timeline and as a page.

use super::child::add_arguments;
use super::{Outcome, Trap, Version};
use crate::trace::{ChromeTrace, Strace, StraceEntry};
use std::io;
use std::process::Command;

/// The calls that a network program consists of. A name after `?` is unknown to some machines.
const CALLS: &str = "trace=%network,%process,?read,?readv,?write,?writev,?close,?close_range,?dup,?dup2,\
                     ?dup3,?fcntl,?fcntl64,?ioctl,?pipe,?pipe2,?poll,?ppoll,?select,?_newselect,\
                     ?pselect6,?epoll_create1,?epoll_ctl,?epoll_wait,?epoll_pwait,?epoll_pwait2,\
                     ?prlimit64,?clock_nanosleep";

/// One version of a trap, as it ran in strace.
#[derive(Debug)]
pub struct TracedRun {
    pub(super) trap: &'static Trap,
    pub(super) version: Version,
    /// Its result; strace slows it down.
    pub outcome: Outcome,
    pub(super) strace: Strace,
    pub(super) entries: Vec<StraceEntry>,
}

impl Trap {
    /// Runs one version in strace.
    ///
    /// # Errors
    /// `NotFound`: strace is not installed. Otherwise the experiment cannot be run.
    pub fn run_traced(&'static self, version: Version) -> io::Result<TracedRun> {
        let program = std::env::current_exe().map_err(io::Error::other)?;
        let mut command = Command::new("strace");
        // To its stderr, which is a pipe, with the PID in each line.
        command
            .args(["-q", "-f", "-ttt", "-T", "-a1"])
            .args(["-o", "/dev/stderr", "-e", CALLS])
            .arg(program);
        let output = add_arguments(&mut command, self.name, version).output()?;
        let mut strace = Strace::with_entries();
        // What is no line of strace is an error of the program, or of strace.
        let mut message = None;
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            let (before, _) = strace.malformed();
            strace.add(line);
            if line.starts_with("strace: ") || strace.malformed().0 > before {
                message.get_or_insert_with(|| line.to_owned());
            }
        }
        let outcome = Outcome::parse(&output.stdout).ok_or_else(|| {
            let message = message.unwrap_or_else(|| output.status.to_string());
            io::Error::other(message)
        })?;
        Ok(TracedRun {
            trap: self,
            version,
            outcome,
            entries: strace.take_entries(),
            strace,
        })
    }
}

impl TracedRun {
    /// The name of its page.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}.html", self.trap.name, self.version.name())
    }
}

/// The timelines of some versions of a trap as Chrome trace JSON.
#[must_use]
pub fn chrome_trace(runs: &[TracedRun]) -> String {
    let name = runs.first().map_or("", |run| run.trap.name);
    let mut trace = ChromeTrace::new(&format!("echoloop lab trap {name}"), 1);
    for run in runs {
        run.strace
            .add_to(&mut trace, &format!("{}: ", run.version.name()));
    }
    trace.finish()
}
