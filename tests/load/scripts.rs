//! Scripts against real servers: 1,000 idle and 20 active connections, all replies verified.

use crate::real_servers::{Server, asyncio_lines, memcached, mosquitto, nginx, redis, websockets};
use crate::run::{load, result, script_file};
use crate::servers::serve_streams;
use echoloop::load::{LoadResult, Script};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};

/// Runs a script on a server and checks that nothing went wrong. None if the server is not installed.
#[track_caller]
fn verified(server: Option<Server>, script: &str) -> Option<LoadResult> {
    let server = server?;
    let output = load(&[
        &server.address,
        "--script",
        script,
        "--idle",
        "1k",
        "--active",
        "20",
        "--duration",
        "3s",
        "-o",
        "json",
    ]);
    let result = output.result();
    let (connections, echo, probe) = (&result.connections, &result.echo, &result.probe);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let counts = (
        connections.opened,
        connections.lost,
        connections.failed.total(),
    );
    assert_eq!(counts, (1020, 0, 0), "{result:#?}");
    assert!(echo.received > 0, "{result:#?}");
    assert_eq!((echo.mismatched, echo.unanswered), (0, 0), "{result:#?}");
    assert_eq!((probe.asked, probe.alive), (1000, 1000), "{result:#?}");
    let wrong = result
        .warnings
        .iter()
        .find(|warning| warning.contains("WRONG"));
    assert_eq!(wrong, None);
    Some(result)
}

#[test]
fn http_script_verifies_nginx() {
    if let Some(result) = verified(nginx(1000), "http") {
        // Each connection is closed after 1,000 requests, those of the warm-up included.
        let least = (result.echo.received / 1000).saturating_sub(20);
        assert!(result.connections.reconnected >= least, "{result:#?}");
    }
}

#[test]
fn connections_that_nginx_closes_are_reconnected_not_lost() {
    for pipeline in ["1", "4"] {
        let Some(server) = nginx(20) else {
            return;
        };
        let target = ["--script", "http", "--active", "4", "--rate", "1k"];
        let time = ["--duration", "1s", "--pipeline", pipeline];
        let result = result(&[&[&server.address[..]], &target[..], &time].concat());
        let echo = &result.echo;
        assert_eq!((echo.due, echo.unanswered), (1000, 0), "{result:#?}");
        assert!(echo.received > 0, "{result:#?}");
        assert_eq!(echo.mismatched, 0, "{result:#?}");
        assert_eq!(result.connections.lost, 0, "{result:#?}");
        assert!(result.connections.reconnected >= 46, "{result:#?}");
    }
}

#[test]
fn redis_script_verifies_redis() {
    verified(redis(), "redis");
}

#[test]
fn memcached_script_verifies_memcached() {
    verified(memcached(), "memcached");
}

#[test]
fn mqtt_script_verifies_mosquitto() {
    if let Some(result) = verified(mosquitto(), "mqtt") {
        assert_eq!(result.keepalive.mismatched, 0, "{result:#?}");
    }
}

#[test]
fn websocket_script_verifies_the_websockets_package() {
    verified(websockets(), "websocket");
}

#[test]
fn script_file_verifies_a_server_that_speaks_first() {
    let script = script_file(
        r#"
[hello]
expect = { line = true, starts_with = "220 " }
[message]
send = "NOOP {connection} {sequence}\r\n"
expect = { line = true, equals = "250 NOOP {connection} {sequence}" }
[keepalive]
every = "1s"
send = "KEEP {connection} {sequence}\r\n"
expect = { line = true, matches = '\A250 KEEP {connection} {sequence}\z' }
"#,
    );
    if let Some(result) = verified(asyncio_lines(), script.path().to_str().unwrap()) {
        let keepalive = &result.keepalive;
        assert!(keepalive.received >= 1000, "{result:#?}");
        assert_eq!(
            (keepalive.mismatched, keepalive.unanswered),
            (0, 0),
            "{result:#?}"
        );
    }
}

