//! The drain: pending output, then FIN, then exit; no client can delay the exit beyond the drain timeout.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};

use crate::client::{
    BulkSender, QUIET, assert_echo, assert_refused_soon, connect, read_to_fin, send_until_quiet,
    write_some,
};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, allow_fds};

/// Sends until the kernel accepts no more, without reading; returns the count.
fn push_until_full(stream: &TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    let write = || {
        let count = write_some(stream, &bytes[sent..])?;
        sent += count;
        Ok(count)
    };
    send_until_quiet(QUIET, write).unwrap();
    stream.set_nonblocking(false).unwrap();
    sent
}

fn assert_drains_for(signal: Signal) {
    let mut daemon = Daemon::start(&["-v", "--socket-buffer", "16KiB"]);
    let mut sender = BulkSender::with_pending_output(&daemon);
    let read = sender.progress(&daemon, &TcpTable::read()).read;
    daemon.signal(signal);
    assert_refused_soon(daemon.address());
    sender.receive_to_fin();
    let received = sender.received;
    assert!(
        received >= read,
        "the daemon had read {read} bytes, {received} were echoed"
    );
    drop(sender);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    let (closed, out) = (daemon.close_summary(1), format!(" {received} out"));
    assert!(
        closed.contains(&out),
        "{received} bytes received, the log line: {closed}"
    );
}

#[test]
fn sigterm_flushes_pending_output_before_fin() {
    assert_drains_for(SIGTERM);
}

#[test]
fn sigint_flushes_pending_output_before_fin() {
    assert_drains_for(SIGINT);
}

#[test]
fn input_received_before_sigterm_is_echoed_during_the_drain() {
    let mut daemon = Daemon::start(&["--socket-buffer", "kernel"]);
    let mut stream = connect(daemon.address());
    // Autotuning grows the kernel buffers of a connection that transfers much data.
    let (mut sender, much) = (stream.try_clone().unwrap(), vec![7; 30_000_000]);
    let mut echo = vec![0; much.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| sender.write_all(&much).unwrap());
        stream.read_exact(&mut echo).unwrap();
    });
    daemon.pause();
    let sent = push_until_full(&stream, &much);
    let (here, there) = (stream.local_addr().unwrap(), daemon.address());
    let arrived = TcpTable::read().socket(there, here).unread;
    assert!(
        arrived > 300_000,
        "{arrived} bytes of {sent} have arrived: too few for several iterations"
    );
    daemon.signal(SIGTERM);
    daemon.resume();
    let received = read_to_fin(&mut stream).len();
    assert!(
        received >= arrived,
        "{arrived} bytes had arrived, {received} were echoed"
    );
    drop(stream);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

#[test]
fn drain_timeout_closes_a_client_that_never_reads() {
    let mut daemon = Daemon::start(&["--drain-timeout", "1s", "--socket-buffer", "16KiB"]);
    let sender = BulkSender::with_pending_output(&daemon);
    let logged_before = daemon.lines().len();
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after an expired drain"
    );
    let took = start.elapsed();
    // Deadlines are accurate to a tick of 250 ms.
    assert!(
        took >= Duration::from_millis(900),
        "exited after {took:?}, before the drain timeout"
    );
    assert!(
        took < Duration::from_secs(4),
        "exited {took:?} after the signal, with a drain timeout of 1 s"
    );
    let lines = daemon.lines().split_off(logged_before);
    let logged = lines
        .iter()
        .any(|line| line.to_lowercase().contains("drain"));
    assert!(logged, "the expired drain is not in the log: {lines:#?}");
    drop(sender);
}

#[test]
fn drain_refuses_new_connections_and_flushes_pending_output() {
    let mut daemon = Daemon::start(&["--drain-timeout", "30s", "--socket-buffer", "16KiB"]);
    let mut sender = BulkSender::with_pending_output(&daemon);
    let read = sender.progress(&daemon, &TcpTable::read()).read;
    daemon.signal(SIGTERM);
    assert_refused_soon(daemon.address());
    assert!(daemon.is_running(), "the daemon exited with pending output");
    sender.receive_to_fin();
    assert!(
        sender.received >= read,
        "the daemon had read {read} bytes, {} were echoed",
        sender.received
    );
    drop(sender);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn drain_ends_despite_a_client_that_never_closes() {
    let mut daemon = Daemon::start(&["--drain-timeout", "60s"]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"accepted");
    let start = Instant::now();
    daemon.signal(SIGTERM);
    assert_eq!(
        read_to_fin(&mut stream),
        b"",
        "bytes received before the FIN"
    );
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
    // The linger after the daemon's FIN lasts 2 s and a tick.
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "an open client delayed the exit for {took:?}"
    );
    drop(stream);
}

#[test]
fn drain_ends_despite_a_client_that_never_stops_sending() {
    let mut daemon = Daemon::start(&["--drain-timeout", "60s"]);
    let mut sender = BulkSender::connect(daemon.address());
    let mut exchange = |rounds: usize| {
        (0..rounds).any(|_| {
            sender.send_up_to(usize::MAX);
            sender.receive_available()
        })
    };
    assert!(!exchange(1_000), "a FIN before the signal");
    daemon.signal(SIGTERM);
    eventually(PATIENCE, "a FIN, although the client keeps sending", || {
        exchange(100)
    });
    drop(sender);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

/// Input after the daemon's FIN is read and discarded; unread input would make the kernel send RST on close.
#[test]
fn input_after_the_drain_fin_does_not_reset_unread_output() {
    let mut daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    assert_echo(&mut stream, b"accepted");
    daemon.pause();
    stream.write_all(b"in flight").unwrap();
    daemon.signal(SIGTERM);
    daemon.resume();
    stream
        .peek(&mut [0])
        .expect("the daemon's echo or FIN arrives");
    for _ in 0..20 {
        stream
            .write_all(b"too late")
            .expect("the daemon lingers and reads");
    }
    let received = read_to_fin(&mut stream);
    let sent = [&b"in flight"[..], &b"too late".repeat(20)].concat();
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

/// The number of lines that were dropped, by the log line that reports it.
fn dropped_lines(line: &str) -> Option<usize> {
    let (rest, _) = line.split_once(" log lines dropped")?;
    rest.rsplit(' ').next()?.parse().ok()
}

/// More connections than are drained in one iteration.
#[test]
fn drain_timeout_0_closes_1_500_connections_at_once() {
    const CONNECTIONS: usize = 1_500;
    if !allow_fds(2 * CONNECTIONS as u64) {
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
        // FIN or RST: connections left when the drain expires are reset.
        let end = stream.read(&mut [0]);
        let closed = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        let is_closed = end.as_ref().map_or_else(closed, |count| *count == 0);
        assert!(is_closed, "{end:?}");
    }
    let lines = daemon.lines();
    // On a loaded machine, lines are dropped while the pipe is full.
    let closed = lines.iter().filter(|line| line.contains(" closed: "));
    let dropped: usize = lines.iter().filter_map(|line| dropped_lines(line)).sum();
    assert_eq!(
        closed.count() + dropped,
        CONNECTIONS,
        "log lines with `closed`"
    );
    let served = format!("{CONNECTIONS} connections served");
    assert!(lines.iter().any(|line| line.contains(&served)), "{served}");
    let expired = |line: &String| line.contains("drain expired after 0ns: ");
    assert!(lines.iter().any(expired), "the expired drain is logged");
}
