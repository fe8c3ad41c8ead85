//! RST in every state: the daemon lives on, its other clients notice nothing, and the log tells of each.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use nix::sys::signal::Signal;

use crate::client::{Torrent, assert_echo, connect, read_to_fin, reset};
use crate::harness::{Daemon, PATIENCE, eventually};

/// Runs `die`, which ends its connection by RST; a bystander must not notice, and the log must.
fn assert_survives(extra: &[&str], die: impl FnOnce(&mut Daemon) -> u64) -> String {
    let mut daemon = Daemon::start(&[&["-v"], extra].concat());
    let mut bystander = connect(daemon.address());
    assert_echo(&mut bystander, b"before");
    let serial = die(&mut daemon);
    let closed = daemon.closed(serial);
    assert_echo(&mut bystander, b"after");
    assert_echo(&mut connect(daemon.address()), b"and a newcomer");
    assert!(daemon.is_running(), "the daemon ended");
    closed
}

fn serial_of(daemon: &Daemon, stream: &TcpStream) -> u64 {
    daemon.serial_of(stream.local_addr().unwrap())
}

#[test]
fn a_reset_of_a_fresh_connection_is_logged_as_such() {
    let closed = assert_survives(&[], |daemon| {
        let stream = connect(daemon.address());
        let serial = serial_of(daemon, &stream);
        reset(stream);
        serial
    });
    // The error itself may follow.
    let as_such = closed.starts_with("peer reset, 0 bytes in, 0 out");
    assert!(as_such, "after `#2 closed: `: {closed}");
}

#[test]
fn a_reset_before_the_daemon_has_accepted_is_harmless() {
    let closed = assert_survives(&[], |daemon| {
        daemon.pause();
        for number in 0..20 {
            let mut stream = connect(daemon.address());
            if number % 2 == 1 {
                stream.write_all(b"never read").unwrap();
            }
            reset(stream);
        }
        let last = connect(daemon.address());
        daemon.resume();
        let serial = serial_of(daemon, &last);
        // Each of the twenty was accepted, since it was in the queue, and must be closed again.
        for early in 2..serial {
            daemon.closed(early);
        }
        drop(last);
        serial
    });
    assert!(
        closed.starts_with("peer closed"),
        "the last one was not reset: {closed}"
    );
}

#[test]
fn a_reset_in_the_middle_of_an_echo_is_harmless() {
    assert_survives(&[], |daemon| {
        let mut stream = connect(daemon.address());
        let serial = serial_of(daemon, &stream);
        stream.write_all(&vec![b'x'; 60_000]).unwrap();
        stream
            .read_exact(&mut [0; 1_000])
            .expect("the echo has begun");
        reset(stream);
        serial
    });
}

#[test]
fn a_reset_while_the_daemon_owes_bytes_is_harmless() {
    let closed = assert_survives(&["--socket-buffer", "8KiB"], |daemon| {
        let torrent = Torrent::never_reading(daemon);
        let serial = serial_of(daemon, &torrent.stream);
        reset(torrent.stream);
        serial
    });
    assert!(
        !closed.starts_with("peer closed"),
        "no FIN was ever sent: {closed}"
    );
}

#[test]
fn a_reset_after_half_close_while_the_daemon_owes_bytes_is_harmless() {
    assert_survives(&["--socket-buffer", "8KiB"], |daemon| {
        let torrent = Torrent::never_reading(daemon);
        let serial = serial_of(daemon, &torrent.stream);
        torrent.stream.shutdown(Shutdown::Write).unwrap();
        reset(torrent.stream);
        serial
    });
}

/// Here data, FIN and RST all lie before the daemon when it looks.
#[test]
fn data_then_fin_then_reset_all_at_once_is_harmless() {
    assert_survives(&[], |daemon| {
        let mut stream = connect(daemon.address());
        let serial = serial_of(daemon, &stream);
        daemon.pause();
        stream.write_all(b"a word").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        reset(stream);
        daemon.resume();
        serial
    });
}

#[test]
fn a_reset_during_the_drain_is_harmless() {
    let mut daemon = Daemon::start(&["-v", "--socket-buffer", "8KiB", "--drain-timeout", "30s"]);
    let mut bystander = connect(daemon.address());
    assert_echo(&mut bystander, b"before");
    let torrent = Torrent::never_reading(&daemon);
    let serial = serial_of(&daemon, &torrent.stream);

    daemon.signal(Signal::SIGTERM);
    assert_eq!(
        read_to_fin(&mut bystander),
        b"",
        "the bystander is owed nothing but a FIN"
    );
    assert!(
        daemon.is_running(),
        "the daemon ended although it owes bytes"
    );
    reset(torrent.stream);
    daemon.closed(serial);
    drop(bystander);
    assert_eq!(
        daemon.wait_exit(PATIENCE),
        Some(0),
        "exit code after a drain"
    );
}

#[test]
fn a_hundred_resets_at_once_leave_the_others_alone() {
    let daemon = Daemon::start(&["-v"]);
    let mut bystander = connect(daemon.address());
    assert_echo(&mut bystander, b"before");
    let mut streams: Vec<TcpStream> = (0..100).map(|_| connect(daemon.address())).collect();
    for stream in &mut streams {
        stream.write_all(&[b'x'; 2_000]).unwrap();
    }
    streams.into_iter().for_each(reset);
    assert_echo(&mut bystander, b"after");
    eventually(PATIENCE, "all hundred are closed in the log", || {
        daemon
            .lines()
            .iter()
            .filter(|line| line.contains(" closed: "))
            .count()
            == 100
    });
}
