//! The drain: what is owed is delivered, then comes FIN, then exit, and nobody can hold the daemon for ever.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM};

use crate::client::{Torrent, assert_echo, assert_refused_soon, connect, read_to_fin};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, allow_descriptors};

/// Sends what the kernel takes without anybody reading it, and tells how much that is.
fn push_until_full(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (mut sent, mut last_progress) = (0, Instant::now());
    while last_progress.elapsed() < Duration::from_millis(300) {
        match stream.write(&bytes[sent..]) {
            Ok(count) => (sent, last_progress) = (sent + count, Instant::now()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

fn assert_drains_for(signal: Signal) {
    let mut daemon = Daemon::start(&["-v", "--socket-buffer", "16KiB"]);
    let mut torrent = Torrent::never_reading(&daemon);
    let read = torrent.account(&daemon, &TcpTable::read()).read;
    daemon.signal(signal);
    assert_refused_soon(daemon.address());
    torrent.pull_to_fin();
    let received = torrent.received;
    assert!(
        received >= read,
        "the daemon had read {read} bytes, {received} came back"
    );
    drop(torrent);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    let (closed, out) = (daemon.closed(1), format!(" {received} out"));
    assert!(
        closed.contains(&out),
        "{received} bytes came back, the log says: {closed}"
    );
}

#[test]
fn what_is_owed_is_delivered_before_the_fin_on_sigterm() {
    assert_drains_for(SIGTERM);
}

#[test]
fn what_is_owed_is_delivered_before_the_fin_on_sigint() {
    assert_drains_for(SIGINT);
}

#[test]
fn what_is_owed_is_delivered_before_the_fin_on_sighup() {
    assert_drains_for(SIGHUP);
}

#[test]
fn what_has_come_before_the_signal_is_answered_in_however_many_turns() {
    let mut daemon = Daemon::start(&["--socket-buffer", "kernel"]);
    let mut stream = connect(daemon.address());
    // With autotuning the kernel grows the buffers of a connection that sends much and is read.
    let (mut sender, much) = (stream.try_clone().unwrap(), vec![7; 30_000_000]);
    let mut echo = vec![0; much.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&much).unwrap());
        stream.read_exact(&mut echo).unwrap();
    });
    daemon.pause();
    let sent = push_until_full(&mut stream, &much);
    let (here, there) = (stream.local_addr().unwrap(), daemon.address());
    let has_come = TcpTable::read().socket(there, here).unread;
    assert!(
        has_come > 300_000,
        "{has_come} bytes of {sent} have come: this shows nothing"
    );
    daemon.signal(SIGTERM);
    daemon.resume();
    let received = read_to_fin(&mut stream).len();
    assert!(
        received >= has_come,
        "{has_come} bytes had come, {received} came back"
    );
    drop(stream);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

#[test]
fn who_never_reads_is_cut_off_when_the_drain_timeout_is_over() {
    let mut daemon = Daemon::start(&["--drain-timeout", "1s", "--socket-buffer", "16KiB"]);
    let torrent = Torrent::never_reading(&daemon);
    let logged_before = daemon.lines().len();
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain that expired"
    );
    let took = start.elapsed();
    // Deadlines are kept to a tick of 250 ms.
    assert!(
        took >= Duration::from_millis(900),
        "cut off after {took:?}, before the second was over"
    );
    assert!(
        took < Duration::from_secs(4),
        "it took {took:?} to give up after a second"
    );
    let lines = daemon.lines().split_off(logged_before);
    let told = lines
        .iter()
        .any(|line| line.to_lowercase().contains("drain"));
    assert!(
        told,
        "the log does not tell of a drain that expired: {lines:#?}"
    );
    drop(torrent);
}

#[test]
fn while_draining_new_connections_are_refused_and_the_daemon_works_on() {
    let mut daemon = Daemon::start(&["--drain-timeout", "30s", "--socket-buffer", "16KiB"]);
    let mut torrent = Torrent::never_reading(&daemon);
    let read = torrent.account(&daemon, &TcpTable::read()).read;
    daemon.signal(SIGTERM);
    assert_refused_soon(daemon.address());
    assert!(
        daemon.is_running(),
        "the daemon ended although it owes bytes"
    );
    torrent.pull_to_fin();
    assert!(
        torrent.received >= read,
        "{read} bytes were read, {} came back",
        torrent.received
    );
    drop(torrent);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn who_stays_open_and_silent_after_the_fin_does_not_hold_the_daemon() {
    let mut daemon = Daemon::start(&["--drain-timeout", "60s"]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"accepted");
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(read_to_fin(&mut stream), b"", "nothing is owed but a FIN");
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    // The linger after our FIN lasts 2 s and a tick.
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "a silent client held the daemon for {took:?}"
    );
    drop(stream);
}

#[test]
fn who_never_stops_sending_and_reading_does_not_hold_the_daemon() {
    let mut daemon = Daemon::start(&["--drain-timeout", "60s"]);
    let mut torrent = Torrent::connect(daemon.address());
    let mut flow = |rounds: usize| {
        (0..rounds).any(|_| {
            torrent.push(usize::MAX);
            torrent.pull()
        })
    };
    assert!(!flow(1_000), "a FIN before the signal");
    daemon.signal(SIGTERM);
    eventually(PATIENCE, "a FIN, although more comes all the time", || {
        flow(100)
    });
    drop(torrent);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

/// What still comes after our FIN is read and dropped; left unread, it would turn the close into a reset.
#[test]
fn who_goes_on_sending_after_the_fin_is_not_reset_before_it_has_read_everything() {
    let mut daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"accepted");
    daemon.pause();
    stream.write_all(b"on its way").unwrap();
    daemon.signal(SIGTERM);
    daemon.resume();
    stream
        .peek(&mut [0])
        .expect("the daemon's echo or FIN is there");
    for _ in 0..20 {
        stream
            .write_all(b"too late")
            .expect("the daemon lingers and takes what still comes");
    }
    let received = read_to_fin(&mut stream);
    let sent = [&b"on its way"[..], &b"too late".repeat(20)].concat();
    assert!(
        sent.starts_with(&received),
        "received `{}`",
        received.escape_ascii()
    );
    drop(stream);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

/// More than are drained in one iteration.
#[test]
fn drain_timeout_0_closes_1_500_connections_at_once() {
    const CONNECTIONS: usize = 1_500;
    if !allow_descriptors(2 * CONNECTIONS as u64) {
        return;
    }
    let mut daemon = Daemon::start(&["-v", "--drain-timeout", "0"]);
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| connect(daemon.address()))
        .collect();
    for stream in &mut streams {
        assert_echo(stream, b"accepted");
    }
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    for stream in &mut streams {
        // FIN or RST: what is left at the end of the drain is reset.
        let end = stream.read(&mut [0]);
        let closed = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        let is_closed = end.as_ref().map_or_else(closed, |count| *count == 0);
        assert!(is_closed, "{end:?}");
    }
    let lines = daemon.lines();
    let closed = lines.iter().filter(|line| line.contains(" closed: "));
    assert_eq!(closed.count(), CONNECTIONS, "closed in the log");
    let served = format!("{CONNECTIONS} connections served");
    assert!(lines.iter().any(|line| line.contains(&served)), "{served}");
    let expired = |line: &String| line.contains("drain expired after 0ns: ");
    assert!(lines.iter().any(expired), "the drain that expired");
}
