//! Hot upgrades with TLS: the new process accepts, the old one serves its TLS connections until they end.

use std::net::{Shutdown, SocketAddr};

use nix::sys::signal::Signal;

use super::{Authority, Peer};
use crate::harness::{PATIENCE, eventually};
use crate::machine::open_fds;
use crate::upgrade::{Upgradable, children_of, signal};

/// A server with TLS that can be upgraded.
fn start(extra: &[&str]) -> (Authority, Upgradable) {
    let authority = Authority::new();
    let flags = authority.flags(extra);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let server = Upgradable::start(&flags);
    (authority, server)
}

/// Upgrades; returns the old and the new process.
#[track_caller]
fn upgrade(server: &Upgradable) -> (u32, u32) {
    let old = server.pid();
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{error} {:#?}",
        server.daemon.lines()
    );
    assert_ne!(server.pid(), old);
    (old, server.pid())
}

fn open(authority: &Authority, server: &Upgradable) -> Option<Peer> {
    Peer::open(authority, &server.daemon, &[])
}

/// Whether a process runs; not if it is a zombie.
fn runs(pid: u32) -> bool {
    // One read: the process may be reaped at any time.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        let state = stat.rsplit_once(") ");
        state.is_some_and(|(_, rest)| !rest.starts_with('Z'))
    })
}

#[track_caller]
fn assert_exits(pid: u32) {
    eventually(PATIENCE, "the process has exited", || !runs(pid));
}

#[test]
fn old_process_serves_its_connections_until_they_end() {
    let (authority, mut server) = start(&[]);
    let Some(mut before) = open(&authority, &server) else {
        return;
    };
    before.assert_echo();
    let (old, new) = upgrade(&server);
    let mut after = open(&authority, &server).unwrap();
    for peer in [&mut before, &mut after] {
        peer.assert_echo();
    }
    let lingers = "this process serves 1 TLS connection until it ends, for at most ";
    server
        .daemon
        .wait_for_line("that it lingers", |line| line.contains(lingers));
    assert!(runs(old));
    assert_eq!(before.ask("unwrap"), "unwrapped");
    server.daemon.wait_for_line("the end", |line| {
        line.contains("this process has no connection left, and exits")
    });
    assert_eq!(server.daemon.wait_exit_of_old(PATIENCE), Some(0));
    after.assert_echo();
    assert_eq!(server.pid(), new);
}

/// Listeners, the number of the next connection and the counters of closed ones go over.
#[test]
fn counters_and_numbers_continue_in_the_new_process() {
    let (authority, server) = start(&[]);
    let Some(mut first) = open(&authority, &server) else {
        return;
    };
    first.assert_echo();
    assert_eq!(first.ask("unwrap"), "unwrapped");
    drop(first);
    server.daemon.close_summary(1);
    let (old, new) = upgrade(&server);
    assert_exits(old);
    let mut second = open(&authority, &server).unwrap();
    second.assert_echo();
    server
        .daemon
        .wait_for_line("the number", |line| line.contains("#2 open"));
    assert_eq!(second.ask("unwrap"), "unwrapped");
    server.daemon.close_summary(2);
    signal(new, Signal::SIGTERM);
    server.daemon.wait_for_line("the counters", |line| {
        line.contains("2 connections served, 0 refused")
    });
}

#[test]
fn old_process_drains_when_its_time_is_over() {
    let (authority, mut server) = start(&["--upgrade-linger", "1s"]);
    let Some(mut before) = open(&authority, &server) else {
        return;
    };
    let (_, new) = upgrade(&server);
    assert_eq!(before.ask("end"), "b'' then close_notify");
    server.daemon.wait_for_line("the reason", |line| {
        line.contains("the time after the upgrade is over: draining 1 connection")
    });
    drop(before);
    assert_eq!(server.daemon.wait_exit_of_old(PATIENCE), Some(0));
    assert_eq!(server.pid(), new);
    open(&authority, &server).unwrap().assert_echo();
}

#[test]
fn old_process_without_connections_exits_and_keeps_the_pid_file() {
    for _ in 0..5 {
        let (authority, mut server) = start(&[]);
        let (_, new) = upgrade(&server);
        assert_eq!(server.daemon.wait_exit_of_old(PATIENCE), Some(0));
        assert_eq!(server.pid(), new);
        let Some(mut peer) = open(&authority, &server) else {
            return;
        };
        peer.assert_echo();
    }
}

