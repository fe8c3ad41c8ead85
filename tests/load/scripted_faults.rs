//! Servers that answer wrongly: the fault is detected and named, for lines, Redis and HTTP.

use crate::run::{Output, load, script_file};
use crate::servers::{ignore, serve_streams};
use echoloop::load::LoadResult;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;

/// A protocol in which a reply repeats a text of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Line,
    Redis,
    Http,
}

const ALL: [Protocol; 3] = [Protocol::Line, Protocol::Redis, Protocol::Http];

impl Protocol {
    fn script(self) -> &'static str {
        match self {
            Protocol::Line => {
                "[message]\nsend = \"{connection}-{sequence}\\n\"\n\
                expect = { line = true, equals = \"{connection}-{sequence}\" }\n"
            }
            Protocol::Redis => {
                "[message]\nsend = \"PING {connection}-{sequence}\\r\\n\"\n\
                expect = { resp = true, ends_with = \"\\n{connection}-{sequence}\\r\\n\" }\n"
            }
            Protocol::Http => {
                "[message]\nsend = \"GET /{connection}-{sequence} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\"\n\
                expect = { http = true, ends_with = \"\\n/{connection}-{sequence}\" }\n"
            }
        }
    }

    /// Reads a message and returns the text that its reply repeats; none at the end.
    fn read(self, reader: &mut impl BufRead) -> Option<String> {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let text = match self {
            Protocol::Line => line.trim_end(),
            _ => line.split_whitespace().nth(1)?,
        };
        let text = text.to_owned();
        while self == Protocol::Http && line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).ok()?;
        }
        Some(text)
    }

    fn reply(self, text: &str) -> Vec<u8> {
        match self {
            Protocol::Line => format!("{text}\n"),
            Protocol::Redis => format!("${}\r\n{text}\r\n", text.len()),
            Protocol::Http => format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ),
        }
        .into_bytes()
    }

    /// The beginning of a reply to which more can be added without end.
    fn endless(self) -> &'static [u8] {
        match self {
            Protocol::Line => b"x",
            Protocol::Redis => b"$99999999\r\n",
            Protocol::Http => b"HTTP/1.1 200 OK\r\n\r\n",
        }
    }
}

/// What a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Every tenth reply is the last one of another connection.
    OtherConnection,
    /// Every tenth reply repeats the previous one of its connection.
    Late,
    /// The tenth reply lacks its end, and the server closes the connection.
    CutByClose,
    /// The tenth reply lacks its end, and others follow.
    CutShort,
    /// The tenth reply has no end.
    Endless,
    /// The tenth reply begins, and no more of it follows.
    Stops,
}

/// A server with a fault.
fn serve(protocol: Protocol, fault: Fault) -> String {
    let last = Mutex::new(Vec::new());
    serve_streams(move |stream| converse(protocol, fault, &stream, &last))
}

/// `last` has the text received last on each connection.
/// Each connection has a place in `last` from its first message on: connects without one do not count.
fn converse(protocol: Protocol, fault: Fault, stream: &TcpStream, last: &Mutex<Vec<String>>) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let (mut own, mut previous) = (None, String::new());
    let mut number = 0;
    while let Some(text) = protocol.read(&mut reader) {
        number += 1;
        let is_due = number % 10 == 0;
        let mut reply = protocol.reply(&text);
        let other = {
            let mut last = last.lock().unwrap();
            let place = *own.get_or_insert_with(|| {
                last.push(String::new());
                last.len() - 1
            });
            last[place].clone_from(&text);
            let mut others = last.iter().enumerate().filter(|(index, _)| *index != place);
            others.next().map(|(_, text)| text.clone())
        };
        match (fault, other) {
            _ if !is_due => {}
            (Fault::OtherConnection, Some(other)) => reply = protocol.reply(&other),
            (Fault::OtherConnection, None) => {}
            (Fault::Late, _) => reply = protocol.reply(&previous),
            (Fault::CutShort, _) if protocol == Protocol::Line => {
                reply = protocol.reply(&text[..text.len() - 1]);
            }
            (Fault::CutShort, _) => reply.truncate(reply.len() - 3),
            (Fault::CutByClose, _) => {
                reply.truncate(reply.len() - 1);
                let _ = writer.write_all(&reply);
                let _ = stream.shutdown(Shutdown::Write);
                return ignore(reader);
            }
            (Fault::Stops, _) => {
                reply.truncate(reply.len() - 1);
                let _ = writer.write_all(&reply);
                return ignore(reader);
            }
            (Fault::Endless, _) => {
                let _ = writer.write_all(protocol.endless());
                while writer.write_all(&[b'x'; 4096]).is_ok() {}
                return;
            }
        }
        previous = text;
        if writer.write_all(&reply).is_err() {
            return;
        }
    }
}

