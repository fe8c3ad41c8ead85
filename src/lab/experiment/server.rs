//! A pattern as a process: started on a free port, ended with all its children.

use super::usage::Usage;
use crate::lab::patterns::Pattern;
use crate::load::Machine;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

/// How often, and at what interval, the threads of a starting server are counted.
const MOST_CHECKS: u32 = 2000;
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// The most of the server's log that is kept.
const LONGEST_LOG: u64 = 4096;

/// A running server. Dropping it ends the server.
pub(super) struct Server {
    process: Child,
    stderr: Option<ChildStderr>,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts this program as a server with a pattern, in a process group with its children.
    ///
    /// # Errors
    /// It cannot be started, or it exits before it listens.
    pub(super) fn start(pattern: &Pattern, workers: usize) -> io::Result<Server> {
        // Children of a killed server become children of this process, which waits for them.
        nix::sys::prctl::set_child_subreaper(true)?;
        let (count, workers) = (workers, workers.to_string());
        let mut process = Command::new(std::env::current_exe()?)
            .args(["-q", "lab", "pattern", pattern.name, "--workers", &workers])
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        let mut server = Server {
            process,
            stderr,
            address: SocketAddr::from(([0; 4], 0)),
        };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().parse() {
            Ok(address) => server.address = address,
            Err(_) => return Err(io::Error::other(server.end())),
        }
        server.wait_for_workers(pattern.places(count).unwrap_or(1));
        Ok(server)
    }

    /// Waits until its threads or processes have started. The first listener on a shared port would get all connections.
    fn wait_for_workers(&mut self, count: usize) {
        for _ in 0..MOST_CHECKS {
            if self.usage().threads as usize >= count || !self.is_running() {
                return;
            }
            thread::sleep(CHECK_INTERVAL);
        }
    }

    /// Whether its main process runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// What its processes use now.
    pub(super) fn usage(&self) -> Usage {
        Usage::read(self.process.id())
    }

    /// The proportional set size of its processes, in which a page that several processes share counts once.
    pub(super) fn pss_bytes(&self) -> Option<u64> {
        let mut machine = Machine::new(Some(self.process.id()));
        let server = machine.snapshot().server?;
        Some(server.pss_bytes.unwrap_or(server.rss_bytes))
    }

    /// Ends all its processes and returns the last line of its log.
    pub(super) fn end(mut self) -> String {
        self.kill();
        let mut log = String::new();
        if let Some(stderr) = self.stderr.take() {
            // What is not text is no reason that could be shown.
            let _ = stderr.take(LONGEST_LOG).read_to_string(&mut log);
        }
        let last = log.lines().rev().find(|line| !line.is_empty());
        let last = last.unwrap_or("it exited without a reason");
        last.trim_start_matches("echoloop: ").to_owned()
    }

    fn kill(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX));
        // Its id is that of no other process until it is waited for, and of no other group while this one has members.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.process.wait();
        let members = Pid::from_raw(-group.as_raw());
        while waitpid(members, None) != Err(Errno::ECHILD) {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
