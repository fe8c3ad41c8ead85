//! Idle connections cause no wake-up; an echo costs one `recv` and one `send`.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::client::{assert_echo, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, serve_arguments};
use crate::machine::{allow_fds, cpu_time, state, voluntary_switches};
use crate::tools::{have_tool, lacking};

/// Returns the voluntary context switches of the sleeping daemon: the kernel counts the last a moment after the state.
fn wait_until_asleep(daemon: &Daemon) -> usize {
    let mut before = None;
    eventually(PATIENCE, "the daemon sleeps", || {
        let switches = (state(daemon.pid()) == 'S').then(|| voluntary_switches(daemon.pid()));
        let is_same = switches.is_some() && switches == before;
        before = switches;
        is_same
    });
    before.unwrap()
}

/// Other load on the machine does not wake a sleeping process, and no other process uses its port: the count is exact.
#[test]
fn idle_1_000_connections_cause_no_wake_up_in_3_s() {
    if !allow_fds(2_000) {
        return;
    }
    let daemon = Daemon::start(&[]);
    let mut idle: Vec<TcpStream> = (0..1_000).map(|_| connect(daemon.address())).collect();
    for stream in &mut idle {
        assert_echo(stream, b"accepted");
    }
    let before = wait_until_asleep(&daemon);
    // The wake-ups in this period are counted.
    thread::sleep(Duration::from_secs(3));
    let wake_ups = voluntary_switches(daemon.pid()) - before;
    assert_eq!(wake_ups, 0, "wake-ups without an event");
    for stream in &mut idle {
        assert_echo(stream, b"still open");
    }
}

#[test]
fn spin_ends_and_the_daemon_sleeps() {
    let daemon = Daemon::start(&["--spin", "10ms"]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"wake-up");
    let (before, used) = (wait_until_asleep(&daemon), cpu_time(daemon.pid()));
    // The wake-ups in this period are counted.
    thread::sleep(Duration::from_millis(500));
    let (wake_ups, used) = (
        voluntary_switches(daemon.pid()) - before,
        cpu_time(daemon.pid()).saturating_sub(used),
    );
    assert_eq!(wake_ups, 0, "wake-ups without an event");
    assert!(
        used < Duration::from_millis(100),
        "{used:?} of CPU time while asleep"
    );
}

/// The table of `strace -c`: how often the daemon made each system call.
struct SystemCalls(String);

impl SystemCalls {
    fn of_echoes(messages: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let summary = folder.path().join("summary");
        let mut command = echoloop();
        // -D: the tracer is a grandchild, so that the child process is the daemon.
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
            // Tracing slows the daemon: an unneeded second `recv` could already return the next message
            // instead of EAGAIN, and would not be counted. So the next message waits until it sleeps.
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

    /// The fourth column is the count, the last one the name.
    fn count(&self, name: &str) -> usize {
        let mut rows = self
            .0
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|columns| columns.last() == Some(&name));
        row.map_or(0, |columns| columns[3].parse().unwrap())
    }
}

/// Whether strace is installed and permitted to trace. If not: as [`have_tool`].
#[track_caller]
pub(crate) fn may_trace() -> bool {
    let mut trace = Command::new("strace");
    trace.args(["-o", "/dev/null", "true"]);
    let traces = |mut trace: Command| trace.status().unwrap().success();
    have_tool("strace") && (traces(trace) || lacking("strace may not trace here"))
}

#[test]
fn message_costs_one_recv_one_send_and_one_wait() {
    const MESSAGES: usize = 500;
    if !may_trace() {
        return;
    }
    let calls = SystemCalls::of_echoes(MESSAGES);
    // A few more to close the connection.
    let expected = MESSAGES..=MESSAGES + 5;
    for name in ["recvfrom", "sendto"] {
        let count = calls.count(name);
        assert!(
            expected.contains(&count),
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
