//! Hot upgrades of the real executable over real sockets.

mod admin;
mod failures;
mod handover;
mod pid_one;
mod traces;
mod user_limits;

pub(crate) use failures::children_of;

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::{assert_reads, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, serve_arguments};
use crate::tools::run_within;

/// Writes a file in another process: a child that another test starts meanwhile would have it open for writing, and
/// then it could not be executed (`ETXTBSY`).
fn write_program(path: &Path, contents: &[u8], mode: u32) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat >\"$0\""]).arg(path);
    assert!(run_within(PATIENCE, shell, contents).status.success());
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Starts a daemon, and waits until it serves and has written its PID file.
fn launch(mut command: Command, pid_file: &Path, flags: &[&str]) -> Daemon {
    let pid_flags = ["--pid-file", pid_file.to_str().unwrap()];
    let arguments = [flags, &pid_flags].concat();
    command
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .args(serve_arguments(&["127.0.0.1:0"], &arguments));
    let daemon = Daemon::launch(command, 1);
    eventually(PATIENCE, "the PID file is written", || pid_file.exists());
    daemon
}

/// A daemon that runs from a copy of the executable, so that a test can replace it.
pub(crate) struct Upgradable {
    pub(crate) daemon: Daemon,
    directory: TempDir,
}

impl Upgradable {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, Stdio::null())
    }

    /// As [`start`](Self::start), with this standard output.
    fn start_with(flags: &[&str], stdout: Stdio) -> Self {
        Self::launch(flags, |path| {
            let mut command = Command::new(path);
            command.stdout(stdout);
            command
        })
    }

    /// As [`start`](Self::start); `command` returns the command for the executable at a path.
    fn start_as(flags: &[&str], command: impl FnOnce(PathBuf) -> Command) -> Self {
        Self::launch(flags, |path| {
            let mut command = command(path);
            command.stdout(Stdio::null());
            command
        })
    }

    fn launch(flags: &[&str], command: impl FnOnce(PathBuf) -> Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Another user may run the copy and write the files beside it.
        let everyone = Permissions::from_mode(0o777);
        fs::set_permissions(directory.path(), everyone).unwrap();
        for name in ["echoloop", "real"] {
            let mut copy = Command::new("cp");
            copy.arg(env!("CARGO_BIN_EXE_echoloop"));
            copy.arg(directory.path().join(name));
            assert!(run_within(PATIENCE, copy, b"").status.success());
        }
        let command = command(directory.path().join("echoloop"));
        let daemon = launch(command, &directory.path().join("pid"), flags);
        Self { daemon, directory }
    }

    /// Stops the daemon, and starts it again from another path.
    fn restart_from(&mut self, path: &Path) {
        self.daemon.signal(Signal::SIGTERM);
        self.daemon.wait_exit(PATIENCE);
        let mut command = Command::new(path);
        command.stdout(Stdio::null());
        self.daemon = launch(command, &self.path("pid"), &[]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the executable by renaming.
    fn install(&self, contents: &[u8], mode: u32) {
        let new = self.path("new");
        write_program(&new, contents, mode);
        fs::rename(new, self.path("echoloop")).unwrap();
    }

    /// Installs the script whose new processes behave as `mode` names.
    fn install_script(&self, mode: &str) {
        fs::write(self.path("mode"), mode).unwrap();
        self.install(include_bytes!("../scripts/new_process.py"), 0o755);
    }

    /// Runs `echoloop upgrade --wait`.
    pub(crate) fn upgrade(&self) -> Output {
        let mut command = echoloop();
        command.args(["upgrade", "--wait", "--pid-file"]);
        command.arg(self.path("pid"));
        run_within(2 * PATIENCE, command, b"")
    }

    /// The process that serves.
    pub(crate) fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.path("pid")).unwrap();
        text.trim().parse().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.daemon.address())
    }

    /// The log lines with this text.
    fn lines_with(&self, text: &str) -> Vec<String> {
        let mut lines = self.daemon.lines();
        lines.retain(|line| line.contains(text));
        lines
    }
}

impl Drop for Upgradable {
    fn drop(&mut self) {
        // The new process is not a child of this one. If there is none, the daemon ends itself.
        if let Ok(text) = fs::read_to_string(self.path("pid"))
            && let Ok(pid) = text.trim().parse()
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Sends a signal to a process that this test has started.
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

/// Clients of `line`, each in the middle of a line.
struct Clients(Vec<TcpStream>);

impl Clients {
    fn connect(server: &Upgradable, count: usize) -> Self {
        let begin = |_| {
            let mut stream = server.connect();
            stream.write_all(b"begin ").unwrap();
            stream
        };
        Self((0..count).map(begin).collect())
    }

    /// Each completes its line, reads the reply, and begins the next line.
    #[track_caller]
    fn finish_lines(&mut self) {
        for stream in &mut self.0 {
            stream.write_all(b"end\nbegin ").unwrap();
        }
        for stream in &mut self.0 {
            assert_reads(stream, b"ECHO begin end\n");
        }
    }
}