#[test]
fn second_sigusr2_to_the_old_process_is_refused() {
    let (authority, server) = start(&[]);
    let Some(mut before) = open(&authority, &server) else {
        return;
    };
    let (old, new) = upgrade(&server);
    signal(old, Signal::SIGUSR2);
    server.daemon.wait_for_line("the refusal", |line| {
        line.ends_with(
            "upgrade failed: another process accepts its connections since an upgrade; this process continues",
        )
    });
    before.assert_echo();
    open(&authority, &server).unwrap().assert_echo();
    assert_eq!(server.pid(), new);
}

/// A chain of processes, each of which serves a connection; one after the other exits, none becomes a zombie.
#[test]
fn new_process_can_be_upgraded_again() {
    let (authority, server) = start(&[]);
    let Some(first) = open(&authority, &server) else {
        return;
    };
    let mut peers = vec![first];
    let mut pids = vec![server.pid()];
    for _ in 0..3 {
        pids.push(upgrade(&server).1);
        peers.push(open(&authority, &server).unwrap());
    }
    for peer in &mut peers {
        peer.assert_echo();
    }
    // The second process ends before its parent.
    let order = [1, 2, 0];
    for index in order {
        assert_eq!(peers[index].ask("unwrap"), "unwrapped");
        let pid = pids[index];
        assert_exits(pid);
        if index != 0 {
            eventually(PATIENCE, "the process is no zombie", || {
                !std::path::Path::new(&format!("/proc/{pid}")).exists()
            });
        }
    }
    peers[3].assert_echo();
    assert_eq!(children_of(pids[3]), 0);
}

#[test]
fn failed_upgrade_changes_nothing() {
    let (authority, server) = start(&[]);
    let Some(mut before) = open(&authority, &server) else {
        return;
    };
    let fds = open_fds(server.pid());
    // The new process cannot read its certificate.
    let certificate = std::fs::read_to_string(authority.path("cert.pem")).unwrap();
    std::fs::remove_file(authority.path("cert.pem")).unwrap();
    let output = server.upgrade();
    assert_eq!(output.status.code(), Some(1));
    before.assert_echo();
    open(&authority, &server).unwrap().assert_echo();
    eventually(PATIENCE, "no file descriptor is left", || {
        open_fds(server.pid()) <= fds
    });
    assert_eq!(children_of(server.pid()), 0);
    authority.replace("cert.pem", &certificate);
    upgrade(&server);
    before.assert_echo();
    open(&authority, &server).unwrap().assert_echo();
}

/// The listeners, the channel and the timer of the upgrade are closed in the old process.
#[test]
fn file_descriptors_do_not_leak() {
    let (authority, server) = start(&[]);
    let Some(mut before) = open(&authority, &server) else {
        return;
    };
    let fds = open_fds(server.pid());
    let (old, new) = upgrade(&server);
    before.assert_echo();
    // Without the listener, with a descriptor that reports the exit of the new process.
    eventually(PATIENCE, "the old process has closed the rest", || {
        open_fds(old) <= fds
    });
    let mut after = open(&authority, &server).unwrap();
    after.assert_echo();
    eventually(PATIENCE, "the new process has as many", || {
        open_fds(new) <= fds
    });
}

#[test]
fn old_process_reloads_and_drains_on_signals_like_others() {
    let (authority, mut server) = start(&[]);
    let Some(mut before) = open(&authority, &server) else {
        return;
    };
    let (old, _) = upgrade(&server);
    signal(old, Signal::SIGHUP);
    server.daemon.wait_for_line("the reload", |line| {
        line.contains("SIGHUP: the certificates were loaded again")
    });
    before.assert_echo();
    signal(old, Signal::SIGTERM);
    assert_eq!(before.ask("end"), "b'' then close_notify");
    drop(before);
    assert_eq!(server.daemon.wait_exit_of_old(PATIENCE), Some(0));
    open(&authority, &server).unwrap().assert_echo();
}

/// The old process does not accept, so no connection waits in vain.
#[test]
fn every_connection_after_the_upgrade_is_of_the_new_process() {
    let (authority, server) = start(&[]);
    let Some(mut before) = open(&authority, &server) else {
        return;
    };
    let (old, _) = upgrade(&server);
    let address: SocketAddr = server.daemon.address();
    for _ in 0..50 {
        let stream = crate::client::connect(address);
        stream.shutdown(Shutdown::Write).unwrap();
        let mut stream = stream;
        assert_eq!(crate::client::read_to_fin(&mut stream), b"");
    }
    server
        .daemon
        .wait_for_line("the last one", |line| line.contains("#51 closed"));
    assert!(runs(old));
    before.assert_echo();
}
