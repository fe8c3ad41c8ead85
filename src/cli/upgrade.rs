//! `echoloop upgrade`: requests an upgrade of a running daemon.

use super::Failure;
use super::output::to_stdout;
use crate::upgrade::{PidFile, report_path};
use clap::Args;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  echoloop serve --pid-file echoloop.pid            start a daemon
  echoloop upgrade --pid-file echoloop.pid          request an upgrade
  echoloop upgrade --pid-file echoloop.pid --wait   wait until it is done

Install the new program by renaming it (mv) to the path that the daemon was
started from. The daemon starts it with the same arguments. The new process
takes over all listeners and connections, and the old one exits. If anything
fails, the old process continues to serve.";

/// How often the files are read.
const INTERVAL: Duration = Duration::from_millis(20);

/// How many times, at most: the daemon reports a failure long before that, unless it is stopped.
const ATTEMPTS: u32 = 120_000 / 20;

/// How many times a daemon that has ended may be found without a successor.
const PATIENCE: u32 = 5_000 / 20;

/// Replace a running daemon by a new version, which keeps all connections
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Upgrade the daemon that was started with this --pid-file
    #[arg(long, value_name = "F")]
    pid_file: PathBuf,

    /// Wait until the new process serves; exit with 1 and the reason if the old one continues
    #[arg(long)]
    wait: bool,
}

impl Flags {
    /// Sends SIGUSR2 to the daemon.
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let shown = self.pid_file.display();
        let file = PidFile::at(&self.pid_file);
        let old = file.read().map_err(|error| {
            Failure::new(
                format!("cannot read a process ID from {shown}"),
                error,
                "start the daemon with --pid-file and that path",
            )
        })?;
        let before = report(&self.pid_file);
        let pid = i32::try_from(old).unwrap_or_default();
        // 0 and negative numbers would name groups of processes.
        let sent = if pid > 0 {
            kill(Pid::from_raw(pid), Signal::SIGUSR2)
        } else {
            Err(Errno::ESRCH)
        };
        sent.map_err(|error| {
            let what = format!("cannot signal PID {old} of {shown}");
            let remedy = match error {
                Errno::ESRCH => "the daemon has ended: start it again",
                _ => "run this as the user of the daemon",
            };
            Failure::new(what, error.desc(), remedy)
        })?;
        if !self.wait {
            return Ok(ExitCode::SUCCESS);
        }
        let mut ended = 0;
        for _ in 0..ATTEMPTS {
            match outcome(&self.pid_file, &file, old, before.as_deref()) {
                Outcome::TakenOver(new) => {
                    to_stdout(format!("PID {new} has taken over from PID {old}\n"))?;
                    return Ok(ExitCode::SUCCESS);
                }
                Outcome::Failed(reason) => {
                    return Err(Failure(format!("upgrade failed: {}", reason.trim())));
                }
                Outcome::Ended if ended == PATIENCE => {
                    return Err(Failure(format!(
                        "PID {old} has ended without a successor: see its log, and start it again"
                    )));
                }
                Outcome::Ended => ended += 1,
                Outcome::Open => {}
            }
            sleep(INTERVAL);
        }
        Err(Failure(format!(
            "PID {old} did not answer within 2 minutes: is it stopped, or no echoloop serve?"
        )))
    }
}

/// What the files show.
enum Outcome {
    /// A process with this ID serves.
    TakenOver(u32),
    /// The upgrade has failed for this reason.
    Failed(String),
    /// The old process has ended; the new one may be about to write its ID.
    Ended,
    /// Nothing yet.
    Open,
}

/// What the files show now.
fn outcome(path: &Path, file: &PidFile, old: u32, before: Option<&str>) -> Outcome {
    match (file.read(), report(path)) {
        (Ok(new), _) if new != old => Outcome::TakenOver(new),
        (_, Some(report)) if Some(&*report) != before => Outcome::Failed(report),
        _ if has_ended(old) => Outcome::Ended,
        _ => Outcome::Open,
    }
}

/// Whether a process has ended, even if its parent does not wait for it (a zombie).
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // proc_pid_stat(5): the name, which may contain anything, is in parentheses.
    stat.map_or(true, |stat| {
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('Z'))
    })
}

/// The reason of the last failed upgrade.
fn report(pid_file: &Path) -> Option<String> {
    fs::read_to_string(report_path(pid_file)).ok()
}
