//! The daemon is stopped (SIGSTOP, a suspended machine) for longer than a timeout: it handles input that arrived and
//! output that was read during the stop before it closes a connection for a deadline.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{BulkSender, assert_echo, assert_reads, connect, read_to_fin};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, allow_fds, open_fds, somaxconn};
use crate::tools::skip;

/// Far longer than the time between the clients' last bytes and the stop, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Deadlines are accurate to a tick of 250 ms.
const TICK: Duration = Duration::from_millis(250);

/// Stops the daemon until every deadline set before has passed; `act` runs during the stop.
#[track_caller]
fn stop_beyond_the_timeout(daemon: &mut Daemon, act: impl FnOnce(&Daemon)) {
    daemon.pause();
    let stopped = Instant::now();
    act(daemon);
    eventually(PATIENCE, "the timeout passes during the stop", || {
        stopped.elapsed() > TIMEOUT + 2 * TICK
    });
    daemon.resume();
}

#[test]
fn input_sent_during_a_stop_is_echoed_not_closed_as_idle() {
    let mut daemon = Daemon::start(&["--idle-timeout", "3s"]);
    let mut clients: Vec<TcpStream> = (0..10).map(|_| connect(daemon.address())).collect();
    let mut idle = connect(daemon.address());
    for client in clients.iter_mut().chain([&mut idle]) {
        assert_echo(client, b"before the stop");
    }
    stop_beyond_the_timeout(&mut daemon, |_| {
        for client in &mut clients {
            client.write_all(b"during the stop").unwrap();
        }
    });
    for client in &mut clients {
        assert_reads(client, b"during the stop");
    }
    assert_eq!(read_to_fin(&mut idle), b"", "the idle client");
    for client in &mut clients {
        assert_echo(client, b"after the stop");
    }
}

/// One `epoll_wait` returns at most 1,024 events: the others are still queued when the deadlines are checked.
#[test]
fn input_of_3_000_clients_during_a_stop_is_echoed() {
    const CLIENTS: usize = 3_000;
    if somaxconn() < CLIENTS {
        return skip(&format!("net.core.somaxconn is below {CLIENTS}"));
    }
    if !allow_fds(2 * CLIENTS as u64) {
        return;
    }
    let mut daemon = Daemon::start(&["--idle-timeout", "3s"]);
    let own = open_fds(daemon.pid());
    // All are accepted at the same time, so that little of their timeout has passed when the stop begins.
    daemon.pause();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(daemon.address())).collect();
    let mut idle = connect(daemon.address());
    daemon.resume();
    eventually(PATIENCE, "all clients are accepted", || {
        open_fds(daemon.pid()) == own + CLIENTS + 1
    });
    stop_beyond_the_timeout(&mut daemon, |_| {
        for client in &mut clients {
            client.write_all(b"during").unwrap();
        }
    });
    for client in &mut clients {
        assert_reads(client, b"during");
    }
    assert_eq!(read_to_fin(&mut idle), b"", "the idle client");
}

#[test]
fn output_read_during_a_stop_prevents_the_stall_timeout() {
    let mut daemon = Daemon::start(&["--stall-timeout", "3s", "--socket-buffer", "16KiB"]);
    let mut sender = BulkSender::connect(daemon.address());
    // The stop follows the first pending output at once, so that little of the timeout has passed.
    eventually(
        PATIENCE,
        "the daemon is stopped with pending output",
        || {
            sender.send_up_to(64 << 20);
            daemon.pause();
            let is_pending = sender.progress(&daemon, &TcpTable::read()).pending > 0;
            if !is_pending {
                daemon.resume();
            }
            is_pending
        },
    );
    stop_beyond_the_timeout(&mut daemon, |daemon| {
        let (here, there) = (sender.stream.local_addr().unwrap(), daemon.address());
        eventually(PATIENCE, "all output in the kernel is read", || {
            assert!(!sender.receive_available(), "a FIN from a stopped daemon");
            let table = TcpTable::read();
            let unacknowledged = table.socket(there, here).unacknowledged;
            unacknowledged + table.socket(here, there).unread == 0
        });
    });
    assert!(sender.received > 0 && sender.received < sender.sent);
    eventually(PATIENCE, "everything that was sent is echoed", || {
        assert!(
            !sender.receive_available(),
            "a FIN after {} bytes of {}",
            sender.received,
            sender.sent
        );
        sender.received == sender.sent
    });
}
