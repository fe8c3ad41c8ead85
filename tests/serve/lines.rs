//! `--protocol line`: text from programs and from people.

use std::io::Write;
use std::net::Shutdown;

use crate::client::{assert_reads, connect, exchange, read_to_fin};
use crate::foreign::{PYTHON, assert_brought_back, command, script};
use crate::harness::Daemon;
use crate::tools::{have_tool, lacking, run};

const TEXT: &str = "hello\nworld\r\n\n\r\nover and out";
const ANSWER: &str = "ECHO hello\nECHO world\r\nECHO \nECHO \r\nECHO over and out";

fn lines(extra: &[&str]) -> Daemon {
    Daemon::start(&[&["-v", "--protocol", "line"], extra].concat())
}

#[test]
fn the_log_says_what_is_spoken() {
    let daemon = lines(&[]);
    let address = daemon.address();
    let expected = format!("listening on {address} (line, backlog ");
    daemon.wait_for_line(&expected, |line| line.contains(&expected));
}

#[test]
fn each_line_comes_back_at_once_behind_the_prefix() {
    let daemon = lines(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"one\ntwo\r\nthr").unwrap();
    assert_reads(&mut stream, b"ECHO one\nECHO two\r\n");
    stream.write_all(b"ee\nfour").unwrap();
    assert_reads(&mut stream, b"ECHO three\n");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"ECHO four");
}

#[test]
fn the_prefix_is_what_was_asked_for_and_may_be_nothing() {
    for prefix in ["you said: ", ""] {
        let daemon = lines(&["--prefix", prefix]);
        let answer = exchange(&mut connect(daemon.address()), b"a\nb\n");
        let expected = format!("{prefix}a\n{prefix}b\n");
        assert_eq!(answer, expected.as_bytes());
    }
}

#[test]
fn a_line_that_is_too_long_ends_its_connection_and_earlier_replies_arrive() {
    let daemon = lines(&["--max-message", "10"]);
    let mut stream = connect(daemon.address());
    let serial = daemon.serial_of(stream.local_addr().unwrap());
    let sent = [b"0123456789\r\n", &vec![b'x'; 200_000][..]].concat();
    stream.write_all(&sent).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"ECHO 0123456789\r\n");
    drop(stream);
    let closed = daemon.closed(serial);
    assert!(closed.starts_with("too long, "), "{closed}");
}

#[test]
fn netcat_and_socat_get_lines_back() {
    if !have_tool("nc") || !have_tool("socat") {
        return;
    }
    let help = run(command("nc", &["-h"]), b"");
    if !String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("OpenBSD") {
        lacking("nc is not OpenBSD's, which alone has -N");
        return;
    }
    let daemon = lines(&[]);
    let port = daemon.address().port().to_string();
    let nc = run(command("nc", &["-N", "127.0.0.1", &port]), TEXT.as_bytes());
    assert_brought_back(&nc, ANSWER.as_bytes());
    let target = format!("TCP:{},shut-down", daemon.address());
    let socat = command("socat", &["-t", "15", "-", &target]);
    assert_brought_back(&run(socat, TEXT.as_bytes()), ANSWER.as_bytes());
}

#[test]
fn python_gets_lines_back_that_it_sends_byte_by_byte() {
    if !have_tool("python3") {
        return;
    }
    let daemon = lines(&[]);
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
    assert_brought_back(&python, expected.as_bytes());
}

#[test]
fn ruby_with_select_and_nonblocking_writes_gets_lines_back() {
    if !have_tool("ruby") {
        return;
    }
    let daemon = lines(&[]);
    let port = daemon.address().port().to_string();
    let ruby = run(command("ruby", &[&script("select.rb"), &port]), b"");
    assert_brought_back(&ruby, b"all came back\n");
}

#[test]
fn somebody_at_a_terminal_is_answered_line_by_line() {
    if !have_tool("python3") || !have_tool("nc") {
        return;
    }
    let daemon = lines(&[]);
    let port = daemon.address().port().to_string();
    let typist = run(command("python3", &[&script("typist.py"), &port]), b"");
    assert_brought_back(&typist, b"nc ended with 0\n");
    assert!(daemon.closed(1).starts_with("peer closed, 13 bytes in"));
}
