//! The daemon under test: starts it, reads its log, sends it signals, waits for its exit and kills it at the end.
//!
//! Input: the arguments of `echoloop serve`. Output: its addresses, its log lines and its exit code.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::machine;
pub(crate) use crate::tools::PATIENCE;

/// Polls `condition` until it is true and returns the time that took; panics with `what` after `within`.
#[track_caller]
pub(crate) fn eventually(
    within: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

/// The executable under test, without the environment variables that configure it.
pub(crate) fn echoloop() -> Command {
    with_clean_environment(Command::new(env!("CARGO_BIN_EXE_echoloop")))
}

/// A shell that runs `script`, in which `exec "$0" "$@"` starts the daemon with these arguments.
pub(crate) fn in_shell(script: &str, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_echoloop")])
        .args(arguments);
    with_clean_environment(shell)
}

fn with_clean_environment(mut command: Command) -> Command {
    command
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// `serve`, one `--listen` for each listener, then `extra`.
pub(crate) fn serve_arguments<'a>(listeners: &[&'a str], extra: &[&'a str]) -> Vec<&'a str> {
    let listen = listeners
        .iter()
        .flat_map(|listener| ["--listen", *listener]);
    ["serve"]
        .into_iter()
        .chain(listen)
        .chain(extra.iter().copied())
        .collect()
}

/// A running `echoloop serve`. Invariant: only this value reaps the process, so the id is not reused before.
pub(crate) struct Daemon {
    child: Child,
    addresses: Vec<SocketAddr>,
    lines: Arc<Mutex<Vec<String>>>,
    drain: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts a daemon on one IPv4 loopback port that the kernel picks.
    pub(crate) fn start(extra: &[&str]) -> Self {
        Self::listening_on(&["127.0.0.1:0"], extra)
    }

    pub(crate) fn listening_on(listeners: &[&str], extra: &[&str]) -> Self {
        let mut command = echoloop();
        command.args(serve_arguments(listeners, extra));
        Self::launch(command, listeners.len())
    }

    /// Runs `command`, which is or becomes the daemon, and waits until its log shows `listeners` listeners.
    pub(crate) fn launch(command: Command, listeners: usize) -> Self {
        let mut daemon = Self::spawn(command);
        eventually(
            PATIENCE,
            "a line `listening on ADDRESS (..)` for each listener",
            || {
                let lines = daemon.lines();
                daemon.addresses = lines
                    .iter()
                    .filter_map(|line| listening_address(line))
                    .collect();
                let exited = daemon.child.try_wait().unwrap();
                assert!(
                    exited.is_none(),
                    "the daemon exited during startup, {exited:?}: {lines:#?}"
                );
                daemon.addresses.len() >= listeners
            },
        );
        daemon
    }

    /// Starts a daemon on a loopback port that was free just before, if its log does not show its address.
    ///
    /// No other test listens on this address, so only an unrelated process can take the port meanwhile.
    pub(crate) fn on_free_port(command: impl Fn(&str) -> Command) -> Self {
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.77:0")
                .unwrap()
                .local_addr()
                .unwrap();
            let mut daemon = Self::spawn(command(&address.to_string()));
            daemon.addresses = vec![address];
            let mut connected = false;
            eventually(PATIENCE, "the daemon accepts a connection or exits", || {
                connected = TcpStream::connect(address).is_ok();
                connected || !daemon.is_running()
            });
            if connected && daemon.is_running() {
                return daemon;
            }
        }
        panic!("the daemon did not start on any of five free ports");
    }

    /// A daemon whose standard error the test reads itself; [`Daemon::lines`] is empty.
    pub(crate) fn from_child(child: Child, address: SocketAddr) -> Self {
        Self {
            child,
            addresses: vec![address],
            lines: Arc::default(),
            drain: None,
        }
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the executable starts");
        let lines = Arc::default();
        let stderr = child.stderr.take().unwrap();
        // Room for a complete log: on a loaded machine, its reader may be late.
        let _ = fcntl(&stderr, FcntlArg::F_SETPIPE_SZ(1 << 20));
        let drain = Some(thread::spawn({
            let lines = Arc::clone(&lines);
            move || collect_lines(stderr, &lines)
        }));
        Self {
            child,
            addresses: Vec::new(),
            lines,
            drain,
        }
    }

    /// The first listener's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All lines logged so far; invalid UTF-8 is replaced by U+FFFD.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a log line that satisfies `fits` and returns the first one.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut found = None;
        eventually(PATIENCE, &format!("a log line: {what}"), || {
            found = self.lines().into_iter().find(|line| fits(line));
            found.is_some()
        });
        found.unwrap()
    }

    /// The serial number of the connection from `client` in the log; needs `-v`.
    #[track_caller]
    pub(crate) fn serial_of(&self, client: SocketAddr) -> u64 {
        let opened = format!(" open {client}");
        let line = self.wait_for_line(&format!("`#N{opened}`"), |line| line.ends_with(&opened));
        let before = line.strip_suffix(&opened).unwrap();
        let (_, serial) = before
            .rsplit_once('#')
            .expect("` open` follows `#` and a serial number");
        serial.parse().expect("a serial number is a number")
    }

    /// Waits for the log line `#N closed: ..` and returns its text after the colon; needs `-v`.
    #[track_caller]
    pub(crate) fn close_summary(&self, serial: u64) -> String {
        let closed = format!("#{serial} closed: ");
        let line = self.wait_for_line(&format!("`{closed}..`"), |line| line.contains(&closed));
        line.split_once(&closed).unwrap().1.to_owned()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        assert!(
            self.is_running(),
            "the daemon exited before {signal} was sent"
        );
        let pid = i32::try_from(self.pid()).expect("a process id is positive and small");
        kill(Pid::from_raw(pid), signal).expect("a process may send signals to its child");
    }

    /// Stops the daemon, so that after `resume` it finds all input at once that clients sent during the stop.
    pub(crate) fn pause(&mut self) {
        self.signal(Signal::SIGSTOP);
        eventually(PATIENCE, "the daemon is stopped", || {
            machine::state(self.pid()) == 'T'
        });
    }

    pub(crate) fn resume(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    /// As [`wait_exit`](Self::wait_exit), but the log may not be complete: a new process still writes to it.
    #[track_caller]
    pub(crate) fn wait_exit_of_old(&mut self, within: Duration) -> Option<i32> {
        eventually(within, "the old process exits", || !self.is_running());
        self.child.try_wait().unwrap()?.code()
    }

    /// Waits for the exit and returns the code; `None` if a signal killed the daemon. Then the log is complete.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self, within: Duration) -> Option<i32> {
        let mut status = None;
        eventually(within, "the daemon exits", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if let Some(drain) = self.drain.take() {
            drain.join().unwrap();
        }
        status.unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only if the process has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let lines = self.lines();
            let tail = &lines[lines.len().saturating_sub(20)..];
            eprintln!("the last lines of the daemon's log: {tail:#?}");
        }
    }
}

fn collect_lines(stderr: impl Read, lines: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        lines
            .lock()
            .unwrap()
            .push(String::from_utf8_lossy(&line).into_owned());
    }
}

/// The address in a line `.. listening on ADDRESS (raw, backlog N)`.
pub(crate) fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split(' ').next()?.parse().ok()
}
