//! Upgrades that fail: the old process continues, and no connection notices.

use std::fs::{self, OpenOptions};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Clients, Upgradable, signal};
use crate::client::assert_reset;
use crate::harness::{PATIENCE, eventually};
use crate::machine::open_fds;
use crate::tools::have_tool;

/// The time for each step of an upgrade that is to end by it.
const TIMEOUT: &str = "700ms";

/// The time for each step of other upgrades, which is enough on a loaded machine.
pub(super) const LONG: &str = "20s";

/// How often each kind of failure is tried.
fn rounds() -> usize {
    std::env::var("ECHOLOOP_UPGRADE_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

/// A daemon with clients in the middle of a line.
fn start() -> (Upgradable, Clients) {
    start_with_timeout(LONG)
}

fn start_with_timeout(timeout: &str) -> (Upgradable, Clients) {
    let server = Upgradable::start(&["-p", "line", "--upgrade-timeout", timeout]);
    let clients = Clients::connect(&server, 20);
    (server, clients)
}

/// Upgrades, which must fail for this reason and change nothing for the clients.
#[track_caller]
pub(super) fn assert_fails(server: &Upgradable, clients: &mut Clients, reason: &str) {
    clients.finish_lines();
    for round in 0..rounds() {
        let (fds, failures) = (
            open_fds(server.pid()),
            server.lines_with("upgrade failed").len(),
        );
        let output = server.upgrade();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "round {round}: {error}");
        assert!(
            error.contains(reason),
            "round {round}: {error:?} is not about {reason:?}"
        );
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        clients.finish_lines();
        Clients::connect(server, 1).finish_lines();
        assert_eq!(server.pid(), server.daemon.pid());
        assert_eq!(children_of(server.pid()), 0, "no zombie");
        eventually(
            PATIENCE,
            "all descriptors of the attempt are closed",
            || open_fds(server.pid()) <= fds,
        );
        eventually(PATIENCE, "the failure is logged", || {
            server.lines_with("upgrade failed").len() > failures
        });
        let logged = server.lines_with("upgrade failed");
        assert_eq!(logged.len(), failures + 1, "{logged:#?}");
        let line = &logged[failures];
        assert!(
            line.contains(reason) && line.ends_with("; this process continues"),
            "{line}"
        );
    }
}

/// The number of child processes, zombies included.
pub(crate) fn children_of(pid: u32) -> usize {
    let parent = |path: &std::path::Path| {
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let processes = fs::read_dir("/proc").unwrap();
    let parents = processes.filter_map(|entry| parent(&entry.unwrap().path()));
    parents.filter(|parent| *parent == pid).count()
}

#[track_caller]
fn program_fails(contents: &[u8], mode: u32, reason: &str) {
    let (server, mut clients) = start();
    server.install(contents, mode);
    assert_fails(&server, &mut clients, reason);
}

/// A new process of the script with this mode fails.
#[track_caller]
fn script_fails(mode: &str, reason: &str) {
    script_fails_within(LONG, mode, reason);
}

#[track_caller]
fn script_fails_within(timeout: &str, mode: &str, reason: &str) {
    if !have_tool("python3") {
        return;
    }
    let (server, mut clients) = start_with_timeout(timeout);
    server.install_script(mode);
    assert_fails(&server, &mut clients, reason);
}

#[test]
fn missing_program_is_named() {
    let (server, mut clients) = start();
    fs::remove_file(server.path("echoloop")).unwrap();
    assert_fails(&server, &mut clients, "No such file or directory");
}

#[test]
fn program_without_permission_is_named() {
    program_fails(b"#!/bin/sh\n", 0o644, "Permission denied");
}

#[test]
fn program_of_another_format_fails() {
    program_fails(b"\x7fELF nothing", 0o755, "the new p");
}

#[test]
fn program_that_is_being_written_is_busy() {
    let (server, mut clients) = start();
    let copy = fs::read(server.path("real")).unwrap();
    server.install(&copy, 0o755);
    let _writer = OpenOptions::new()
        .write(true)
        .open(server.path("echoloop"))
        .unwrap();
    assert_fails(&server, &mut clients, "Text file busy");
}

#[test]
fn program_that_exits_is_reported_with_its_code() {
    program_fails(b"#!/bin/sh\nexit 3\n", 0o755, "exit status: 3");
}

#[test]
fn program_that_aborts_is_reported_with_its_signal() {
    program_fails(b"#!/bin/sh\nkill -ABRT $$\n", 0o755, "SIGABRT");
}

#[test]
fn another_program_is_detected() {
    let cat = fs::read("/bin/cat").unwrap();
    program_fails(&cat, 0o755, "the new process has ended");
}

#[test]
fn program_that_answers_garbage_is_detected() {
    script_fails("garbage", "is it a version of echoloop");
}

#[test]
fn program_that_hangs_is_killed_at_the_timeout() {
    let (server, mut clients) = start_with_timeout(TIMEOUT);
    server.install(b"#!/bin/sh\nexec sleep 1000\n", 0o755);
    let start = Instant::now();
    assert_fails(&server, &mut clients, "--upgrade-timeout");
    assert!(start.elapsed() >= Duration::from_millis(700));
}

#[test]
fn program_that_closes_the_channel_and_stays_is_killed() {
    let script = b"#!/bin/sh\nexec sleep 1000 < /dev/null\n";
    program_fails(script, 0o755, "the new process has ended");
}

#[test]
fn program_without_common_format_is_refused() {
    script_fails("formats", "of the formats 7 to 9");
}

#[test]
fn program_with_another_protocol_is_refused() {
    script_fails("protocol", "the new process has the protocol frame:4");
}

#[test]
fn program_that_reads_states_differently_is_refused() {
    script_fails("rehearsal", "does not read the state of connections");
}

#[test]
fn program_with_a_lower_limit_of_descriptors_is_refused() {
    script_fails("descriptors", "may have 3 file descriptors");
}

#[test]
fn program_killed_during_the_handover_is_reported() {
    script_fails("killed", "SIGKILL");
}

#[test]
fn program_that_cannot_register_a_connection_is_reported() {
    script_fails("register", "No space left on device");
}

#[test]
fn program_that_hangs_after_it_has_taken_all_is_killed() {
    script_fails_within(TIMEOUT, "taken", "did not answer in time");
}

#[test]
fn flipped_bit_is_detected() {
    script_fails("flip", "a wrong checksum");
}

#[test]
fn unknown_critical_section_is_refused() {
    script_fails("section", "unknown kind 99");
}

#[test]
fn new_process_that_dies_after_it_served_resets_all_connections() {
    if !have_tool("python3") {
        return;
    }
    let (mut server, clients) = start();
    server.install_script("lost");
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    clients.0.into_iter().for_each(assert_reset);
    assert_eq!(server.daemon.wait_exit(PATIENCE), Some(1));
    let lines = server.lines_with("its connections are lost");
    assert_eq!(lines.len(), 1, "{:#?}", server.daemon.lines());
}

#[test]
fn sigterm_during_a_failing_handover_drains_the_old_process() {
    if !have_tool("python3") {
        return;
    }
    let (mut server, clients) = start_with_timeout("5s");
    server.install_script("freeze");
    server.daemon.signal(Signal::SIGUSR2);
    eventually(PATIENCE, "the event loop has stopped", || {
        server.path("frozen").exists()
    });
    server.daemon.signal(Signal::SIGTERM);
    server.daemon.wait_for_line("the drain", |line| {
        line.contains("SIGTERM: draining 20 connections")
    });
    drop(clients);
    assert_eq!(server.daemon.wait_exit(PATIENCE), Some(0));
}

#[test]
fn upgrade_is_refused_while_draining() {
    let (mut server, mut clients) = start();
    clients.finish_lines();
    server.daemon.signal(Signal::SIGTERM);
    server
        .daemon
        .wait_for_line("the drain", |line| line.contains("draining 20 connections"));
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the drain has started"), "{error}");
}

#[test]
fn upgrade_is_refused_with_a_parent_to_end_with() {
    let server = Upgradable::start(&["-p", "line", "--end-with-parent"]);
    let mut clients = Clients::connect(&server, 1);
    assert_fails(&server, &mut clients, "--end-with-parent");
}

#[test]
fn upgrade_of_the_main_process_of_a_unit_is_refused() {
    let server = Upgradable::start_as(&["-p", "line"], |path| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "export SYSTEMD_EXEC_PID=$$; exec \"$0\" \"$@\""])
            .arg(path);
        shell
    });
    let mut clients = Clients::connect(&server, 1);
    assert_fails(&server, &mut clients, "systemd ends this unit");
}

#[test]
fn second_request_is_ignored_while_an_upgrade_is_in_progress() {
    let (mut server, mut clients) = start_with_timeout(TIMEOUT);
    server.install(b"#!/bin/sh\nexec sleep 1000\n", 0o755);
    server.daemon.signal(Signal::SIGUSR2);
    server
        .daemon
        .wait_for_line("a start", |line| line.contains("upgrade: started"));
    server.daemon.signal(Signal::SIGUSR2);
    server.daemon.wait_for_line("the second request", |line| {
        line.contains("SIGUSR2: ignored, since an upgrade is in progress")
    });
    server
        .daemon
        .wait_for_line("the end", |line| line.contains("upgrade failed"));
    clients.finish_lines();
    signal(server.pid(), Signal::SIGTERM);
    drop(clients);
    assert_eq!(server.daemon.wait_exit(PATIENCE), Some(0));
}
