//! A server that is PID 1, as in a container: its end would be the end of the container, so it refuses upgrades.

use std::path::Path;
use std::process::Command;

use nix::unistd::Uid;

use super::launch;
use crate::client::{assert_reads, connect};
use crate::harness::{PATIENCE, echoloop};
use crate::tools::{have_tool, lacking, run_within};
use std::io::Write;

/// A command that runs a program as PID 1 of a new PID namespace, and kills it when it ends itself.
fn as_pid_one() -> Command {
    let mut command = Command::new("unshare");
    // -r: root in a new user namespace.
    let flags = if Uid::effective().is_root() {
        "-pf"
    } else {
        "-rpf"
    };
    command.args([flags, "--kill-child"]);
    command
}

/// A command that runs a program in the PID namespace of the child of this process.
fn beside_child_of(parent: u32) -> Command {
    let mut command = Command::new("nsenter");
    let namespace = format!("--pid=/proc/{parent}/ns/pid_for_children");
    if !Uid::effective().is_root() {
        command.arg(format!("--user=/proc/{parent}/ns/user"));
        command.arg("--preserve-credentials");
    }
    command.arg(namespace);
    command
}

fn have_pid_namespaces() -> bool {
    let works = || {
        let mut command = as_pid_one();
        command.args(["sh", "-c", "exit $(($$ - 1))"]);
        run_within(PATIENCE, command, b"").status.success()
    };
    have_tool("unshare")
        && have_tool("nsenter")
        && (works() || lacking("a PID namespace (unshare -p) is not permitted"))
}

fn upgrade(parent: u32, pid_file: &Path) -> std::process::Output {
    let mut command = beside_child_of(parent);
    command
        .arg(echoloop().get_program())
        .args(["upgrade", "--wait", "--pid-file"])
        .arg(pid_file)
        .env_remove("ECHOLOOP_LOG");
    run_within(2 * PATIENCE, command, b"")
}

#[test]
fn upgrade_of_pid_1_is_refused_and_it_continues() {
    if !have_pid_namespaces() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let mut command = as_pid_one();
    command.arg(echoloop().get_program());
    let daemon = launch(command, &pid_file, &["-p", "line"]);
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), "1");
    let mut client = connect(daemon.address());
    client.write_all(b"begin ").unwrap();
    let output = upgrade(daemon.pid(), &pid_file);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let reason = "this process is PID 1, and its container or machine ends with it: \
                  start a new container instead";
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(error.contains(reason), "{error}");
    let line = daemon.wait_for_line("the refusal", |line| line.contains("upgrade failed"));
    assert!(line.contains(reason), "{line}");
    assert!(line.ends_with("; this process continues"), "{line}");
    client.write_all(b"end\n").unwrap();
    assert_reads(&mut client, b"ECHO begin end\n");
    let mut new = connect(daemon.address());
    new.write_all(b"new\n").unwrap();
    assert_reads(&mut new, b"ECHO new\n");
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), "1");
}
