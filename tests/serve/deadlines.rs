//! Timeouts of connections: idle, stalled, and many that expire at once.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{BulkSender, assert_echo, connect, read_to_fin, send_until_blocked};
use crate::harness::{Daemon, eventually};
use crate::machine::open_fds;

/// How late a timeout may be observed: a tick of 250 ms plus scheduling delays on a busy machine.
const SLACK: Duration = Duration::from_millis(250 + 1500);

#[test]
fn idle_timeout_closes_the_idle_client_but_not_the_busy_one() {
    let timeout = Duration::from_secs(2);
    let daemon = Daemon::start(&["-v", "--idle-timeout", "2s"]);
    let mut busy = connect(daemon.address());
    assert_echo(&mut busy, b"first");
    let mut idle = connect(daemon.address());
    let began = Instant::now();
    assert_echo(&mut idle, b"last data");
    let serial = daemon.serial_of(idle.local_addr().unwrap());

    idle.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    loop {
        assert_echo(&mut busy, b"busy");
        match idle.read(&mut [0; 8]) {
            Ok(count) => break assert_eq!(count, 0, "bytes received instead of FIN"),
            Err(error) => assert_eq!(
                error.kind(),
                ErrorKind::WouldBlock,
                "an error instead of FIN"
            ),
        }
    }
    let waited = began.elapsed();
    assert!(waited >= timeout, "closed too early, after {waited:?}");
    assert!(
        waited < timeout + SLACK,
        "closed too late, after {waited:?}"
    );
    assert_eq!(daemon.close_summary(serial), "idle, 9 bytes in, 9 out");
    assert_echo(&mut busy, b"afterwards");
}

#[test]
fn stall_timeout_resets_a_client_that_stops_reading() {
    let daemon = Daemon::start(&["-v", "--stall-timeout", "700ms", "--socket-buffer", "4KiB"]);
    let mut senders = vec![BulkSender::connect(daemon.address())];
    send_until_blocked(&mut senders, 4 << 20);
    let blocked = senders.pop().unwrap();
    let serial = daemon.serial_of(blocked.stream.local_addr().unwrap());
    let closed = daemon.close_summary(serial);
    assert!(closed.starts_with("stalled, "), "{closed}");
    blocked.stream.set_nonblocking(false).unwrap();
    let mut rest = Vec::new();
    let error = (&blocked.stream).read_to_end(&mut rest).unwrap_err();
    // FIN would mean that the echo is complete.
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[test]
fn slow_reader_that_makes_progress_is_not_stalled() {
    const TIMEOUT: Duration = Duration::from_millis(1500);
    let daemon = Daemon::start(&["-v", "--stall-timeout", "1500ms", "--socket-buffer", "4KiB"]);
    let mut senders = vec![BulkSender::connect(daemon.address())];
    send_until_blocked(&mut senders, 4 << 20);
    let mut sender = senders.pop().unwrap();
    let serial = daemon.serial_of(sender.stream.local_addr().unwrap());
    // It always has pending output, since it sends whenever it can and reads a little from time to time.
    let mut idle = connect(daemon.address());
    idle.set_read_timeout(Some(Duration::from_millis(150)))
        .unwrap();
    let began = Instant::now();
    while began.elapsed() < 2 * TIMEOUT + SLACK {
        sender.send_up_to(64 << 20);
        let mut piece = vec![0; 16 << 10];
        match (&sender.stream).read(&mut piece) {
            Ok(count) => assert!(count > 0, "closed after {:?}", began.elapsed()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        // No byte arrives on this connection: the read timeout sets the pace of the loop.
        let error = idle.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }
    drop(sender);
    let closed = daemon.close_summary(serial);
    assert!(!closed.starts_with("stalled"), "{closed}");
}

#[test]
fn simultaneous_3_000_idle_timeouts_do_not_block_echoes() {
    const CLIENTS: usize = 3000;
    let daemon = Daemon::start(&["--idle-timeout", "2s"]);
    crate::machine::allow_fds(u64::try_from(CLIENTS + 200).unwrap());
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(daemon.address())).collect();
    let mut busy = connect(daemon.address());
    let fds = || open_fds(daemon.pid());
    eventually(
        Duration::from_secs(20),
        "all idle clients are closed",
        || {
            assert_echo(&mut busy, b"meanwhile");
            fds() < 50
        },
    );
    assert_echo(&mut busy, b"afterwards");
    for mut stream in clients {
        assert_eq!(
            read_to_fin(&mut stream),
            b"",
            "bytes received instead of FIN"
        );
    }
}
