//! Kinds of standard input: a pipe, a file, a terminal, /dev/null, a socket; and `--message`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::clients::{assert_printed, client, send, text};
use crate::harness::Daemon;
use crate::peers::{Peer, read_all};
use crate::tools::{have_tool, run};

const LENGTH: usize = 3_000_000;

#[test]
fn pipe_is_echoed_to_standard_output() {
    let daemon = Daemon::start(&[]);
    for length in [0, 1, LENGTH] {
        let data = text(0, length);
        assert_printed(&send(daemon.address(), &[], &data), &data);
    }
}

#[test]
fn file_is_echoed_to_a_file() {
    let daemon = Daemon::start(&[]);
    let data = text(0, LENGTH);
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(&data).unwrap();
    input.rewind().unwrap();
    let mut output = tempfile::tempfile().unwrap();
    let status = client("send", daemon.address(), &[])
        .stdin(input)
        .stdout(output.try_clone().unwrap())
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
    output.rewind().unwrap();
    let mut printed = Vec::new();
    output.read_to_end(&mut printed).unwrap();
    assert!(printed == data, "{} bytes came back", printed.len());
}

#[test]
fn dev_null_sends_only_fin() {
    let peer = Peer::start(|mut stream| {
        stream.write_all(b"hello").unwrap();
        read_all(stream)
    });
    let null = File::open("/dev/null").unwrap();
    let mut command = client("send", peer.address, &[]);
    let ended = command.stdin(null).stdout(Stdio::piped()).output().unwrap();
    assert_printed(&ended, b"hello");
    assert_eq!(peer.join(), b"", "bytes received by the server");
}

#[test]
fn one_socket_is_both_input_and_output() {
    let daemon = Daemon::start(&[]);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let output = OwnedFd::from(theirs.try_clone().unwrap());
    let mut command = client("send", daemon.address(), &[]);
    command.stdin(OwnedFd::from(theirs)).stdout(output);
    let mut child = command.spawn().unwrap();
    // The command holds copies of the other end.
    drop(command);
    let data = text(0, LENGTH);
    let mut writer = ours.try_clone().unwrap();
    let printed = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&data).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut printed = Vec::new();
        ours.read_to_end(&mut printed).unwrap();
        printed
    });
    assert!(printed == data, "{} bytes came back", printed.len());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Runs its arguments on a terminal, types a line, waits for its echo, types another, then Ctrl-D, and prints the output
/// of the terminal. Exits with the exit code of the program.
const AT_A_TERMINAL: &str = r"
import os, pty, sys, time
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b''
def until(count, word):
    global shown
    while shown.count(word) < count:
        shown += os.read(terminal, 4096)
for word in (b'first', b'second'):
    os.write(terminal, word + b'\n')
    until(2, word)
os.write(terminal, b'\x04')
try:
    while piece := os.read(terminal, 4096):
        shown += piece
except OSError:
    pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn terminal_lines_are_echoed_and_ctrl_d_ends_send() {
    if !have_tool("python3") {
        return;
    }
    let daemon = Daemon::start(&[]);
    let send = client("send", daemon.address(), &[]);
    let mut python = Command::new("python3");
    python.args(["-c", AT_A_TERMINAL]);
    python.arg(send.get_program()).args(send.get_args());
    let ended = run(python, b"");
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "shown: {shown}");
    // The terminal shows the typed line, and the client its echo.
    assert_eq!(shown.matches("first\r\n").count(), 2, "shown: {shown}");
    assert_eq!(shown.matches("second\r\n").count(), 2, "shown: {shown}");
}

#[test]
fn messages_replace_standard_input_in_order() {
    let daemon = Daemon::start(&[]);
    let address = daemon.address();
    let ended = send(
        address,
        &["--message", "a b", "--message", "", "-m", "c"],
        b"not sent",
    );
    assert_printed(&ended, b"a bc");
    let ended = send(
        address,
        &["-p", "line", "-m", "a", "-m", "", "-m", "c"],
        b"",
    );
    assert_printed(&ended, b"a\n\nc\n");
}

#[test]
fn line_protocol_terminates_the_last_line() {
    let peer = Peer::start(read_all);
    let ended = send(peer.address, &["--protocol", "line"], b"one\r\ntwo");
    assert_printed(&ended, b"");
    assert_eq!(peer.join(), b"one\r\ntwo\n");
}

#[test]
fn frame_protocol_maps_lines_to_frames_and_back() {
    // Raw echo returns the frames unchanged.
    let daemon = Daemon::start(&[]);
    for size in ["frame:1", "frame:2", "frame:4"] {
        let ended = send(daemon.address(), &["-p", size], b"one\n\ntwo\r\nthree");
        assert_printed(&ended, b"one\n\ntwo\nthree\n");
    }
    let peer = Peer::start(read_all);
    let ended = send(peer.address, &["-p", "frame:2", "-m", "ab", "-m", ""], b"");
    assert_printed(&ended, b"");
    assert_eq!(peer.join(), b"\0\x02ab\0\0");
}

#[test]
fn many_lines_are_echoed_through_frames() {
    let daemon = Daemon::start(&[]);
    let mut lines = b"\n".repeat(200_000);
    lines.extend_from_slice(&b"a longer line than most\n".repeat(20_000));
    let ended = send(daemon.address(), &["-p", "frame:4"], &lines);
    assert_printed(&ended, &lines);
}

#[test]
fn replies_are_printed_while_the_input_is_open() {
    let daemon = Daemon::start(&[]);
    for protocol in ["raw", "line", "frame:2"] {
        let mut command = client("send", daemon.address(), &["-p", protocol]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        for line in ["one\n", "\n", "three\n"] {
            stdin.write_all(line.as_bytes()).unwrap();
            let mut reply = String::new();
            stdout.read_line(&mut reply).unwrap();
            assert_eq!(reply, line, "{protocol}");
        }
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
