//! What costs nothing, and what costs exactly two system calls.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::client::{assert_echo, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, serve_arguments};
use crate::machine::{allow_descriptors, cpu_time, state, times_asleep};
use crate::tools::{have_tool, lacking};

fn wait_until_asleep(daemon: &Daemon) {
    eventually(PATIENCE, "the daemon sleeps", || state(daemon.pid()) == 'S');
}

/// A process that sleeps is not woken by what else goes on in the machine, and nobody else knows its
/// port; so there is nothing from outside to allow for, and one observation is enough.
#[test]
fn a_thousand_idle_connections_do_not_wake_the_daemon_once_in_three_seconds() {
    if !allow_descriptors(2_000) {
        return;
    }
    let daemon = Daemon::start(&[]);
    let mut idle: Vec<TcpStream> = (0..1_000).map(|_| connect(daemon.address())).collect();
    for stream in &mut idle {
        assert_echo(stream, b"accepted");
    }
    wait_until_asleep(&daemon);
    let before = times_asleep(daemon.pid());
    // Time passing is what is observed here.
    thread::sleep(Duration::from_secs(3));
    let woken = times_asleep(daemon.pid()) - before;
    assert_eq!(
        woken, 0,
        "times that the daemon woke although nobody wanted anything"
    );
    for stream in &mut idle {
        assert_echo(stream, b"still there");
    }
}

#[test]
fn spinning_ends_and_the_daemon_sleeps() {
    let daemon = Daemon::start(&["--spin", "10ms"]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"wakes it");
    wait_until_asleep(&daemon);
    let (before, used) = (times_asleep(daemon.pid()), cpu_time(daemon.pid()));
    // Time passing is what is observed here.
    thread::sleep(Duration::from_millis(500));
    let (woken, used) = (
        times_asleep(daemon.pid()) - before,
        cpu_time(daemon.pid()).saturating_sub(used),
    );
    assert_eq!(
        woken, 0,
        "times that the daemon woke although nobody wanted anything"
    );
    assert!(
        used < Duration::from_millis(100),
        "{used:?} of processor time while asleep"
    );
}

/// How often each system call was made by a daemon that answered so many messages, by `strace -c`.
struct SystemCalls(String);

impl SystemCalls {
    fn of_answering(messages: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let summary = folder.path().join("summary");
        let mut command = echoloop();
        // -D: the tracer is a grandchild, so that the process started here is the daemon itself.
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-c", "-o"]).arg(&summary);
        strace
            .arg(command.get_program())
            .args(serve_arguments(&["127.0.0.1:0"], &[]));
        command = strace;
        command
            .env_remove("ECHOLOOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut daemon = Daemon::launch(command, 1);
        let mut stream = connect(daemon.address());
        for _ in 0..messages {
            // Tracing slows the daemon so much that the next message could be there while it still
            // looks for more; a `recv` in vain would then find it, and not be seen to be in vain.
            wait_until_asleep(&daemon);
            assert_echo(&mut stream, b"a message that fits into one segment");
        }
        drop(stream);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(
            daemon.wait_exit(PATIENCE),
            Some(0),
            "exit code under strace"
        );
        let mut text = String::new();
        eventually(PATIENCE, "strace has written its summary", || {
            text = fs::read_to_string(&summary).unwrap_or_default();
            text.ends_with(" total\n")
        });
        Self(text)
    }

    /// The fourth column counts, the last one names.
    fn count(&self, name: &str) -> usize {
        let mut rows = self
            .0
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|columns| columns.last() == Some(&name));
        row.map_or(0, |columns| columns[3].parse().unwrap())
    }
}

/// True if strace is there and may trace. If not: as [`have_tool`].
#[track_caller]
pub(crate) fn may_trace() -> bool {
    let mut trace = Command::new("strace");
    trace.args(["-o", "/dev/null", "true"]);
    let traces = |mut trace: Command| trace.status().unwrap().success();
    have_tool("strace") && (traces(trace) || lacking("strace may not trace here"))
}

#[test]
fn a_caught_up_message_costs_one_recv_and_one_send_and_nothing_else_but_the_wait() {
    const MESSAGES: usize = 500;
    if !may_trace() {
        return;
    }
    let calls = SystemCalls::of_answering(MESSAGES);
    // A few more for the end of the connection.
    let few = MESSAGES..=MESSAGES + 5;
    for name in ["recvfrom", "sendto"] {
        let count = calls.count(name);
        assert!(
            few.contains(&count),
            "{count} calls of {name} for {MESSAGES} messages: {}",
            calls.0
        );
    }
    for name in [
        "epoll_ctl",
        "read",
        "readv",
        "recvmsg",
        "write",
        "writev",
        "sendmsg",
        "ioctl",
    ] {
        let count = calls.count(name);
        assert!(
            count < MESSAGES / 5,
            "{count} calls of {name} for {MESSAGES} messages: {}",
            calls.0
        );
    }
    let waits =
        calls.count("epoll_wait") + calls.count("epoll_pwait") + calls.count("epoll_pwait2");
    assert!(
        waits <= MESSAGES + 20,
        "{waits} waits for {MESSAGES} messages: {}",
        calls.0
    );
}
