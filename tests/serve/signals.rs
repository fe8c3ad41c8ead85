//! SIGTERM and SIGINT: each starts a drain, SIGHUP does not; a signal that was inherited as ignored stays ignored. A
//! second SIGTERM or SIGINT ends the drain, except within 500 ms of the first signal: then both count as one request.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::client::{
    BulkSender, assert_echo, assert_refused_soon, assert_reset, connect, connect_with_buffers,
    read_to_fin,
};
use crate::harness::{Daemon, PATIENCE, eventually, in_shell, serve_arguments};
use crate::machine::{TcpTable, allow_fds, ignores};
use crate::tools::have_tool;

/// Waits until the drain has started and a second signal counts as a second request.
pub(crate) fn wait_for_second_request(daemon: &Daemon) {
    assert_refused_soon(daemon.address());
    let drained_since = Instant::now();
    eventually(PATIENCE, "500 ms since the first signal", || {
        drained_since.elapsed() > Duration::from_millis(550)
    });
}

fn assert_exits_0_on(signal: Signal) {
    let mut daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"accepted");
    daemon.signal(signal);
    assert_eq!(
        read_to_fin(&mut stream),
        b"",
        "bytes received before the FIN"
    );
    drop(stream);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after {signal}"
    );
}

#[test]
fn sigterm_drains_and_exits_0() {
    assert_exits_0_on(SIGTERM);
}

#[test]
fn sigint_drains_and_exits_0() {
    assert_exits_0_on(SIGINT);
}

fn wait_for_sighup(daemon: &Daemon) {
    daemon.wait_for_line("the signal", |line| {
        line.contains("SIGHUP: there is nothing to reload")
    });
}

/// Twice: the first is not the begin of a drain that the second would end.
#[test]
fn sighup_without_certificates_is_logged_and_changes_nothing() {
    let mut daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    for count in 1..=2 {
        daemon.signal(SIGHUP);
        eventually(PATIENCE, "a line for each signal", || {
            let lines = daemon.lines();
            let reloads = lines.iter().filter(|line| line.contains("SIGHUP: "));
            reloads.count() == count
        });
        assert_echo(&mut stream, b"before and after");
        assert_echo(&mut connect(daemon.address()), b"new");
    }
    daemon.signal(SIGTERM);
    assert_eq!(read_to_fin(&mut stream), b"");
    drop(stream);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

#[test]
fn sigterm_without_clients_exits_at_once() {
    let mut daemon = Daemon::start(&[]);
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after SIGTERM"
    );
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "the exit without clients took {took:?}"
    );
}

/// More clients than are accepted in the iteration that handles the signal.
#[test]
fn clients_in_the_accept_queue_at_sigterm_are_not_reset() {
    if !allow_fds(2_000) {
        return;
    }
    let mut daemon = Daemon::start(&[]);
    daemon.pause();
    let mut streams: Vec<TcpStream> = (0..1_000).map(|_| connect(daemon.address())).collect();
    for stream in &mut streams {
        stream.write_all(b"just in time").unwrap();
    }
    daemon.signal(SIGTERM);
    daemon.resume();
    for stream in &mut streams {
        let received = read_to_fin(stream).escape_ascii().to_string();
        let fine = received == "just in time" || received.is_empty();
        assert!(fine, "neither the echo nor only FIN: {received}");
    }
    drop(streams);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn second_sigterm_exits_at_once_with_code_1() {
    let mut daemon = Daemon::start(&["--drain-timeout", "30s", "--socket-buffer", "16KiB"]);
    let sender = BulkSender::with_pending_output(&daemon);
    daemon.signal(SIGTERM);
    wait_for_second_request(&daemon);
    assert!(daemon.is_running(), "the daemon exited with pending output");
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(1),
        "exit code after a second signal"
    );
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "the exit after a second signal took {took:?}"
    );
    drop(sender);
}