#[track_caller]
fn run(protocol: Protocol, fault: Fault, more: &[&str]) -> Output {
    let address = serve(protocol, fault);
    let script = script_file(protocol.script());
    let common = [
        &address,
        "--script",
        script.path().to_str().unwrap(),
        "--active",
        "2",
        "--duration",
        "1s",
        "--warmup",
        "0",
        "--max-message",
        "64KiB",
        "-o",
        "json",
    ];
    load(&[&common, more].concat())
}

#[track_caller]
fn assert_named(protocol: Protocol, output: &Output, name: &str) {
    let result = output.result();
    let is_named = result.warnings.iter().any(|warning| warning.contains(name));
    assert!(
        is_named,
        "{protocol:?}: no {name:?} in {:#?}",
        result.warnings
    );
}

/// The correct replies, those after the end of the measured part included: on a busy machine the last ones are late.
fn correct_replies(result: &LoadResult) -> u64 {
    result.echo.service_time_us.count
}

#[test]
fn reply_of_another_connection_is_named() {
    for protocol in ALL {
        let output = run(protocol, Fault::OtherConnection, &["--rate", "400"]);
        let result = output.result();
        assert!(result.echo.mismatched > 0, "{protocol:?}: {result:#?}");
        let all = correct_replies(&result) + result.echo.mismatched;
        assert_eq!(all, 400, "{result:#?}");
        let count = result.echo.mismatched;
        let name = format!("WRONG REPLIES: {count} of another connection");
        assert_named(protocol, &output, &name);
        assert_named(protocol, &output, "the first wrong reply was");
    }
}

#[test]
fn late_reply_is_named() {
    for protocol in ALL {
        let output = run(protocol, Fault::Late, &["--rate", "400"]);
        let result = output.result();
        assert_eq!(
            (correct_replies(&result), result.echo.mismatched),
            (360, 40),
            "{result:#?}"
        );
        assert_named(
            protocol,
            &output,
            "WRONG REPLIES: 40 repeated or out of order",
        );
    }
}

#[test]
fn reply_cut_by_the_end_of_its_connection_is_named() {
    for protocol in ALL {
        let output = run(protocol, Fault::CutByClose, &["--rate", "400"]);
        let result = output.result();
        assert_eq!(
            (result.echo.mismatched, result.connections.lost),
            (2, 2),
            "{result:#?}"
        );
        assert_named(protocol, &output, "WRONG REPLIES: 2 truncated");
    }
}

#[test]
fn reply_cut_short_before_others_is_named() {
    for (protocol, name) in [
        (Protocol::Line, "truncated"),
        (Protocol::Redis, "malformed (cut short"),
        (Protocol::Http, "corrupted"),
    ] {
        let output = run(protocol, Fault::CutShort, &["--pipeline", "10"]);
        assert!(output.result().echo.mismatched > 0, "{output:#?}");
        assert_named(protocol, &output, name);
    }
}

#[test]
fn endless_reply_is_named() {
    for protocol in ALL {
        let output = run(protocol, Fault::Endless, &["--rate", "400"]);
        let result = output.result();
        assert_eq!(
            (result.echo.mismatched, result.connections.lost),
            (2, 2),
            "{result:#?}"
        );
        let name = "WRONG REPLIES: 2 that did not end within --max-message";
        assert_named(protocol, &output, name);
    }
}

#[test]
fn reply_that_stops_is_named() {
    for protocol in ALL {
        let output = run(protocol, Fault::Stops, &["--rate", "400"]);
        let result = output.result();
        assert!(result.echo.unanswered > 0, "{result:#?}");
        assert_eq!(result.connections.lost, 0, "{result:#?}");
        assert_named(protocol, &output, "2 replies never ended");
    }
}

#[test]
fn wrong_hello_is_a_failure_with_its_name() {
    let address = serve(Protocol::Line, Fault::Late);
    let text = "[hello]\nsend = \"AUTH {connection}\\n\"\nexpect = { line = true, matches = 'AUTH [0-6]\\z' }\n";
    let script = script_file(text);
    let script = script.path().to_str().unwrap();
    let output = load(&[
        &address,
        "--script",
        script,
        "--idle",
        "10",
        "--duration",
        "1s",
        "--warmup",
        "0",
        "-o",
        "json",
    ]);
    let result = output.result();
    assert_eq!(
        (result.connections.opened, result.connections.failed.hello),
        (7, 3),
        "{result:#?}"
    );
    assert_eq!(result.connections.lost, 0, "{result:#?}");
    assert_named(
        Protocol::Line,
        &output,
        "3 connections failed (7 established): wrong or missing reply to the hello",
    );
    assert_named(Protocol::Line, &output, "the first wrong reply was \"AUTH ");
}

#[test]
fn missing_hello_fails_after_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let script = script_file("[hello]\nexpect = { line = true }\n");
    let script = script.path().to_str().unwrap();
    let common = [
        "--script",
        script,
        "--idle",
        "5",
        "--connect-timeout",
        "200ms",
    ];
    let output = load(&[&[&address[..]], &common[..]].concat());
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output
            .stderr
            .contains("wrong or missing reply to the hello"),
        "{output:#?}"
    );
    drop(listener);
}
