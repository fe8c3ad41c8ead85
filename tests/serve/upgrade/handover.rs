//! Upgrades that succeed: everything goes on where it was.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Clients, Upgradable, signal};
use crate::client::{
    QUIET, assert_echo, assert_reads, assert_refused, connect, connect_with_buffers, read_to_fin,
    send_until_quiet, served, write_some,
};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{allow_fds, anonymous_bytes, open_fds};
use crate::tools::have_tool;

/// Upgrades, which must succeed. Returns the new process.
#[track_caller]
fn upgrade(server: &Upgradable) -> u32 {
    let old = server.pid();
    let output = server.upgrade();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{error} {:#?}",
        server.daemon.lines()
    );
    let new = server.pid();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, format!("PID {new} has taken over from PID {old}\n"));
    new
}

/// Stops the server that has taken over, and waits for its last log line.
fn drain(server: &Upgradable) -> String {
    signal(server.pid(), Signal::SIGTERM);
    server
        .daemon
        .wait_for_line("the end of the drain", |line| line.contains("drained in"))
}

#[test]
fn old_process_exits_with_0_and_the_new_one_listens() {
    let mut server = Upgradable::start(&[]);
    let mut before = server.connect();
    assert_echo(&mut before, b"before");
    let new = upgrade(&server);
    assert_ne!(new, server.daemon.pid());
    eventually(PATIENCE, "the old process has exited", || {
        !server.daemon.is_running()
    });
    assert_echo(&mut before, b"after");
    assert_echo(&mut server.connect(), b"new");
}

#[test]
fn lines_and_frames_continue_in_the_middle_of_a_message() {
    let server = Upgradable::start(&["-p", "line"]);
    let mut clients = Clients::connect(&server, 100);
    for _ in 0..3 {
        upgrade(&server);
        clients.finish_lines();
    }
    let server = Upgradable::start(&["-p", "frame:4"]);
    let frame = [&100_000_u32.to_be_bytes()[..], &vec![b'f'; 100_000]].concat();
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for (index, piece) in frame.chunks(40_000).enumerate() {
        for client in &mut clients {
            client.write_all(piece).unwrap();
        }
        if index < 2 {
            upgrade(&server);
        }
    }
    for client in &mut clients {
        assert_reads(client, &frame);
    }
}

/// Sends until the daemon has stopped reading: it has pending output then.
fn fill(stream: &TcpStream) -> Vec<u8> {
    let mut sent = Vec::new();
    let write = || {
        // The position in the stream is in each byte, so no piece can be lost or repeated unnoticed.
        let piece: Vec<u8> = (0..=250)
            .cycle()
            .skip(sent.len() % 251)
            .take(4096)
            .collect();
        let count = write_some(stream, &piece)?;
        sent.extend_from_slice(&piece[..count]);
        Ok(count)
    };
    send_until_quiet(QUIET, write).unwrap();
    stream.set_nonblocking(false).unwrap();
    sent
}