/// FIN would mean that the echo is complete.
#[test]
fn second_sigterm_resets_a_client_with_pending_output() {
    let arguments = ["-v", "--drain-timeout", "30s", "--socket-buffer", "16KiB"];
    let mut daemon = Daemon::start(&[&arguments[..], &["--max-pending", "4MiB"]].concat());
    let mut stream = connect_with_buffers(daemon.address(), 16 * 1024);
    stream.write_all(&vec![7; 1_000_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // The daemon has read everything, so unread input cannot be the reason for RST.
    let (here, there) = (stream.local_addr().unwrap(), daemon.address());
    eventually(PATIENCE, "the daemon has read everything", || {
        let table = TcpTable::read();
        table.socket(here, there).unacknowledged + table.socket(there, here).unread == 0
    });
    daemon.signal(SIGTERM);
    wait_for_second_request(&daemon);
    daemon.signal(SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(1));
    assert!(daemon.close_summary(1).starts_with("drain expired, "));
    assert_reset(stream);
}

#[test]
fn sigint_after_sigterm_is_a_second_signal() {
    let mut daemon = Daemon::start(&["--drain-timeout", "30s", "--socket-buffer", "16KiB"]);
    let sender = BulkSender::with_pending_output(&daemon);
    daemon.signal(SIGHUP);
    wait_for_sighup(&daemon);
    daemon.signal(SIGTERM);
    wait_for_second_request(&daemon);
    daemon.signal(SIGINT);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(1),
        "exit code after a second signal"
    );
    drop(sender);
}

/// A client with pending output reads it completely, although `send_signals` sends signals to the draining daemon.
#[track_caller]
fn assert_drains_despite(mut daemon: Daemon, send_signals: impl FnOnce(&mut Daemon)) {
    let mut sender = BulkSender::with_pending_output(&daemon);
    let read = sender.progress(&daemon, &TcpTable::read()).read;
    send_signals(&mut daemon);
    sender.receive_to_fin();
    let received = sender.received;
    assert!(received >= read, "{read} bytes read, {received} echoed");
    drop(sender);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
}

const SMALL_BUFFERS: [&str; 4] = ["--drain-timeout", "30s", "--socket-buffer", "16KiB"];

#[test]
fn two_signals_within_500_ms_count_as_one_and_drain() {
    assert_drains_despite(Daemon::start(&SMALL_BUFFERS), |daemon| {
        // Two different signals, since the kernel merges equal ones while the daemon is stopped.
        daemon.pause();
        daemon.signal(SIGTERM);
        daemon.signal(SIGINT);
        daemon.resume();
        daemon.wait_for_line("the second signal", |line| {
            line.contains("SIGTERM: within 500ms of the first signal")
        });
    });
}

/// GNU `timeout` forwards a signal to its child and then to its process group, which contains the child.
#[test]
fn sigterm_from_gnu_timeout_drains() {
    if !have_tool("timeout") {
        return;
    }
    let arguments = [&SMALL_BUFFERS[..], &["--end-with-parent"]].concat();
    let arguments = serve_arguments(&["127.0.0.1:0"], &arguments);
    let command = in_shell(r#"exec timeout 60s "$0" "$@""#, &arguments);
    assert_drains_despite(Daemon::launch(command, 1), |timeout| {
        timeout.signal(SIGTERM);
        assert_refused_soon(timeout.address());
    });
}

#[test]
fn sighup_during_a_drain_does_not_end_it() {
    assert_drains_despite(Daemon::start(&SMALL_BUFFERS), |daemon| {
        daemon.signal(SIGTERM);
        wait_for_second_request(daemon);
        daemon.signal(SIGHUP);
        wait_for_sighup(daemon);
    });
}

/// `nohup` ignores SIGHUP in this way.
#[test]
fn sighup_inherited_as_ignored_stays_ignored() {
    let arguments = serve_arguments(&["127.0.0.1:0"], &[]);
    let command = in_shell(r#"trap "" HUP; exec "$0" "$@""#, &arguments);
    let mut daemon = Daemon::launch(command, 1);
    assert!(ignores(daemon.pid(), SIGHUP));
    assert!(!ignores(daemon.pid(), SIGINT));
    daemon.signal(SIGHUP);
    assert_echo(&mut connect(daemon.address()), b"after SIGHUP");
    daemon.signal(SIGINT);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
}

#[test]
fn sigint_to_a_background_job_of_sh_stays_ignored() {
    // --end-with-parent: the daemon exits with the shell, even if the test fails.
    let arguments = serve_arguments(&["127.0.0.1:0"], &["--end-with-parent"]);
    let script = r#""$0" "$@" & echo "job $!" >&2; wait $!"#;
    let mut shell = Daemon::launch(in_shell(script, &arguments), 1);
    let line = shell.wait_for_line("the process id of the daemon", |line| {
        line.starts_with("job ")
    });
    let daemon: u32 = line["job ".len()..].parse().unwrap();
    assert!(ignores(daemon, SIGINT));
    assert!(!ignores(daemon, SIGHUP));
    let pid = Pid::from_raw(i32::try_from(daemon).unwrap());
    kill(pid, SIGINT).unwrap();
    assert_echo(&mut connect(shell.address()), b"after SIGINT");
    kill(pid, SIGTERM).unwrap();
    assert_eq!(shell.wait_exit(PATIENCE), Some(0), "exit code");
}
