//! The log never blocks or stops the daemon, even if stderr is closed or full, and contains no control bytes of peers.

use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::client::{assert_echo, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, in_shell, listening_address, serve_arguments};

#[test]
fn closed_stderr_does_not_stop_echoes() {
    let daemon = Daemon::on_free_port(|address| {
        in_shell(
            "exec \"$0\" \"$@\" 2>&-",
            &serve_arguments(&[address], &["-vv"]),
        )
    });
    assert_many_echoes(daemon.address());
}

/// Echoes on two connections, with more bytes than a log line shows.
fn assert_many_echoes(address: SocketAddr) {
    let (mut first, mut second) = (connect(address), connect(address));
    for round in 0..200 {
        assert_echo(
            &mut first,
            format!("round {round} of many on a first connection").as_bytes(),
        );
        assert_echo(&mut second, &[b'x'; 3_000]);
    }
}

/// A daemon with `-vv` that logs to a pipe, of which the test has read only the lines up to `listening on`.
fn daemon_logging_to_pipe(nonblocking: bool) -> (Daemon, PipeReader, PipeWriter) {
    let (mut reader, writer) = pipe().unwrap();
    if nonblocking {
        // O_NONBLOCK belongs to the open file description, which the daemon inherits.
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    }
    let mut command = echoloop();
    command.args(serve_arguments(&["127.0.0.1:0"], &["-vv"]));
    command.stderr(Stdio::from(writer.try_clone().unwrap()));
    let child = command.spawn().expect("the executable starts");
    let address = loop {
        if let Some(address) = listening_address(&read_line(&mut reader)) {
            break address;
        }
    };
    (Daemon::from_child(child, address), reader, writer)
}

/// Reads one line byte by byte, so that later lines stay in the pipe.
pub(crate) fn read_line(pipe: &mut PipeReader) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let timeout = PollTimeout::try_from(PATIENCE).unwrap();
        let ready = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout).unwrap();
        assert_eq!(ready, 1, "no line `listening on ..` within {PATIENCE:?}");
        let mut byte = [0];
        let count = pipe.read(&mut byte).unwrap();
        assert_eq!(
            count,
            1,
            "the log ended within the line `{}`",
            line.escape_ascii()
        );
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}

fn is_full(pipe: &PipeWriter) -> bool {
    let writable = &mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)];
    poll(writable, PollTimeout::ZERO).unwrap() == 0
}

fn assert_echoes_with_unread_log(nonblocking: bool) {
    let (daemon, reader, writer) = daemon_logging_to_pipe(nonblocking);
    let mut stream = connect(daemon.address());
    let mut messages = 0;
    while !is_full(&writer) {
        assert!(
            messages < 20_000,
            "{messages} traced messages did not fill the pipe"
        );
        assert_echo(&mut stream, &[b'm'; 200]);
        messages += 1;
    }
    assert_many_echoes(daemon.address());
    assert!(
        is_full(&writer),
        "the pipe is not full any more, so nothing is tested"
    );
    drop(reader);
}

#[test]
fn full_stderr_pipe_does_not_stop_echoes() {
    assert_echoes_with_unread_log(false);
}

#[test]
fn full_nonblocking_stderr_pipe_does_not_stop_echoes() {
    assert_echoes_with_unread_log(true);
}

