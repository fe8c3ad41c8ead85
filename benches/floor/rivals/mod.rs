//! The servers that are compared: the daemon, the floor and tokio; how they are built, started and ended.

pub(crate) mod tokio;

use crate::machine::pin;
use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// Who is compared, in the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    Echoloop,
    Floor,
    Tokio,
}

impl Rival {
    pub(crate) const ALL: [Rival; 3] = [Rival::Echoloop, Rival::Floor, Rival::Tokio];

    /// The program and what it is told, to listen on a port of its own.
    pub(crate) fn program(self, floor: &Path) -> (PathBuf, Vec<String>) {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        match self {
            Rival::Echoloop => (echoloop(), words(&["serve", "--listen", "127.0.0.1:0"])),
            Rival::Floor => (floor.into(), Vec::new()),
            Rival::Tokio => (env::current_exe().unwrap(), words(&["--tokio"])),
        }
    }
}

/// The daemon of this build, which `cargo bench` builds as a release.
pub(crate) fn echoloop() -> PathBuf {
    env!("CARGO_BIN_EXE_echoloop").into()
}

/// Compiles the floor.
///
/// # Panics
/// Without a C compiler there is nothing to compare with.
pub(crate) fn build_floor() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor/rivals/epoll.c");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("floor-epoll");
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    let built = status.is_ok_and(|status| status.success());
    assert!(
        built,
        "the floor needs a C compiler: cc -O2 {source} failed"
    );
    program
}

/// A server that listens.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Held open, so that what it logs goes nowhere, but does not fail.
    _log: BufReader<ChildStderr>,
}

impl Server {
    /// Starts a program on a core, and waits until it says that it listens.
    pub(crate) fn start(mut command: Command, core: Option<usize>) -> Server {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        if let Some(core) = core {
            pin(child.id(), core);
        }
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let Some(address) = address_from(&mut log) else {
            let status = child.wait().unwrap();
            panic!("{command:?} did not start: {status}");
        };
        Server {
            child,
            address,
            _log: log,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its proportional set size in bytes, less the pages of files (`proc_pid_smaps(5)`): those are shared with whoever
    /// else runs at the time, and do not depend on connections.
    pub(crate) fn pss_anon(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("Pss_Anon:"))
            .unwrap();
        let kibibytes = line.split_whitespace().nth(1).unwrap();
        1024 * kibibytes.parse::<u64>().unwrap()
    }

    /// Ends it with SIGTERM, as who measures the whole life of a process must.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        use nix::sys::signal::{Signal, kill};
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a server listens, by what all of them say on stderr when they are ready: `listening on ADDRESS (`.
fn address_from(log: &mut BufReader<ChildStderr>) -> Option<SocketAddr> {
    let lines = log.lines().map_while(Result::ok);
    let mut addresses = lines.filter_map(|line| {
        let (_, rest) = line.split_once("listening on ")?;
        rest.split(' ').next()?.parse().ok()
    });
    addresses.next()
}
