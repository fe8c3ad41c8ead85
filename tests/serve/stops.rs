//! The daemon is stopped (SIGSTOP, a suspended machine) for longer than a timeout: input that arrived and output that was
//! read during the stop are processed before a deadline closes their connection.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{Torrent, assert_echo, assert_reads, connect, read_to_fin};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, allow_descriptors, open_descriptors, somaxconn};
use crate::tools::skip;

/// Far longer than the time between the last bytes of the clients and the stop, on a busy machine too.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Deadlines are kept to a tick of 250 ms.
const TICK: Duration = Duration::from_millis(250);

/// Stops the daemon until each deadline that was set before has passed. `act` runs during the stop.
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
fn input_sent_during_a_stop_is_answered_not_reset_as_idle() {
    let mut daemon = Daemon::start(&["--idle-timeout", "3s"]);
    let mut clients: Vec<TcpStream> = (0..10).map(|_| connect(daemon.address())).collect();
    let mut silent = connect(daemon.address());
    for client in clients.iter_mut().chain([&mut silent]) {
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
    assert_eq!(read_to_fin(&mut silent), b"", "the silent client");
    for client in &mut clients {
        assert_echo(client, b"after the stop");
    }
}

/// One wait of the daemon returns 1,024 events: those of the other clients are still queued when deadlines pass.
#[test]
fn input_of_3_000_clients_during_a_stop_is_answered() {
    const CLIENTS: usize = 3_000;
    if somaxconn() < CLIENTS {
        return skip(&format!("net.core.somaxconn is below {CLIENTS}"));
    }
    if !allow_descriptors(2 * CLIENTS as u64) {
        return;
    }
    let mut daemon = Daemon::start(&["--idle-timeout", "3s"]);
    let own = open_descriptors(daemon.pid());
    // All are accepted at once, so that little of their timeout has passed when the stop begins.
    daemon.pause();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(daemon.address())).collect();
    let mut silent = connect(daemon.address());
    daemon.resume();
    eventually(PATIENCE, "all clients are accepted", || {
        open_descriptors(daemon.pid()) == own + CLIENTS + 1
    });
    stop_beyond_the_timeout(&mut daemon, |_| {
        for client in &mut clients {
            client.write_all(b"during").unwrap();
        }
    });
    for client in &mut clients {
        assert_reads(client, b"during");
    }
    assert_eq!(read_to_fin(&mut silent), b"", "the silent client");
}

#[test]
fn output_read_during_a_stop_is_progress_not_a_stall() {
    let mut daemon = Daemon::start(&["--stall-timeout", "3s", "--socket-buffer", "16KiB"]);
    let mut torrent = Torrent::connect(daemon.address());
    // It is stopped as soon as it holds output, so that little of the timeout has passed.
    eventually(
        PATIENCE,
        "the daemon is stopped with pending output",
        || {
            torrent.push(64 << 20);
            daemon.pause();
            let pends = torrent.account(&daemon, &TcpTable::read()).owed > 0;
            if !pends {
                daemon.resume();
            }
            pends
        },
    );
    stop_beyond_the_timeout(&mut daemon, |daemon| {
        let (here, there) = (torrent.stream.local_addr().unwrap(), daemon.address());
        eventually(PATIENCE, "all output in the kernel is read", || {
            assert!(!torrent.pull(), "a FIN from a stopped daemon");
            let table = TcpTable::read();
            let unacknowledged = table.socket(there, here).unacknowledged;
            unacknowledged + table.socket(here, there).unread == 0
        });
    });
    assert!(torrent.received > 0 && torrent.received < torrent.sent);
    eventually(PATIENCE, "everything that was sent is echoed", || {
        assert!(
            !torrent.pull(),
            "a FIN after {} bytes of {}",
            torrent.received,
            torrent.sent
        );
        torrent.received == torrent.sent
    });
}