#[test]
fn full_stderr_pipe_does_not_stop_the_drain() {
    let (mut daemon, _reader, writer) = daemon_logging_to_pipe(false);
    let mut stream = connect(daemon.address());
    for _ in 0..20_000 {
        if is_full(&writer) {
            break;
        }
        assert_echo(&mut stream, &[b'm'; 200]);
    }
    assert!(
        is_full(&writer),
        "20,000 traced messages did not fill the pipe"
    );
    drop(stream);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn broken_stderr_pipe_does_not_stop_echoes() {
    let (mut daemon, reader, writer) = daemon_logging_to_pipe(false);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"while the log is read");
    drop((reader, writer));
    for _ in 0..200 {
        assert_echo(&mut stream, b"after the pipe is broken");
    }
    assert_many_echoes(daemon.address());
    drop(stream);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn trace_escapes_control_bytes_of_received_data() {
    let daemon = Daemon::start(&["-vv"]);
    let mut stream = connect(daemon.address());
    assert_echo(
        &mut stream,
        b"marked \x1b[31mred\x1b[0m \x07\r\n\t\0\x7f\x9b1m \xff.",
    );
    let traced = daemon.wait_for_line("the text `marked`", |line| line.contains("marked"));
    assert!(
        traced.contains("[31mred"),
        "printable bytes are not escaped: {traced}"
    );
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for byte in &every_byte {
        assert_echo(&mut stream, &[*byte]);
    }
    assert_echo(&mut stream, &every_byte);
    assert_echo(&mut stream, b"the end mark");
    daemon.wait_for_line("the text `the end mark`", |line| {
        line.contains("the end mark")
    });
    for line in daemon.lines() {
        assert!(
            !line.contains("[mio::"),
            "a log line of the mio crate: {line}"
        );
        // U+FFFD replaces invalid UTF-8.
        let raw = line
            .chars()
            .find(|char| char.is_control() || *char == '\u{fffd}');
        assert_eq!(
            raw, None,
            "an unescaped byte of a peer in the log: {line:?}"
        );
    }
}

#[test]
fn trace_truncates_long_input() {
    let daemon = Daemon::start(&["-vv"]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, &b"long".repeat(5_000));
    assert_echo(&mut stream, b"the end mark");
    daemon.wait_for_line("the text `longlong`", |line| line.contains("longlong"));
    daemon.wait_for_line("the text `the end mark`", |line| {
        line.contains("the end mark")
    });
    let longest = daemon.lines().iter().map(String::len).max().unwrap();
    assert!(
        longest <= 1_000,
        "a log line of {longest} bytes for 20,000 received"
    );
}

#[test]
fn quiet_daemon_echoes_and_logs_nothing() {
    let mut daemon = Daemon::on_free_port(|address| {
        let mut command = echoloop();
        command.args(serve_arguments(&[address], &["-q"]));
        command
    });
    assert_echo(&mut connect(daemon.address()), b"quietly");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    let lines = daemon.lines();
    let logged = lines
        .iter()
        .any(|line| line.contains("INFO") || line.contains("listening"));
    assert!(!logged, "the log with -q: {lines:#?}");
}

/// The number of connections in the log after two connections, with this log level and these flags.
fn logged_connections(level: Option<&str>, extra: &[&str]) -> usize {
    let mut command = echoloop();
    command.args(serve_arguments(&["127.0.0.1:0"], extra));
    if let Some(level) = level {
        command.env("ECHOLOOP_LOG", level);
    }
    let mut daemon = Daemon::launch(command, 1);
    let two: [TcpStream; 2] = [connect(daemon.address()), connect(daemon.address())];
    for mut stream in two {
        assert_echo(&mut stream, b"x");
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    daemon
        .lines()
        .iter()
        .filter(|line| line.contains(" open 127.0.0.1:"))
        .count()
}

#[test]
fn connections_are_logged_at_level_debug_only() {
    assert_eq!(
        logged_connections(None, &[]),
        0,
        "connections in the log by default"
    );
    assert_eq!(
        logged_connections(None, &["-v"]),
        2,
        "connections in the log with -v"
    );
    assert_eq!(
        logged_connections(Some("debug"), &[]),
        2,
        "with ECHOLOOP_LOG=debug"
    );
    assert_eq!(
        logged_connections(Some("info"), &[]),
        0,
        "with ECHOLOOP_LOG=info"
    );
    assert_eq!(
        logged_connections(Some(""), &[]),
        0,
        "with an empty ECHOLOOP_LOG, as without it"
    );
}

#[test]
fn serve_writes_nothing_to_stdout() {
    let mut command = echoloop();
    command.args(serve_arguments(&["127.0.0.1:0"], &["-vv"]));
    let (mut stdout, writer) = pipe().unwrap();
    command.stdout(Stdio::from(writer));
    let mut daemon = Daemon::launch(command, 1);
    assert_echo(&mut connect(daemon.address()), b"echoed, not printed");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "", "on stdout");
}
