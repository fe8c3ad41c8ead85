//! The accept budget of a listener: how many connections it accepts per iteration.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::client::connect;
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, serve_arguments};
use crate::machine::{allow_fds, open_fds, somaxconn};
use crate::syscalls::may_trace;
use crate::tools::skip;

/// The most connections that a listener accepts in one iteration.
const BUDGET: usize = 256;

/// Half of the connections are queued while the daemon is stopped; the others arrive while it accepts, which `strace`
/// slows down.
#[test]
fn listener_accepts_at_most_256_connections_per_iteration() {
    const CONNECTIONS: usize = 2000;
    if somaxconn() < CONNECTIONS {
        return skip(&format!("net.core.somaxconn is below {CONNECTIONS}"));
    }
    if !may_trace() || !allow_fds(CONNECTIONS as u64 + 500) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let traced = || fs::read_to_string(&trace).unwrap();
    let mut daemon = Daemon::launch(under_strace(&trace), 1);
    let own = open_fds(daemon.pid());
    daemon.signal(Signal::SIGSTOP);
    eventually(PATIENCE, "the daemon is stopped", || {
        traced().contains("--- stopped by SIGSTOP ---")
    });
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        if number == CONNECTIONS / 2 {
            daemon.resume();
        }
        clients.push(connect(daemon.address()));
    }
    eventually(PATIENCE, "all connections are accepted", || {
        open_fds(daemon.pid()) == own + CONNECTIONS
    });
    drop(clients);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
    eventually(PATIENCE, "strace has written its last line", || {
        traced().ends_with("+++ exited with 0 +++\n")
    });
    let counts: Vec<usize> = traced().split("epoll_wait(").map(accepted).collect();
    assert_eq!(counts.iter().sum::<usize>(), CONNECTIONS, "{counts:?}");
    // The queue holds more than the budget, so the budget is used up at least once.
    let most = counts.iter().max();
    assert_eq!(
        most,
        Some(&BUDGET),
        "most connections per iteration, of {counts:?}"
    );
}

/// The daemon under `strace`, which writes the calls of `accept4` and `epoll_wait` to `trace`.
fn under_strace(trace: &Path) -> Command {
    let mut command = Command::new("strace");
    // -D: the tracer is a grandchild, so that the child process is the daemon.
    command.args(["-D", "-f", "-e", "trace=accept4,epoll_wait", "-o"]);
    command.arg(trace).arg(echoloop().get_program());
    command
        .args(serve_arguments(&["127.0.0.1:0"], &[]))
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The number of successful `accept4` calls in these lines of `strace`.
fn accepted(lines: &str) -> usize {
    let calls = lines.lines().filter(|line| line.contains("accept4("));
    calls.filter(|line| !line.contains(" = -1 ")).count()
}
