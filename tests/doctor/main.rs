//! Runs `echoloop doctor` on this machine: its output and exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic with its message is the report of a failure"
)]

use serde_json::Value;
use std::process::{Command, Output, Stdio};

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    command
        .arg("doctor")
        .args(arguments)
        .env_remove("ECHOLOOP_LOG");
    command.output().expect("the executable starts")
}

/// With a hard limit of `most` file descriptors; any user may lower it.
fn doctor_with_fds(most: u64, arguments: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -n {most}; exec \"$0\" doctor \"$@\"");
    shell
        .args(["-c", &script, env!("CARGO_BIN_EXE_echoloop")])
        .args(arguments);
    shell
        .env_remove("ECHOLOOP_LOG")
        .output()
        .expect("sh starts")
}

/// The text on stdout; stderr must be empty.
#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "exit code; stderr: {stderr}"
    );
    assert!(stderr.is_empty(), "on stderr: {stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn parsed(output: &Output, code: i32) -> Value {
    let text = printed(output, code);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn limit<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut limits = document["limits"].as_array().unwrap().iter();
    let found = limits.find(|limit| limit["name"] == name);
    found.unwrap_or_else(|| panic!("no limit {name} in {document:#}"))
}

#[test]
fn one_connection_fits_a_server_and_both_ends() {
    for role in ["server", "both"] {
        let text = printed(&doctor(&["--connections", "1", "--role", role]), 0);
        assert!(text.starts_with("1 connection "), "{text}");
        assert!(text.contains(" fits: "), "{text}");
    }
}

#[test]
fn absurd_number_of_connections_exits_with_3() {
    for role in ["server", "load", "both"] {
        let text = printed(&doctor(&["--connections", "1000000m", "--role", role]), 3);
        assert!(text.starts_with("1,000,000,000,000 connections "), "{text}");
        assert!(text.contains("do not fit"), "{text}");
        assert!(text.contains("limits are too low:"), "{text}");
    }
}

#[test]
fn roles_load_and_client_are_the_same() {
    let role = |name| doctor_with_fds(100, &["--connections", "1k", "--role", name, "-o", "json"]);
    let (load, client) = (parsed(&role("load"), 3), parsed(&role("client"), 3));
    assert_eq!(load["role"], "client", "{load:#}");
    assert_eq!(load["carries"]["client"], client["carries"]["client"]);
    let of_server = ["backlog", "syn_backlog", "max_connections"];
    let notices = load["notices"].as_array().unwrap();
    let about = notices
        .iter()
        .map(|notice| notice["about"].as_str().unwrap());
    for about in about {
        assert!(!of_server.contains(&about), "{about} is for servers");
    }
    assert!(limit(&load, "ports")["allows"]["client"].is_u64());
    assert!(limit(&load, "ports")["allows"]["server"].is_null());
}

#[test]
fn without_a_number_it_reports_and_exits_with_0() {
    let text = printed(&doctor_with_fds(100, &[]), 0);
    assert!(
        text.starts_with("Connections that fit on this machine:\n"),
        "{text}"
    );
    assert!(
        text.contains("as server                67   limited first by open files"),
        "{text}"
    );
    assert!(
        text.contains("For 1,000,000 connections as server"),
        "{text}"
    );
    for heading in ["# now:", "# permanently:", "All limits", "fs.nr_open"] {
        assert!(text.contains(heading), "no {heading}: {text}");
    }
}

#[test]
fn the_number_that_just_fits_is_exact() {
    let exits = |connections: &str| {
        doctor_with_fds(100, &["--connections", connections])
            .status
            .code()
    };
    assert_eq!(
        exits("67"),
        Some(0),
        "100 file descriptors less 33 reserved"
    );
    assert_eq!(exits("68"), Some(3));
}

