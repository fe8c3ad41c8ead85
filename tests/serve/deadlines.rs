//! What time does to a connection: silence, a peer that takes nothing, and many whose time is up at once.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{Torrent, assert_echo, connect, push_until_stuck, read_to_fin};
use crate::harness::{Daemon, eventually};
use crate::machine::open_descriptors;

/// A deadline may be noticed this much late: a tick of 250 ms, and what a busy machine takes to run two programs.
const SLACK: Duration = Duration::from_millis(250 + 1500);

#[test]
fn a_silent_client_is_closed_after_the_idle_timeout_and_a_busy_one_is_not() {
    let timeout = Duration::from_millis(600);
    let daemon = Daemon::start(&["-v", "--idle-timeout", "600ms"]);
    let mut busy = connect(daemon.address());
    assert_echo(&mut busy, b"first");
    let mut silent = connect(daemon.address());
    assert_echo(&mut silent, b"last word");
    let began = Instant::now();
    let serial = daemon.serial_of(silent.local_addr().unwrap());

    silent
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    loop {
        assert_echo(&mut busy, b"here");
        match silent.read(&mut [0; 8]) {
            Ok(count) => break assert_eq!(count, 0, "a byte that nobody sent"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "instead of a FIN"),
        }
    }
    let waited = began.elapsed();
    // It is the daemon's clock that must not be early; ours began a little later.
    let least = timeout.saturating_sub(Duration::from_millis(100));
    assert!(waited > least, "closed after {waited:?} already");
    assert!(waited < timeout + SLACK, "closed after {waited:?} only");
    assert_eq!(daemon.closed(serial), "idle, 9 bytes in, 9 out");
    assert_echo(&mut busy, b"after all that");
}

#[test]
fn a_client_that_takes_nothing_of_what_it_is_owed_is_reset_after_the_stall_timeout() {
    let daemon = Daemon::start(&["-v", "--stall-timeout", "700ms", "--socket-buffer", "4KiB"]);
    let mut torrent = vec![Torrent::connect(daemon.address())];
    push_until_stuck(&mut torrent, 4 << 20);
    let stuck = torrent.pop().unwrap();
    let serial = daemon.serial_of(stuck.stream.local_addr().unwrap());
    let closed = daemon.closed(serial);
    assert!(closed.starts_with("stalled, "), "{closed}");
    stuck.stream.set_nonblocking(false).unwrap();
    let mut rest = Vec::new();
    let error = (&stuck.stream).read_to_end(&mut rest).unwrap_err();
    // It did not get all, and must not take what it got for all.
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[test]
fn a_slow_reader_is_not_stalled_while_it_takes_a_little() {
    const TIMEOUT: Duration = Duration::from_millis(1500);
    let daemon = Daemon::start(&["-v", "--stall-timeout", "1500ms", "--socket-buffer", "4KiB"]);
    let mut torrents = vec![Torrent::connect(daemon.address())];
    push_until_stuck(&mut torrents, 4 << 20);
    let mut torrent = torrents.pop().unwrap();
    let serial = daemon.serial_of(torrent.stream.local_addr().unwrap());
    // It is owed something throughout, since it sends whatever it can, and takes a gulp now and then.
    let mut clock = connect(daemon.address());
    clock
        .set_read_timeout(Some(Duration::from_millis(150)))
        .unwrap();
    let began = Instant::now();
    while began.elapsed() < 2 * TIMEOUT + SLACK {
        torrent.push(64 << 20);
        let mut gulp = vec![0; 16 << 10];
        match (&torrent.stream).read(&mut gulp) {
            Ok(count) => assert!(count > 0, "closed after {:?}", began.elapsed()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        // Nothing comes on this one: that is how time passes here.
        let error = clock.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }
    drop(torrent);
    let closed = daemon.closed(serial);
    assert!(!closed.starts_with("stalled"), "{closed}");
}

#[test]
fn many_deadlines_that_fall_due_together_are_worked_off_while_others_echo() {
    const CROWD: usize = 3000;
    let daemon = Daemon::start(&["--idle-timeout", "2s"]);
    crate::machine::allow_descriptors(u64::try_from(CROWD + 200).unwrap());
    let mut busy = connect(daemon.address());
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(daemon.address())).collect();
    let served = || open_descriptors(daemon.pid());
    eventually(Duration::from_secs(20), "all are closed in time", || {
        assert_echo(&mut busy, b"meanwhile");
        served() < 50
    });
    assert_echo(&mut busy, b"afterwards");
    for mut stream in crowd {
        assert_eq!(read_to_fin(&mut stream), b"", "a byte that nobody sent");
    }
}