#[test]
fn passive_script_holds_connections_and_sends_nothing() {
    let Some(server) = asyncio_lines() else {
        return;
    };
    let result = result(&[
        &server.address,
        "--script",
        "passive",
        "--idle",
        "1k",
        "--duration",
        "1s",
    ]);
    assert_eq!(
        (result.connections.opened, result.connections.lost),
        (1000, 0),
        "{result:#?}"
    );
    assert_eq!(
        (result.echo.sent, result.probe.asked),
        (0, 0),
        "{result:#?}"
    );
    assert!(
        !result
            .warnings
            .iter()
            .any(|warning| warning.contains("WRONG")),
        "{result:#?}"
    );
}

#[test]
fn texts_on_the_command_line_are_a_script() {
    let Some(server) = redis() else {
        return;
    };
    let result = result(&[
        &server.address,
        "--hello",
        r"PING\r\n",
        "--message",
        r"INCR key-{connection}\r\n",
        "--reply-until",
        r"\r\n",
        "--active",
        "5",
        "--rate",
        "500",
        "--pipeline",
        "4",
        "--duration",
        "1s",
    ]);
    let echo = &result.echo;
    let counts = (echo.due, echo.mismatched, echo.unanswered);
    assert_eq!(counts, (500, 0, 0), "{result:#?}");
    assert!(echo.received > 0, "{result:#?}");
    assert_eq!(result.connections.failed.total(), 0, "{result:#?}");
}

#[test]
fn rate_pipeline_and_churn_work_with_a_hello() {
    for more in [
        &["--rate", "1k", "--pipeline", "8"][..],
        &["--churn", "reset"],
    ] {
        let Some(server) = mosquitto() else {
            return;
        };
        let common = ["--script", "mqtt", "--active", "10", "--duration", "1s"];
        let arguments = [&[&server.address[..]], &common[..], more].concat();
        let result = result(&arguments);
        assert!(result.echo.received > 0, "{more:?}: {result:#?}");
        assert_eq!(result.echo.mismatched, 0, "{more:?}: {result:#?}");
        assert_eq!(
            result.connections.failed.total(),
            0,
            "{more:?}: {result:#?}"
        );
    }
}

#[test]
fn built_in_scripts_work_as_copies() {
    let Some(server) = redis() else {
        return;
    };
    let copy = script_file(Script::source("redis").unwrap());
    verified(Some(server), copy.path().to_str().unwrap());
}

#[test]
fn steps_of_a_search_have_the_same_run() {
    let runs = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&runs);
    let server = serve_streams(move |mut stream| {
        let reader = BufReader::new(stream.try_clone().unwrap());
        for line in reader.lines().map_while(Result::ok) {
            let run = line.split(' ').next().unwrap_or_default().to_owned();
            seen.lock().unwrap().insert(run);
            if stream.write_all(format!("{line}\n").as_bytes()).is_err() {
                return;
            }
        }
    });
    let text = "{run} {connection} {sequence}";
    let script =
        format!("[message]\nsend = '{text}\\n'\nexpect = {{ line = true, equals = '{text}' }}\n");
    let script = script_file(&script);
    let search = |arguments: &[&str]| {
        let script = script.path().to_str().unwrap();
        let common = [&server, "--script", script, "--active", "2"];
        let time = ["--step", "100ms"];
        let result = result(&[&common[..], &time, arguments].concat());
        assert_eq!(result.echo.mismatched, 0, "{result:#?}");
        assert_eq!(result.find.unwrap().steps.len(), 3);
    };
    search(&["--sweep", "rate=100..400:3"]);
    assert_eq!(runs.lock().unwrap().len(), 1, "{runs:?}");
    search(&["--sweep", "rate=100..400:3"]);
    assert_eq!(runs.lock().unwrap().len(), 2, "another run: {runs:?}");
}
