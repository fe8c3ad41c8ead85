//! The servers that are compared: how they are built, started and ended.

pub(crate) mod against;
pub(crate) mod tokio;

pub(crate) use against::{Against, COLUMNS};

use crate::machine::on_core;
use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// The compared servers, in the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    Echoloop,
    /// The minimal epoll server in C.
    Baseline,
    /// tokio, one buffer per thread.
    TokioShared,
    /// tokio, 4 KiB per connection.
    TokioOwn,
    /// Go, a goroutine and 4 KiB per connection.
    Go,
}

/// The number of [`Rival`]s.
pub(crate) const RIVALS: usize = 5;

impl Rival {
    pub(crate) const ALL: [Rival; RIVALS] = [
        Rival::Echoloop,
        Rival::Baseline,
        Rival::TokioShared,
        Rival::TokioOwn,
        Rival::Go,
    ];

    /// Whether valgrind can run it; it does not support the stacks of Go programs.
    pub(crate) fn runs_in_valgrind(self) -> bool {
        self != Rival::Go
    }
}

/// The programs that the bench has built.
pub(crate) struct Programs {
    baseline: PathBuf,
    /// `None` where Go is not installed.
    go: Option<PathBuf>,
}

impl Programs {
    /// # Panics
    /// Without a C compiler, or when a program does not compile.
    pub(crate) fn build() -> Programs {
        Programs {
            baseline: build_baseline(),
            go: is_installed("go").then(build_go),
        }
    }

    /// The command that starts a rival on a free port of 127.0.0.1; `None` if it is not installed.
    pub(crate) fn command(&self, rival: Rival) -> Option<Command> {
        let with = |program: PathBuf, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        let own = || env::current_exe().unwrap();
        Some(match rival {
            Rival::Echoloop => with(echoloop(), &["serve", "--listen", "127.0.0.1:0"]),
            Rival::Baseline => with(self.baseline.clone(), &[]),
            Rival::TokioShared => with(own(), &["--tokio-shared-buffer"]),
            Rival::TokioOwn => with(own(), &["--tokio-own-buffer"]),
            Rival::Go => with(self.go.clone()?, &[]),
        })
    }
}

/// The daemon of this build, which `cargo bench` builds as a release.
pub(crate) fn echoloop() -> PathBuf {
    env!("CARGO_BIN_EXE_echoloop").into()
}

/// The program as users build it. That of `cargo bench` is larger: the dependencies of the tests turn on features of
/// dependencies of the program, such as the Unicode tables of regex-syntax.
pub(crate) fn build_for_users() -> PathBuf {
    let directory = build_directory().join("for-users");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--bin",
        "echoloop",
    ]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    run_compiler(cargo.arg("--target-dir").arg(&directory));
    directory.join("release/echoloop")
}

/// Whether a program is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let directories = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&directories).any(|directory| directory.join(program).is_file())
}

/// The directory of what the bench builds.
pub(crate) fn build_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn build_baseline() -> PathBuf {
    compile_c("rivals/epoll.c", "baseline-epoll", &[])
}

/// Compiles a C source of this bench.
pub(crate) fn compile_c(source: &str, name: &str, options: &[&str]) -> PathBuf {
    let source = format!("{}/benches/floor/{source}", env!("CARGO_MANIFEST_DIR"));
    let program = build_directory().join(name);
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror"]);
    run_compiler(compiler.args(options).arg("-o").arg(&program).arg(source));
    program
}

/// Compiles the Go server without network access, with a build cache in the target directory.
fn build_go() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor/rivals/echo.go");
    let program = build_directory().join("rival-go");
    let mut compiler = Command::new("go");
    let environment = [
        ("GO111MODULE", "off"),
        ("GOFLAGS", ""),
        ("GOPROXY", "off"),
        ("GOTOOLCHAIN", "local"),
        ("CGO_ENABLED", "0"),
    ];
    compiler.envs(environment);
    compiler.env("GOCACHE", build_directory().join("go-cache"));
    compiler.env("GOPATH", build_directory().join("go-path"));
    run_compiler(compiler.args(["build", "-o"]).arg(&program).arg(source));
    program
}

fn run_compiler(compiler: &mut Command) {
    let status = compiler.status();
    let built = status.is_ok_and(|status| status.success());
    assert!(built, "{compiler:?} failed");
}

/// A server that listens.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Kept open, so that writing to the log does not fail.
    _log: BufReader<ChildStderr>,
}

impl Server {
    /// Starts a program on a core, and waits until it reports the address it listens on.
    pub(crate) fn start(mut command: Command, core: Option<usize>) -> Server {
        command.stderr(Stdio::piped());
        // All threads of the process inherit the core from the first one.
        let mut child = on_core(core, || command.spawn().unwrap());
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

    /// Its proportional set size in bytes, less the pages of files (`proc_pid_smaps(5)`): those are shared with other
    /// processes, and do not depend on the number of connections.
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

    /// Ends the server with SIGTERM, so that callgrind writes its totals.
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

/// The address in the line that every server writes to stderr once it listens: `listening on ADDRESS (`.
fn address_from(log: &mut BufReader<ChildStderr>) -> Option<SocketAddr> {
    let lines = log.lines().map_while(Result::ok);
    let mut addresses = lines.filter_map(|line| {
        let (_, rest) = line.split_once("listening on ")?;
        rest.split(' ').next()?.parse().ok()
    });
    addresses.next()
}
