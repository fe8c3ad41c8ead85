//! `--protocol line`: text from programs and from a terminal.

use std::io::Write;
use std::net::Shutdown;

use crate::client::{assert_reads, connect, exchange, read_to_fin};
use crate::foreign::{PYTHON, assert_client_received, command, script};
use crate::harness::Daemon;
use crate::tools::{have_tool, lacking, run};

const TEXT: &str = "hello\nworld\r\n\n\r\nover and out";
const REPLY: &str = "ECHO hello\nECHO world\r\nECHO \nECHO \r\nECHO over and out";

fn line_daemon(extra: &[&str]) -> Daemon {
    Daemon::start(&[&["-v", "--protocol", "line"], extra].concat())
}

#[test]
fn line_protocol_is_logged_at_startup() {
    let daemon = line_daemon(&[]);
    let address = daemon.address();
    let expected = format!("listening on {address} (line, backlog ");
    daemon.wait_for_line(&expected, |line| line.contains(&expected));
}

#[test]
fn each_complete_line_is_echoed_with_prefix_at_once() {
    let daemon = line_daemon(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"one\ntwo\r\nthr").unwrap();
    assert_reads(&mut stream, b"ECHO one\nECHO two\r\n");
    stream.write_all(b"ee\nfour").unwrap();
    assert_reads(&mut stream, b"ECHO three\n");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"ECHO four");
}

#[test]
fn custom_or_empty_prefix_precedes_each_line() {
    for prefix in ["reply: ", ""] {
        let daemon = line_daemon(&["--prefix", prefix]);
        let reply = exchange(&mut connect(daemon.address()), b"a\nb\n");
        let expected = format!("{prefix}a\n{prefix}b\n");
        assert_eq!(reply, expected.as_bytes());
    }
}

#[test]
fn oversized_line_is_closed_after_earlier_replies() {
    let daemon = line_daemon(&["--max-message", "10"]);
    let mut stream = connect(daemon.address());
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    let sent = [b"0123456789\r\n", &vec![b'x'; 200_000][..]].concat();
    stream.write_all(&sent).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"ECHO 0123456789\r\n");
    drop(stream);
    let closed = daemon.close_summary(serial);
    assert!(closed.starts_with("too long, "), "{closed}");
}

#[test]
fn netcat_and_socat_receive_prefixed_lines() {
    if !have_tool("nc") || !have_tool("socat") {
        return;
    }
    let help = run(command("nc", &["-h"]), b"");
    if !String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("OpenBSD") {
        lacking("nc is not OpenBSD netcat, which has -N");
        return;
    }
    let daemon = line_daemon(&[]);
    let port = daemon.address().port().to_string();
    let nc = run(command("nc", &["-N", "127.0.0.1", &port]), TEXT.as_bytes());
    assert_client_received(&nc, REPLY.as_bytes());
    let target = format!("TCP:{},shut-down", daemon.address());
    let socat = command("socat", &["-t", "15", "-", &target]);
    assert_client_received(&run(socat, TEXT.as_bytes()), REPLY.as_bytes());
}

#[test]
fn python_receives_lines_that_it_sent_byte_by_byte() {
    if !have_tool("python3") {
        return;
    }
    let daemon = line_daemon(&[]);
    let port = daemon.address().port().to_string();
    let text = TEXT.repeat(200);
    let expected = text
        .split_inclusive('\n')
        .map(|line| format!("ECHO {line}"));
    let expected: String = expected.collect();
    let python = run(
        command("python3", &["-c", PYTHON, &port, "1"]),
        text.as_bytes(),
    );
    assert_client_received(&python, expected.as_bytes());
}

#[test]
fn ruby_with_select_and_partial_writes_receives_every_line() {
    if !have_tool("ruby") {
        return;
    }
    let daemon = line_daemon(&[]);
    let port = daemon.address().port().to_string();
    let ruby = run(command("ruby", &[&script("select.rb"), &port]), b"");
    assert_client_received(&ruby, b"all lines received\n");
}

#[test]
fn netcat_on_a_terminal_receives_each_edited_line() {
    if !have_tool("python3") || !have_tool("nc") {
        return;
    }
    let daemon = line_daemon(&[]);
    let port = daemon.address().port().to_string();
    let terminal = run(command("python3", &[&script("terminal.py"), &port]), b"");
    assert_client_received(&terminal, b"nc exited with 0\n");
    assert!(
        daemon
            .close_summary(1)
            .starts_with("peer closed, 13 bytes in")
    );
}
