//! The child processes of `--jobs`: starts them, reads their lines, and ends them.

use super::Message;
use crate::cli::Failure;
use crate::json;
use crate::net::{MioNet, Net};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// What happened; children are numbered from 0.
#[derive(Debug)]
pub(super) enum Event {
    /// A child has written a line to stdout.
    Message(usize, Message),
    /// A child has written a line to stderr.
    Log(usize, String),
    /// A child has closed stdout, and will send no more: it has exited, or its output is not readable.
    Closed(usize),
    /// SIGINT, SIGTERM or SIGHUP has arrived.
    Signal,
}

/// The running children. Dropping them kills those that have not exited.
pub(super) struct Processes {
    all: Vec<Process>,
    pub(super) events: Receiver<Event>,
}

struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    has_exited: bool,
}

impl Processes {
    /// Starts `count` children for this server, with these further arguments.
    pub(super) fn start(
        count: u32,
        target: SocketAddr,
        further: &[String],
    ) -> Result<Processes, Failure> {
        let (sender, events) = channel();
        let cannot = |error| Failure::new("cannot start the processes", error, "lower --jobs");
        watch_signals(sender.clone()).map_err(cannot)?;
        let mut processes = Processes {
            all: Vec::new(),
            events,
        };
        for index in 0..count {
            let share = format!("{}/{count}", index + 1);
            let arguments = arguments(std::env::args_os().skip(1), &share, target, further);
            let process = Process::start(arguments, &sender, processes.all.len());
            processes.all.push(process.map_err(cannot)?);
        }
        Ok(processes)
    }

    /// The number of children.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn pid(&self, index: usize) -> u32 {
        self.all[index].child.id()
    }

    /// Writes a line to all children. A child that has exited is reported as closed.
    pub(super) fn write(&mut self, line: &str) {
        for stdin in self.all.iter_mut().filter_map(|one| one.stdin.as_mut()) {
            let _ = stdin.write_all(line.as_bytes());
        }
    }

    /// Sends SIGTERM to a child.
    pub(super) fn interrupt(&self, index: usize) {
        let process = &self.all[index];
        if !process.has_exited {
            let pid = i32::try_from(process.child.id()).unwrap_or(i32::MAX);
            // The process is not waited for yet, so its id cannot be reused.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Waits for the exit of a child that has closed its stdout.
    pub(super) fn wait(&mut self, index: usize) -> io::Result<ExitStatus> {
        let process = &mut self.all[index];
        let status = process.child.wait()?;
        process.has_exited = true;
        Ok(status)
    }

    /// Has all children close their connections, and waits for their exit.
    pub(super) fn finish(&mut self) {
        for process in &mut self.all {
            process.stdin = None;
        }
        for index in 0..self.all.len() {
            let _ = self.wait(index);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in self.all.iter_mut().filter(|process| !process.has_exited) {
            let _ = process.child.kill();
        }
        for process in self.all.iter_mut().filter(|process| !process.has_exited) {
            let _ = process.child.wait();
        }
    }
}

impl Process {
    fn start(
        arguments: Vec<OsString>,
        sender: &Sender<Event>,
        index: usize,
    ) -> io::Result<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C signals the parent only, which passes it on.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let process = Process {
            child,
            stdin,
            has_exited: false,
        };
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            let logs = sender.clone();
            let stderr = thread::Builder::new().spawn(move || read_log(index, stderr, &logs))?;
            let sender = sender.clone();
            thread::Builder::new().spawn(move || {
                read_messages(index, stdout, &sender);
                // After the last log line, which may be the reason.
                let _ = stderr.join();
                let _ = sender.send(Event::Closed(index));
            })?;
        }
        Ok(process)
    }
}

/// The command line of a child: that of this process, and which share to run.
fn arguments(
    own: impl Iterator<Item = OsString>,
    share: &str,
    target: SocketAddr,
    further: &[String],
) -> Vec<OsString> {
    let mut all: Vec<OsString> = own.collect();
    let subcommand = all.iter().position(|word| word == "load");
    let at = subcommand.map_or(all.len(), |at| at + 1);
    let target = target.to_string();
    let added = ["--job", share, "--job-target", &target];
    let further = further.iter().map(String::as_str);
    all.splice(at..at, added.into_iter().chain(further).map(OsString::from));
    all
}

fn read_messages(index: usize, stdout: impl Read, sender: &Sender<Event>) {
    for line in BufReader::new(stdout).lines() {
        let message = line.ok().and_then(|line| json::parse(line.as_bytes()).ok());
        let Some(message) = message else {
            return;
        };
        if sender.send(Event::Message(index, message)).is_err() {
            return;
        }
    }
}

fn read_log(index: usize, stderr: impl Read, sender: &Sender<Event>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let _ = sender.send(Event::Log(index, line));
    }
}

/// Sends an event for each signal that requests the end.
fn watch_signals(sender: Sender<Event>) -> io::Result<()> {
    let mut net = MioNet::with_signals()?;
    let wait_for_signals = move || {
        let mut ready = Vec::new();
        while net.wait(None, &mut ready).is_ok() {
            while net.take_signal().is_some() {
                if sender.send(Event::Signal).is_err() {
                    return;
                }
            }
        }
    };
    thread::Builder::new().spawn(wait_for_signals).map(drop)
}

/// How a process ended, in words.
pub(super) fn describe(status: &io::Result<ExitStatus>) -> String {
    let Ok(status) = status else {
        return "it cannot be waited for".to_owned();
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
            format!("it was killed by signal {signal} ({name})")
        }
        (None, Some(code)) => format!("it exited with code {code}"),
        (None, None) => "it has exited".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_a_child_follow_the_subcommand() {
        let own = ["-v", "load", "--idle", "5", "--", ":8000"];
        let target = "127.0.0.1:8000".parse().unwrap();
        let all = arguments(own.into_iter().map(OsString::from), "2/3", target, &[]);
        let expected = "-v load --job 2/3 --job-target 127.0.0.1:8000 --idle 5 -- :8000";
        assert_eq!(all.join(&OsString::from(" ")), expected);
    }

    #[test]
    fn end_of_a_process_is_described() {
        let killed = ExitStatus::from_raw(9);
        assert_eq!(describe(&Ok(killed)), "it was killed by signal 9 (SIGKILL)");
        let failed = ExitStatus::from_raw(1 << 8);
        assert_eq!(describe(&Ok(failed)), "it exited with code 1");
    }
}
