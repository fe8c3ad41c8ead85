//! The log never stops the daemon, whatever becomes of stderr, and never carries a peer's control bytes.

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
fn with_stderr_closed_it_echoes() {
    let daemon = Daemon::on_a_free_port(|address| {
        in_shell(
            "exec \"$0\" \"$@\" 2>&-",
            &serve_arguments(&[address], &["-vv"]),
        )
    });
    assert_many_echoes(daemon.address());
}

/// On two connections, with more bytes than one line of the log shows.
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

/// A daemon at `-vv` that logs into a pipe from which the test has read only what it had to.
fn logging_into_a_pipe(nonblocking: bool) -> (Daemon, PipeReader, PipeWriter) {
    let (mut reader, writer) = pipe().unwrap();
    if nonblocking {
        // A flag of the pipe's end itself, shared by all who hold it, so the daemon has it too.
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
    (Daemon::adopt(child, address), reader, writer)
}

/// One line, byte by byte, so that nothing behind it is taken out of the pipe.
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

fn assert_echoes_although_nobody_reads_the_log(nonblocking: bool) {
    let (daemon, reader, writer) = logging_into_a_pipe(nonblocking);
    let mut stream = connect(daemon.address());
    let mut messages = 0;
    while !is_full(&writer) {
        assert!(
            messages < 20_000,
            "{messages} traced messages did not fill a pipe"
        );
        assert_echo(&mut stream, &[b'm'; 200]);
        messages += 1;
    }
    assert_many_echoes(daemon.address());
    assert!(
        is_full(&writer),
        "somebody has read the log, so this test shows nothing"
    );
    drop(reader);
}

#[test]
fn with_stderr_a_full_pipe_it_echoes() {
    assert_echoes_although_nobody_reads_the_log(false);
}

#[test]
fn with_stderr_a_full_nonblocking_pipe_it_echoes() {
    assert_echoes_although_nobody_reads_the_log(true);
}

#[test]
fn a_full_pipe_does_not_hinder_the_drain() {
    let (mut daemon, _reader, writer) = logging_into_a_pipe(false);
    let mut stream = connect(daemon.address());
    for _ in 0..20_000 {
        if is_full(&writer) {
            break;
        }
        assert_echo(&mut stream, &[b'm'; 200]);
    }
    assert!(
        is_full(&writer),
        "20,000 traced messages did not fill a pipe"
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
fn when_the_reader_of_stderr_goes_away_it_echoes_on() {
    let (mut daemon, reader, writer) = logging_into_a_pipe(false);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"while the log is read");
    drop((reader, writer));
    for _ in 0..200 {
        assert_echo(&mut stream, b"while nobody can read the log");
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
fn the_trace_shows_what_was_received_without_its_control_bytes() {
    let daemon = Daemon::start(&["-vv"]);
    let mut stream = connect(daemon.address());
    assert_echo(
        &mut stream,
        b"marked \x1b[31mred\x1b[0m \x07\r\n\t\0\x7f\x9b1m \xff.",
    );
    let traced = daemon.wait_for_line("the text `marked`", |line| line.contains("marked"));
    assert!(
        traced.contains("[31mred"),
        "what is harmless stays legible: {traced}"
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
        assert!(!line.contains("[mio::"), "not of this program: {line}");
        // U+FFFD stands for what was not UTF-8.
        let raw = line
            .chars()
            .find(|char| char.is_control() || *char == '\u{fffd}');
        assert_eq!(raw, None, "a raw byte of a peer in the log: {line:?}");
    }
}

#[test]
fn the_trace_cuts_what_is_long() {
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
        "a line of {longest} bytes about 20,000 received"
    );
}

#[test]
fn quietly_it_serves_and_tells_nothing() {
    let mut daemon = Daemon::on_a_free_port(|address| {
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
    let told = lines
        .iter()
        .any(|line| line.contains("INFO") || line.contains("listening"));
    assert!(!told, "with -q the log says: {lines:#?}");
}

/// The serials that the log of a daemon with this much to say tells of, after two connections.
fn opened_in_the_log(level: Option<&str>, extra: &[&str]) -> usize {
    let mut command = echoloop();
    command.args(serve_arguments(&["127.0.0.1:0"], extra));
    if let Some(level) = level {
        command.env("ECHOLOOP_LOG", level);
    }
    let mut daemon = Daemon::launch(command, 1);
    let two: [TcpStream; 2] = [connect(daemon.address()), connect(daemon.address())];
    for mut stream in two {
        assert_echo(&mut stream, b"a word");
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
fn connections_are_logged_at_debug_however_that_is_asked_for_and_not_by_default() {
    assert_eq!(
        opened_in_the_log(None, &[]),
        0,
        "connections in the log by default"
    );
    assert_eq!(
        opened_in_the_log(None, &["-v"]),
        2,
        "connections in the log with -v"
    );
    assert_eq!(
        opened_in_the_log(Some("debug"), &[]),
        2,
        "with ECHOLOOP_LOG=debug"
    );
    assert_eq!(
        opened_in_the_log(Some("info"), &[]),
        0,
        "with ECHOLOOP_LOG=info"
    );
    assert_eq!(
        opened_in_the_log(Some(""), &[]),
        0,
        "with an empty ECHOLOOP_LOG, which is as good as none"
    );
}

#[test]
fn stdout_stays_empty() {
    let mut command = echoloop();
    command.args(serve_arguments(&["127.0.0.1:0"], &["-vv"]));
    let (mut stdout, for_the_daemon) = pipe().unwrap();
    command.stdout(Stdio::from(for_the_daemon));
    let mut daemon = Daemon::launch(command, 1);
    assert_echo(&mut connect(daemon.address()), b"not to be seen on stdout");
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