#[test]
fn slow_readers_receive_every_byte_after_two_upgrades() {
    let server = Upgradable::start(&[]);
    let mut clients: Vec<_> = (0..5)
        .map(|number| {
            let stream = connect_with_buffers(server.daemon.address(), 4096);
            let sent = fill(&stream);
            if number % 2 == 0 {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            (stream, sent)
        })
        .collect();
    upgrade(&server);
    upgrade(&server);
    for (number, (stream, sent)) in clients.iter_mut().enumerate() {
        assert_reads(stream, sent);
        if number % 2 == 0 {
            assert_eq!(read_to_fin(stream), b"");
        } else {
            assert_echo(stream, b"still open");
        }
    }
}

#[test]
fn counters_and_numbers_of_connections_continue() {
    let server = Upgradable::start(&["-v"]);
    let mut first = server.connect();
    assert_echo(&mut first, b"12345");
    drop(server.connect());
    server
        .daemon
        .wait_for_line("the second connection", |line| line.contains("#2 closed"));
    upgrade(&server);
    let second = server.connect();
    let opened = format!("#3 open {}", second.local_addr().unwrap());
    server
        .daemon
        .wait_for_line("the third connection", |line| line.contains(&opened));
    first.shutdown(Shutdown::Both).unwrap();
    let closed = "#1 closed: peer closed, 5 bytes in, 5 out";
    server
        .daemon
        .wait_for_line("the first connection", |line| line.contains(closed));
    drop(second);
    let line = drain(&server);
    assert!(
        line.contains("3 connections served, 0 refused, 5 bytes in, 5 out"),
        "{line}"
    );
}

#[test]
fn limit_per_source_counts_connections_from_before() {
    let server = Upgradable::start(&["--max-per-source", "2"]);
    let mut first = server.connect();
    assert_echo(&mut first, b"1");
    upgrade(&server);
    let mut second = server.connect();
    assert_echo(&mut second, b"2");
    assert_refused(server.daemon.address());
    drop(first);
    eventually(PATIENCE, "a connection is admitted again", || {
        served(server.daemon.address()).is_some()
    });
}

#[test]
fn idle_timeout_counts_from_before_the_upgrade() {
    let server = Upgradable::start(&["--idle-timeout", "3s"]);
    let mut client = server.connect();
    // Before the last byte: the timeout is not over earlier than 3 s from here.
    let start = Instant::now();
    assert_echo(&mut client, b"x");
    while start.elapsed() < Duration::from_secs(2) {
        upgrade(&server);
    }
    let rest = start.elapsed();
    assert_eq!(read_to_fin(&mut client), b"");
    let idle = start.elapsed();
    assert!(idle >= Duration::from_secs(3), "{idle:?}");
    // Restarted by the last upgrade, the timeout would end 3 s after it, unless the machine was this slow.
    let late = Duration::from_secs(3) + rest;
    assert!(
        idle < late || rest > Duration::from_secs(4),
        "{idle:?}, {rest:?}"
    );
}

#[test]
fn records_continue_and_stdout_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let output = File::create(&path).unwrap();
    let server = Upgradable::start_with(&["-p", "collect"], Stdio::from(output));
    let mut first = connect(server.daemon.address());
    first.write_all(b"first ").unwrap();
    let mut second = connect(server.daemon.address());
    second.write_all(b"record\n").unwrap();
    second.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut second), b"");
    upgrade(&server);
    first.write_all(b"and last\n").unwrap();
    first.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut first), b"");
    let records = fs::read_to_string(path).unwrap();
    assert_eq!(records, "record\nfirst and last\n");
}

#[test]
fn clients_and_signals_during_the_pause_reach_the_new_process() {
    if !have_tool("python3") {
        return;
    }
    let mut server = Upgradable::start(&["-p", "line", "--upgrade-timeout", "20s"]);
    let mut clients = Clients::connect(&server, 20);
    server.install_script("pause");
    server.daemon.signal(Signal::SIGUSR2);
    eventually(PATIENCE, "the event loop has stopped", || {
        server.path("frozen").exists()
    });
    let mut early = server.connect();
    early.write_all(b"early\n").unwrap();
    let mut leaving = clients.0.pop().unwrap();
    leaving.write_all(b"last\n").unwrap();
    leaving.shutdown(Shutdown::Write).unwrap();
    server.daemon.signal(Signal::SIGUSR2);
    server.daemon.signal(Signal::SIGTERM);
    File::create(server.path("continue")).unwrap();
    let line = server
        .daemon
        .wait_for_line("the drain of the new process", |line| {
            line.contains("SIGTERM: draining")
        });
    assert!(line.contains("draining 2"), "{line}");
    assert_reads(&mut early, b"ECHO early\n");
    assert_eq!(read_to_fin(&mut leaving), b"ECHO begin last\n");
    assert_eq!(server.lines_with("upgrade: started").len(), 1);
    assert_eq!(server.lines_with("upgrade failed").len(), 0);
}