#[test]
fn json_has_its_stable_keys() {
    let document = parsed(
        &doctor_with_fds(100, &["-o", "json", "--connections", "1k"]),
        3,
    );
    for key in [
        "schema",
        "role",
        "asked",
        "fits",
        "carries",
        "raise_for",
        "limits",
        "notices",
        "facts",
    ] {
        assert!(!document[key].is_null(), "no {key} in {document:#}");
    }
    assert_eq!(document["fits"], false);
    assert_eq!(document["asked"], 1_000);
    assert_eq!(document["facts"]["descriptors_hard"], 100);
    for role in ["server", "client", "both"] {
        let carried = &document["carries"][role];
        assert!(
            carried["connections"].as_u64().unwrap() <= 67,
            "{document:#}"
        );
    }
    assert_eq!(document["carries"]["server"]["limited_by"], "descriptors");
    let fds = limit(&document, "descriptors");
    assert_eq!(fds["setting"], "RLIMIT_NOFILE");
    assert_eq!(fds["allows"]["server"], 67);
    assert_eq!(fds["enough"], false);
    let raise = &fds["raise"];
    assert_eq!(raise["to"], 1_033);
    assert!(
        raise["now"][0].as_str().unwrap().contains("1033"),
        "{raise}"
    );
    assert_eq!(raise["unit"], "LimitNOFILE=1033");
    assert_eq!(limit(&document, "nr_open")["enough"], true);
    for name in [
        "file_max",
        "epoll_watches",
        "ports",
        "loopback_ports",
        "memory",
    ] {
        let row = limit(&document, name);
        assert!(
            row["value"].is_u64() && row["taken"].is_u64() && row["limits"].is_string(),
            "{row:#}"
        );
    }
}

#[test]
fn json_agrees_with_the_kernel() {
    let document = parsed(&doctor(&["--output", "json"]), 0);
    for (key, file) in [
        ("nr_open", "fs/nr_open"),
        ("somaxconn", "net/core/somaxconn"),
    ] {
        let text = std::fs::read_to_string(format!("/proc/sys/{file}")).unwrap();
        assert_eq!(
            document["facts"][key],
            text.trim().parse::<u64>().unwrap(),
            "{file}"
        );
    }
    assert!(document["fits"].is_null(), "no number was given");
}

#[test]
fn serve_warns_above_the_capacity_that_doctor_reports() {
    let document = parsed(&doctor_with_fds(100, &["-o", "json"]), 0);
    let most = document["carries"]["server"]["connections"]
        .as_u64()
        .unwrap();
    // One more than fits gives a warning; a listener that cannot be opened ends the daemon.
    for (connections, warned) in [(most, false), (most + 1, true)] {
        let script = format!(
            "ulimit -n 100; exec \"$0\" serve --listen no-such-host.invalid:1 --max-connections {connections}"
        );
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_echoloop")])
            .env_remove("ECHOLOOP_LOG")
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            log.contains("than the 100 file descriptors allow"),
            warned,
            "{connections}: {log}"
        );
        assert_eq!(
            log.contains("echoloop doctor"),
            warned,
            "{connections}: {log}"
        );
    }
}

#[test]
fn wrong_usage_names_the_mistake_and_exits_with_2() {
    for (arguments, named) in [
        (&["--connections", "many"][..], "many"),
        (&["--connections", "0"], "more than zero"),
        (&["--role", "spectator"], "spectator"),
        (&["-o", "xml"], "xml"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["surplus"], "surplus"),
    ] {
        let output = doctor(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(2),
            "exit code of {arguments:?}: {stderr}"
        );
        assert!(
            stderr.contains(named),
            "{arguments:?}: no {named} in {stderr}"
        );
        assert!(
            output.stdout.is_empty(),
            "{arguments:?}: stdout is not empty"
        );
    }
}

#[test]
fn full_disk_is_reported_in_one_line() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    let output = command
        .arg("doctor")
        .stdout(Stdio::from(full))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("cannot write the result to stdout"),
        "{stderr}"
    );
}

#[test]
fn closed_stdout_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    let output = command
        .args(["doctor", "--connections", "1"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn help_shows_every_flag_and_examples() {
    let text = printed(&doctor(&["--help"]), 0);
    for flag in [
        "--connections",
        "--role",
        "-o, --output",
        "Exit code 3",
        "echoloop doctor -",
    ] {
        assert!(text.contains(flag), "{flag} is not in the help: {text}");
    }
}

#[test]
fn tls_sessions_take_memory_beside_the_kernel() {
    let plain = parsed(&doctor(&["-o", "json"]), 0);
    let tls = parsed(&doctor(&["--tls", "-o", "json"]), 0);
    assert!(plain["tls_session_bytes"].is_null(), "{plain:#}");
    assert_eq!(tls["tls_session_bytes"]["server"], 3686);
    assert_eq!(tls["tls_session_bytes"]["client"], 5100);
    let allowed = |document: &Value| {
        let memory = limit(document, "memory");
        memory["allows"]["server"].as_f64().unwrap() / memory["value"].as_f64().unwrap()
    };
    let ratio = allowed(&plain) / allowed(&tls);
    assert!((1.9..2.0).contains(&ratio), "{ratio}");
    let text = printed(&doctor(&["--tls"]), 0);
    assert!(text.starts_with("TLS connections that fit"), "{text}");
    assert!(text.contains("3,686 bytes on the server"), "{text}");
}
