//! A daemon that is upgraded: started from a copy of the executable, which a part may replace.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest wait for a line of the log.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon. Dropping it ends the process that serves.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The first process. All later ones are its descendants.
    first: Child,
    directory: TempDir,
    log: Receiver<String>,
}

/// The program of this build.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_echoloop"))
}

impl Server {
    /// Starts a daemon of this build with these flags on a free port.
    pub(crate) fn start(flags: &[&str]) -> Server {
        Server::start_from(program(), flags)
    }

    /// Starts a daemon from a copy of the executable at `path`.
    pub(crate) fn start_from(path: &Path, flags: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("echoloop");
        fs::copy(path, &copy).unwrap();
        let mut first = Command::new(copy)
            .args(["serve", "--listen", "127.0.0.1:0", "--pid-file"])
            .arg(directory.path().join("pid"))
            .args(flags)
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(first.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        // All processes write to the same pipe, so this ends after the last.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let line = wait_for_line(&log, "listening on ");
        let (_, rest) = line.split_once("listening on ").unwrap();
        let address = rest.split(' ').next().unwrap().parse().unwrap();
        let server = Server {
            address,
            first,
            directory,
            log,
        };
        wait_until("the PID file is written", || server.path("pid").exists());
        server
    }

    /// A path beside the executable.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the executable by renaming.
    pub(crate) fn install(&self, contents: &[u8]) {
        let new = self.path("new");
        fs::write(&new, contents).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path("echoloop")).unwrap();
    }

    /// Runs `echoloop upgrade --wait`; the error is its message.
    pub(crate) fn upgrade(&mut self) -> Result<(), String> {
        let mut command = Command::new(program());
        command.args(["upgrade", "--wait", "--pid-file"]);
        let output = command.arg(self.path("pid")).output().unwrap();
        // Once it has exited, this removes the first process from the process table.
        let _ = self.first.try_wait();
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// The process that serves.
    pub(crate) fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.path("pid")).unwrap();
        text.trim().parse().unwrap()
    }

    /// Waits until the process that serves is asleep, has no events, and the previous process has exited.
    pub(crate) fn wait_until_at_rest(&mut self) {
        let first = self.first.id();
        if first != self.pid() {
            self.first.wait().unwrap();
        }
        let mut before = 0;
        wait_until("the daemon is at rest", || {
            thread::sleep(Duration::from_millis(50));
            let status = self.status();
            let switches = number(&status, "voluntary_ctxt_switches:");
            let is_at_rest = status.contains("State:\tS") && switches == before;
            before = switches;
            is_at_rest
        });
    }

    fn status(&self) -> String {
        fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap()
    }

    /// Anonymous resident memory in bytes (`RssAnon`): pages of the program's file do not count.
    pub(crate) fn memory(&self) -> i64 {
        1024 * number(&self.status(), "RssAnon:")
    }

    /// The number of open file descriptors.
    pub(crate) fn open_fds(&self) -> usize {
        let listing = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        listing.unwrap().count()
    }

    /// The numbers of the file descriptors that a started program would inherit.
    pub(crate) fn inheritable_fds(&self) -> Vec<String> {
        const CLOEXEC: u32 = 0o2_000_000;
        let mut inheritable = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", self.pid())).unwrap() {
            let entry = entry.unwrap();
            let info = fs::read_to_string(entry.path()).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
            if flags & CLOEXEC == 0 {
                inheritable.push(entry.file_name().into_string().unwrap());
            }
        }
        inheritable.sort();
        inheritable
    }

    /// The number of child processes, zombies included.
    pub(crate) fn children(&self) -> usize {
        let pid = self.pid();
        let parent_of = |path: PathBuf| {
            let stat = fs::read_to_string(path.join("stat")).ok()?;
            // The name is in parentheses and may contain spaces. The parent is field 4.
            let (_, fields) = stat.rsplit_once(") ")?;
            fields.split(' ').nth(1)?.parse::<u32>().ok()
        };
        let processes = fs::read_dir("/proc").unwrap();
        let parents = processes.filter_map(|entry| parent_of(entry.unwrap().path()));
        parents.filter(|parent| *parent == pid).count()
    }

    /// Sends SIGTERM, and waits for the last line of the log, which has the totals.
    pub(crate) fn stop(self) -> String {
        signal(self.pid(), Signal::SIGTERM);
        wait_for_line(&self.log, "drained in")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(text) = fs::read_to_string(self.path("pid"))
            && let Ok(pid) = text.trim().parse()
        {
            signal(pid, Signal::SIGKILL);
        }
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

fn wait_for_line(log: &Receiver<String>, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match log.recv_timeout(left) {
            Ok(line) if line.contains(text) => return line,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => panic!("no line with {text:?} in the log"),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the daemon has ended without a line with {text:?}")
            }
        }
    }
}

/// Waits for a condition, for at most a minute.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal to a process that this bench has started.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
}

/// A number in /proc/PID/status.
fn number(status: &str, name: &str) -> i64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}
