//! Each log line is one write, so that daemons which share a pipe do not interleave within lines.

use std::fs;
use std::io::{Read, pipe};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::thread;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::client::{assert_echo, connect, read_to_fin};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, listening_address, serve_arguments};
use crate::logging::read_line;
use crate::syscalls::may_trace;

#[test]
fn each_log_line_is_one_write() {
    if !may_trace() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let mut command = Command::new("strace");
    command
        // -D: the tracer is a grandchild, so that the child process is the daemon.
        .args(["-D", "-s", "8192", "-e", "trace=write,writev", "-o"])
        .arg(&trace)
        .arg(echoloop().get_program())
        .args(serve_arguments(&["127.0.0.1:0"], &["-vv"]));
    let mut daemon = Daemon::launch(command, 1);
    let mut stream = connect(daemon.address());
    for _ in 0..20 {
        assert_echo(&mut stream, b"a line of the log");
    }
    drop(stream);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
    let mut calls = String::new();
    eventually(PATIENCE, "strace has written its last line", || {
        calls = fs::read_to_string(&trace).unwrap();
        calls.ends_with("+++ exited with 0 +++\n")
    });
    let written: Vec<&str> = calls.lines().filter(|call| call.contains("(2, ")).collect();
    assert_eq!(written.len(), daemon.lines().len(), "{calls}");
    for call in written {
        assert_eq!(call.matches(r"\n").count(), 1, "{call}");
        assert!(call.contains(r#"\n", "#), "a newline within: {call}");
    }
}

/// Whether this is one complete log line that starts with its time.
fn is_one_line(line: &str) -> bool {
    let Some((time, rest)) = line.split_once(' ') else {
        return false;
    };
    let one_time = time.len() == 24 && time.ends_with('Z') && !rest.contains("Z DEBUG ");
    let level = rest.starts_with("DEBUG ") || rest.starts_with("INFO  ");
    let ended = [" out", "backlog 4096)"]
        .iter()
        .any(|end| rest.ends_with(end));
    let open = rest.split_once("open 127.0.0.1:");
    let opened = open.is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let drained = rest.contains("draining ") || rest.contains("at most ");
    one_time && level && (ended || opened || drained)
}

#[test]
fn two_daemons_on_one_pipe_never_interleave_lines() {
    const CONNECTIONS: usize = 1_500;
    let (mut reader, writer) = pipe().unwrap();
    // The pipe can hold the complete log, so that no line is dropped.
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
    let daemons = [(); 2].map(|()| {
        let mut command = echoloop();
        command.args(serve_arguments(&["127.0.0.1:0"], &["-v"]));
        command.stderr(Stdio::from(writer.try_clone().unwrap()));
        let child = command.spawn().expect("the executable starts");
        // Lines of the first daemon may precede that of the second.
        let address = loop {
            if let Some(address) = listening_address(&read_line(&mut reader)) {
                break address;
            }
        };
        Daemon::from_child(child, address)
    });
    drop(writer);
    let text = thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        let clients = daemons.map(|mut daemon| {
            scope.spawn(move || {
                for _ in 0..CONNECTIONS {
                    let mut stream = connect(daemon.address());
                    assert_echo(&mut stream, b"x");
                    stream.shutdown(Shutdown::Write).unwrap();
                    read_to_fin(&mut stream);
                }
                daemon.signal(Signal::SIGTERM);
                assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
            })
        });
        for client in clients {
            client.join().unwrap();
        }
        reader.join().unwrap()
    });
    let torn: Vec<&str> = text.lines().filter(|line| !is_one_line(line)).collect();
    assert!(
        torn.is_empty(),
        "{} lines, such as {:#?}",
        torn.len(),
        &torn[..torn.len().min(5)]
    );
    let opened = text.lines().filter(|line| line.contains(" open ")).count();
    assert_eq!(opened, 2 * CONNECTIONS, "connections in the log");
}