/// The descriptors of a process that a program which it starts would inherit.
fn inherited_fds(pid: u32) -> Vec<String> {
    const CLOEXEC: u32 = 0o2_000_000;
    let names = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let names = names.map(|entry| entry.unwrap().path());
    let is_inherited = |path: &std::path::PathBuf| {
        let Ok(info) = fs::read_to_string(path) else {
            return false;
        };
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        u32::from_str_radix(flags.trim(), 8).unwrap() & CLOEXEC == 0
    };
    let inherited = names.filter(is_inherited);
    let mut names: Vec<_> = inherited
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn chain_of_50_upgrades_leaks_neither_descriptors_nor_memory() {
    let server = Upgradable::start(&["-p", "line"]);
    let mut clients = Clients::connect(&server, 200);
    clients.finish_lines();
    // The standard streams, and what the daemon itself has inherited.
    let inherited = inherited_fds(server.pid());
    upgrade(&server);
    clients.finish_lines();
    let (fds, memory) = (open_fds(server.pid()), anonymous_bytes(server.pid()));
    for _ in 0..49 {
        upgrade(&server);
        clients.finish_lines();
    }
    let new = server.pid();
    assert!(
        open_fds(new).abs_diff(fds) <= 5,
        "{fds}, then {}",
        open_fds(new)
    );
    assert_eq!(inherited_fds(new), inherited);
    let grown = anonymous_bytes(new).saturating_sub(memory);
    assert!(grown < 1 << 20, "memory grew by {grown} bytes");
}

/// How much more anonymous memory the new process has than the old one had, with this many idle connections.
fn growth_by_upgrade(count: usize) -> isize {
    let server = Upgradable::start(&[]);
    let mut clients: Vec<_> = (0..count).map(|_| server.connect()).collect();
    // Connections are accepted in order.
    assert_echo(clients.last_mut().unwrap(), b"before");
    let before = anonymous_bytes(server.pid());
    let new = upgrade(&server);
    assert_echo(&mut clients[0], b"after");
    anonymous_bytes(new).cast_signed() - before.cast_signed()
}

#[test]
fn idle_connections_need_no_more_memory_after_an_upgrade() {
    if !allow_fds(5000) {
        return;
    }
    let (few, many) = (growth_by_upgrade(1000), growth_by_upgrade(4500));
    let grown = many - few;
    assert!(grown < 4 * 3500, "{grown} bytes for 3500 more connections");
}

#[test]
fn program_behind_a_symbolic_link_is_followed_to_its_new_version() {
    let mut server = Upgradable::start(&[]);
    let link = server.path("current");
    std::os::unix::fs::symlink("real", &link).unwrap();
    server.restart_from(&link);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("echoloop", &link).unwrap();
    let new = upgrade(&server);
    let running = fs::read_link(format!("/proc/{new}/exe")).unwrap();
    assert_eq!(running, server.path("echoloop").canonicalize().unwrap());
}

#[test]
fn pid_file_is_removed_at_exit() {
    let mut daemon = Upgradable::start(&[]);
    let path = daemon.path("pid");
    daemon.daemon.signal(Signal::SIGTERM);
    assert_eq!(Daemon::wait_exit(&mut daemon.daemon, PATIENCE), Some(0));
    assert!(!path.exists());
}

#[test]
fn pid_file_is_left_to_the_new_process() {
    if !have_tool("python3") {
        return;
    }
    let mut server = Upgradable::start(&["-p", "line", "--upgrade-timeout", "20s"]);
    // Its new process serves, and has not written the file yet.
    server.install_script("silent");
    server.daemon.signal(Signal::SIGUSR2);
    assert_eq!(server.daemon.wait_exit(PATIENCE), Some(0));
    assert_eq!(server.pid(), server.daemon.pid());
}

#[test]
fn new_process_that_cannot_write_the_pid_file_serves() {
    let mut server = Upgradable::start(&[]);
    let mut client = server.connect();
    assert_echo(&mut client, b"before");
    let pid = server.path("pid");
    fs::remove_file(&pid).unwrap();
    // A file cannot replace a directory.
    fs::create_dir(&pid).unwrap();
    server.daemon.signal(Signal::SIGUSR2);
    eventually(PATIENCE, "the old process has exited", || {
        !server.daemon.is_running()
    });
    assert_echo(&mut client, b"after");
    let text = "cannot write the process ID to";
    let line = server
        .daemon
        .wait_for_line("a warning", |line| line.contains(text));
    assert!(line.contains("WARN"), "{line}");
    let lines = server.lines_with("upgrade: started");
    let (_, new) = lines[0].rsplit_once(' ').unwrap();
    signal(new.parse().unwrap(), Signal::SIGKILL);
}
