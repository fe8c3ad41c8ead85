//! How many connections a listener accepts before the loop serves the others again.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::client::connect;
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, serve_arguments};
use crate::idle::may_trace;
use crate::machine::{allow_descriptors, open_descriptors, somaxconn};
use crate::tools::skip;

/// What a listener accepts in one iteration of the loop.
const BUDGET: usize = 256;

/// Half of the connections are queued while the daemon is stopped; the others come while it accepts, which `strace` slows.
#[test]
fn a_listener_accepts_256_connections_an_iteration_at_most() {
    const CONNECTIONS: usize = 2000;
    if somaxconn() < CONNECTIONS {
        return skip(&format!("net.core.somaxconn is below {CONNECTIONS}"));
    }
    if !may_trace() || !allow_descriptors(CONNECTIONS as u64 + 500) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let traced = || fs::read_to_string(&trace).unwrap();
    let mut daemon = Daemon::launch(under_strace(&trace), 1);
    let own = open_descriptors(daemon.pid());
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
    eventually(PATIENCE, "all are accepted", || {
        open_descriptors(daemon.pid()) == own + CONNECTIONS
    });
    drop(clients);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
    eventually(PATIENCE, "strace has written all", || {
        traced().ends_with("+++ exited with 0 +++\n")
    });
    let counts: Vec<usize> = traced().split("epoll_wait(").map(accepted).collect();
    assert_eq!(counts.iter().sum::<usize>(), CONNECTIONS, "{counts:?}");
    // The queue holds more than the budget, so this is reached as well.
    let most = counts.iter().max();
    assert_eq!(most, Some(&BUDGET), "in one iteration, of {counts:?}");
}

/// The daemon under `strace`, which writes its waits and accepted connections to `trace`.
fn under_strace(trace: &Path) -> Command {
    let mut command = Command::new("strace");
    // -D: the tracer is a grandchild, so that the process started here is the daemon itself.
    command.args(["-D", "-f", "-e", "trace=accept4,epoll_wait", "-o"]);
    command.arg(trace).arg(echoloop().get_program());
    command
        .args(serve_arguments(&["127.0.0.1:0"], &[]))
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// How many connections these lines of `strace` show to be accepted.
fn accepted(lines: &str) -> usize {
    let calls = lines.lines().filter(|line| line.contains("accept4("));
    calls.filter(|line| !line.contains(" = -1 ")).count()
}
