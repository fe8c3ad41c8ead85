//! `deploy/ssh/pdsh` and `deploy/ssh/parallel`, with a command in place of `ssh` that runs the rest of its arguments in a
//! shell of this machine, as `ssh` does on another.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::server::Server;
use crate::tools::{have_tool, run_within};
use crate::{ECHOLOOP, recipe};

const PATIENCE: Duration = Duration::from_secs(120);

/// Writes the name of the host to a file. The host `down` cannot be reached.
const SSH: &str = r#"#!/bin/sh
while [ "${1#-}" != "$1" ]; do
  [ "$1" != -o ] || shift
  shift
done
echo "$1" >>"$HOSTS"
[ "$1" != down ] || exit 255
shift
exec sh -c "$*"
"#;

struct Ended {
    exit_code: Option<i32>,
    stdout: String,
    stderr: String,
    /// The hosts to which `ssh` connected, sorted.
    hosts: Vec<String>,
}

/// Runs a recipe to its end; `None` if its tool is missing.
fn load_from(tool: &str, hosts: &str, arguments: &[&str]) -> Option<Ended> {
    if !have_tool(tool) {
        return None;
    }
    let folder = TempDir::new().unwrap();
    let (ssh, log) = (folder.path().join("ssh"), folder.path().join("hosts"));
    fs::write(&ssh, SSH).unwrap();
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    let path = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(recipe("ssh").join(tool));
    command
        .arg(hosts)
        .args(arguments)
        .env_remove("ECHOLOOP_LOG")
        .env("ECHOLOOP", ECHOLOOP)
        .env("START_IN", "5")
        // By default pdsh runs no more than these commands at a time.
        .env("FANOUT", "1")
        .env("HOSTS", &log)
        .env("HOME", folder.path())
        .env("PATH", format!("{}:{path}", folder.path().display()));
    let output = run_within(PATIENCE, command, b"");
    let hosts = fs::read_to_string(log).unwrap();
    let mut hosts: Vec<String> = hosts.lines().map(str::to_owned).collect();
    hosts.sort();
    Some(Ended {
        exit_code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        hosts,
    })
}

/// Runs a check of both recipes at the same time.
fn with_both(check: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for tool in ["pdsh", "parallel"] {
            scope.spawn(|| check(tool));
        }
    });
}

#[track_caller]
fn assert_all_hosts_are_merged(tool: &str, hosts: &str) {
    let server = Server::start(&[]);
    let load = [
        "--idle",
        "1000",
        "--active",
        "10",
        "--rate",
        "100",
        "--duration",
        "3s",
    ];
    // A shell would take < for a redirection, and pdsh %h for the host.
    let expected = ["--expect", "p99<60s", "--expect", "alive=100%"];
    let message = ["--message", "to %h", "--reply-length", "5"];
    let load = [&[&*server.address][..], &load, &expected, &message].concat();
    let Some(ended) = load_from(tool, hosts, &load) else {
        return;
    };
    let (stdout, stderr) = (&ended.stdout, &ended.stderr);
    assert_eq!(ended.exit_code, Some(0), "{stdout}{stderr}");
    assert_eq!(ended.hosts, ["load1", "load2", "load3", "load4"]);
    for part in [
        "1,010 requested, 1,010 established, 0 failed, 0 lost",
        "1,000 idle probed, 1,000 alive, 0 dead, 0 mismatched",
        "300 due, ",
        "alive=100%: met",
        "p99<60s: met",
    ] {
        assert!(stdout.contains(part), "no {part} in {stdout}{stderr}");
    }
}

#[test]
fn pdsh_merges_the_parts_of_all_hosts() {
    assert_all_hosts_are_merged("pdsh", "load[1-4]");
}

#[test]
fn parallel_merges_the_parts_of_all_hosts() {
    assert_all_hosts_are_merged("parallel", "load1,load2,load3,load4");
}

#[test]
fn missed_expectation_of_a_host_is_exit_code_3() {
    let server = Server::start(&[]);
    let load = ["--active", "2", "--rate", "20", "--duration", "3s"];
    let load = [&[&*server.address][..], &load, &["--expect", "p99<1us"]].concat();
    with_both(|tool| {
        let Some(ended) = load_from(tool, "load1,load2", &load) else {
            return;
        };
        let text = ended.stdout + &ended.stderr;
        assert_eq!(ended.exit_code, Some(3), "{tool}: {text}");
        assert!(text.contains("p99<1us: MISSED"), "{tool}: {text}");
    });
}

#[test]
fn host_that_cannot_be_reached_is_named_with_exit_code_1() {
    let server = Server::start(&[]);
    let load = ["--active", "3", "--rate", "30", "--duration", "3s"];
    let load = [&[&*server.address][..], &load].concat();
    with_both(|tool| {
        let Some(ended) = load_from(tool, "load1,down,load3", &load) else {
            return;
        };
        let text = ended.stdout + &ended.stderr;
        assert_eq!(ended.exit_code, Some(1), "{tool}: {text}");
        assert!(text.contains("part 2 of 3"), "{tool}: {text}");
        assert_eq!(ended.hosts, ["down", "load1", "load3"]);
    });
}

#[test]
fn missing_arguments_are_wrong_usage() {
    for tool in ["pdsh", "parallel"] {
        let command = Command::new(recipe("ssh").join(tool));
        let output = run_within(PATIENCE, command, b"");
        assert_eq!(output.status.code(), Some(2), "{tool}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.starts_with("usage: "), "{tool}: {message}");
    }
}
