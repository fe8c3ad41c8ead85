//! Scripts on idle connections: keepalives that are not answered, and connections that the server closes.

use crate::run::{Output, load, script_file};
use crate::servers::{ignore, serve_streams};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// Answers one request and closes the connection, as announced.
fn answer_and_close(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if !reader.read_line(&mut line).is_ok_and(|length| length > 0) {
            return;
        }
    }
    let _ =
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
}

const HTTP: &str = r#"
[keepalive]
every = "1s"
send = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
expect = { http = true, ends_with = "ok" }
"#;

/// Ten idle connections for four seconds.
#[track_caller]
fn hold(server: &str, script: &str, more: &[&str]) -> Output {
    let file = script_file(script);
    let script = file.path().to_str().unwrap();
    let common = [
        server,
        "--script",
        script,
        "--idle",
        "10",
        "--duration",
        "4s",
        "--warmup",
        "0",
        "-o",
        "json",
    ];
    load(&[&common, more].concat())
}

#[test]
fn idle_connections_are_reopened_after_connection_close() {
    let output = hold(&serve_streams(answer_and_close), HTTP, &[]);
    let result = output.result();
    let (connections, keepalive) = (&result.connections, &result.keepalive);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let counts = (
        connections.opened,
        connections.lost,
        connections.failed.total(),
    );
    assert_eq!(counts, (10, 0, 0), "{result:#?}");
    // Each reply closes its connection: one that was reopened is used and closed again.
    assert!(keepalive.received > 10, "{result:#?}");
    assert!(connections.reconnected > 10, "{result:#?}");
    assert!(connections.reconnected <= keepalive.received, "{result:#?}");
    assert_eq!(keepalive.mismatched, 0, "{result:#?}");
}

#[test]
fn reopened_idle_connections_answer_their_probe() {
    let message = HTTP.replace("[keepalive]\nevery = \"1s\"", "[message]");
    let output = hold(
        &serve_streams(answer_and_close),
        &format!("{HTTP}{message}"),
        &[],
    );
    let result = output.result();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(result.connections.reconnected >= 10, "{result:#?}");
    let probe = &result.probe;
    assert_eq!((probe.asked, probe.alive), (10, 10), "{result:#?}");
}

#[test]
fn keepalive_that_is_never_answered_is_missing() {
    let output = hold(&serve_streams(ignore), HTTP, &["--probe", "off"]);
    let result = output.result();
    let keepalive = &result.keepalive;
    assert_eq!(
        (keepalive.sent, keepalive.received, keepalive.mismatched),
        (10, 0, 0),
        "no second one before the reply to the first: {result:#?}"
    );
    assert!(keepalive.unanswered >= 10, "{result:#?}");
    assert_eq!(output.code, Some(3), "{output:#?}");
    let missing = format!("{} replies missing", keepalive.unanswered);
    assert!(output.stderr.contains(&missing), "{output:#?}");
    // Further connections are held all the same.
    assert_eq!(
        (result.connections.opened, result.connections.lost),
        (10, 0),
        "{result:#?}"
    );
}
