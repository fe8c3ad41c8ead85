//! Third-party clients with their usual options: nc, socat, Python.

use std::process::{Command, Output};

use crate::client::Random;
use crate::harness::Daemon;
use crate::tools::{have_tool, lacking, run};

const LENGTH: usize = 300_000;

#[track_caller]
pub(crate) fn assert_client_received(client: &Output, expected: &[u8]) {
    let (stdout, stderr) = (&client.stdout, client.stderr.escape_ascii());
    assert!(
        client.status.success(),
        "the client exited with {}: {stderr}",
        client.status
    );
    assert!(
        stdout == expected,
        "{} bytes expected, {} received, or other bytes: {stderr}",
        expected.len(),
        stdout.len()
    );
}

#[test]
fn netcat_receives_its_input_and_exits() {
    if !have_tool("nc") {
        return;
    }
    let help = run(command("nc", &["-h"]), b"");
    if !String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("OpenBSD") {
        lacking("nc is not OpenBSD netcat, which has -N");
        return;
    }
    let daemon = Daemon::start(&[]);
    let port = daemon.address().port().to_string();
    for length in [0, 1, LENGTH] {
        let data = Random(6).bytes(length);
        let nc = run(command("nc", &["-N", "127.0.0.1", &port]), &data);
        assert_client_received(&nc, &data);
    }
}

#[test]
fn socat_receives_its_input_and_exits() {
    if !have_tool("socat") {
        return;
    }
    let daemon = Daemon::start(&[]);
    let target = format!("TCP:{},shut-down", daemon.address());
    for length in [1, LENGTH] {
        let data = Random(7).bytes(length);
        // -t: how long socat waits for data after its half-close.
        let socat = run(command("socat", &["-t", "15", "-", &target]), &data);
        assert_client_received(&socat, &data);
    }
}

/// Sends its input in pieces of its second argument's size and prints the reply.
pub(crate) const PYTHON: &str = r"
import socket, sys, threading
data = sys.stdin.buffer.read()
peer = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=15)
def send():
    step = int(sys.argv[2])
    for start in range(0, len(data), step):
        peer.sendall(data[start:start + step])
    peer.shutdown(socket.SHUT_WR)
sender = threading.Thread(target=send)
sender.start()
while piece := peer.recv(65536):
    sys.stdout.buffer.write(piece)
sender.join()
";

#[track_caller]
fn assert_python_receives(length: usize, step: &str) {
    if !have_tool("python3") {
        return;
    }
    let daemon = Daemon::start(&[]);
    let port = daemon.address().port().to_string();
    let data = Random(8).bytes(length);
    let python = run(command("python3", &["-c", PYTHON, &port, step]), &data);
    assert_client_received(&python, &data);
}

#[test]
fn python_receives_what_it_sent_byte_by_byte() {
    assert_python_receives(50_000, "1");
}

#[test]
fn python_receives_what_it_sent_in_large_pieces() {
    assert_python_receives(LENGTH, "65536");
}

pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The path of a client program in `tests/serve/scripts`.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/serve/scripts/{name}", env!("CARGO_MANIFEST_DIR"))
}
