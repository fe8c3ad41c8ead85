//! Flags from the environment, and the form of the log.

use nix::sys::signal::Signal;

use crate::client::{assert_echo, assert_reads, connect};
use crate::harness::{Daemon, PATIENCE, echoloop, listening_address};
use std::io::Write;

/// A daemon that is configured by the environment alone.
fn start(variables: &[(&str, &str)]) -> Daemon {
    let mut command = echoloop();
    command
        .arg("serve")
        .env("ECHOLOOP_LISTEN", "127.0.0.1:0,[::1]:0");
    command.envs(variables.iter().copied());
    Daemon::launch(command, 2)
}

#[test]
fn variables_are_flags_and_lists_have_commas() {
    let daemon = start(&[
        ("ECHOLOOP_PROTOCOL", "line"),
        ("ECHOLOOP_PREFIX", "you said: "),
        ("ECHOLOOP_REUSE_PORT", "1"),
        ("ECHOLOOP_DENY", "192.0.2.1,10.0.0.0/8"),
    ]);
    for address in daemon.addresses() {
        let mut client = connect(*address);
        client.write_all(b"hello\n").unwrap();
        assert_reads(&mut client, b"you said: hello\n");
    }
}

#[test]
fn flag_takes_precedence_over_its_variable() {
    let mut command = echoloop();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--protocol", "raw"])
        .env("ECHOLOOP_PROTOCOL", "line")
        .env("ECHOLOOP_LISTEN", "127.0.0.1:1");
    let daemon = Daemon::launch(command, 1);
    assert_echo(&mut connect(daemon.address()), b"no line");
}

#[test]
fn invalid_value_is_reported_with_its_variable() {
    let output = echoloop()
        .arg("serve")
        .env("ECHOLOOP_MAX_CONNECTIONS", "many")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("environment variable ECHOLOOP_MAX_CONNECTIONS"),
        "{error}"
    );
    let typed = echoloop()
        .args(["serve", "--max-connections", "many"])
        .env("ECHOLOOP_MAX_CONNECTIONS", "10")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&typed.stderr);
    assert!(!error.contains("environment"), "{error}");
}

#[test]
fn server_that_load_starts_ignores_the_variables() {
    let output = echoloop()
        .args(["load", "--idle", "1", "--duration", "100ms", "-o", "json"])
        .env("ECHOLOOP_PROTOCOL", "discard")
        .env("ECHOLOOP_MAX_CONNECTIONS", "not a number")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
}

/// The message of a log line in JSON, with its level.
#[track_caller]
fn parse(line: &str) -> (String, String) {
    let value: serde_json::Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    assert_eq!(text("time").len(), "2026-11-20T09:49:31.075Z".len());
    assert_eq!(value.as_object().unwrap().len(), 3, "{line}");
    (text("level"), text("message"))
}

#[test]
fn json_log_has_one_object_per_line() {
    let mut daemon = Daemon::start(&["-v", "--log-format", "json"]);
    assert_echo(&mut connect(daemon.address()), b"logged");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    let lines: Vec<_> = daemon.lines().iter().map(|line| parse(line)).collect();
    let has = |level: &str, start: &str| {
        lines
            .iter()
            .any(|(other, message)| other == level && message.starts_with(start))
    };
    assert!(has("info", "listening on 127.0.0.1:"), "{lines:?}");
    assert!(has("debug", "#1 open 127.0.0.1:"), "{lines:?}");
    assert!(
        has("debug", "#1 closed: peer closed, 6 bytes in, 6 out"),
        "{lines:?}"
    );
    assert!(has("info", "SIGTERM: draining"), "{lines:?}");
}

#[test]
fn text_log_has_no_module_paths() {
    let daemon = Daemon::start(&[]);
    let line = daemon.wait_for_line("the listener", |line| listening_address(line).is_some());
    let (_, rest) = line.split_once('Z').unwrap();
    assert!(rest.starts_with(" INFO  listening on 127.0.0.1:"), "{line}");
}
