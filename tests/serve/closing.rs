//! The end of a connection in peace: half-close is exact, nothing leaks, and the log says how it went.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use socket2::SockRef;

use crate::client::{Random, Torrent, assert_echo, connect, exchange, read_to_fin, reset};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, open_descriptors};

#[test]
fn half_close_returns_everything_then_fin() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"the last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        read_to_fin(&mut stream),
        b"the last words",
        "received to the FIN"
    );
}

#[test]
fn half_close_without_a_word_returns_fin() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"", "received to the FIN");
}

#[test]
fn half_close_behind_one_mebibyte_returns_all_of_it_then_fin() {
    let daemon = Daemon::start(&[]);
    let data = Random(3).bytes(1 << 20);
    let received = exchange(&mut connect(daemon.address()), &data);
    assert!(
        received == data,
        "1 MiB sent, {} bytes received, or others",
        received.len()
    );
}

/// The daemon owes most of it when the FIN is already there; the FIN must not overtake what is owed.
#[test]
fn half_close_while_the_daemon_owes_returns_everything_then_fin() {
    let daemon = Daemon::start(&["--socket-buffer", "8KiB", "--max-pending", "16KiB"]);
    for seed in 0..10 {
        let data = Random(seed).bytes(300_000);
        let received = exchange(&mut connect(daemon.address()), &data);
        assert!(
            received == data,
            "300,000 bytes sent, {} received, or others",
            received.len()
        );
    }
}

/// As above, but the FIN is surely there while the daemon holds bytes in its own memory.
#[test]
fn a_fin_that_arrives_while_the_daemon_owes_does_not_cut_off_what_is_owed() {
    const TOTAL: usize = 100_000;
    let daemon = Daemon::start(&["--socket-buffer", "8KiB", "--max-pending", "1MiB"]);
    let mut torrent = Torrent::connect(daemon.address());
    eventually(PATIENCE, "the daemon has read everything", || {
        torrent.push(TOTAL);
        let account = torrent.account(&daemon, &TcpTable::read());
        account.read == TOTAL && account.owed > 0
    });
    torrent.stream.shutdown(Shutdown::Write).unwrap();
    let (client, server) = (torrent.stream.local_addr().unwrap(), daemon.address());
    eventually(PATIENCE, "the FIN is acknowledged", || {
        TcpTable::read().socket(client, server).unacknowledged == 0
    });
    torrent.pull_to_fin();
    assert_eq!(torrent.received, TOTAL, "bytes received to the FIN");
}

/// A corked socket sends its FIN in the segment that carries the last data.
#[test]
fn a_fin_that_arrives_together_with_data_is_answered_by_both() {
    let mut daemon = Daemon::start(&[]);
    for (length, at_once) in [(5, false), (5, true), (40_000, false), (40_000, true)] {
        let mut stream = connect(daemon.address());
        assert_echo(&mut stream, b"accepted");
        SockRef::from(&stream).set_tcp_cork(true).unwrap();
        let data = Random(4).bytes(length);
        if at_once {
            daemon.pause();
        }
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        if at_once {
            daemon.resume();
        }
        let received = read_to_fin(&mut stream);
        assert!(
            received == data,
            "{length} bytes and a FIN gave {} bytes back",
            received.len()
        );
    }
}

#[test]
fn two_thousand_connections_opened_and_closed_leave_no_descriptor_behind() {
    let daemon = Daemon::start(&[]);
    let mut first = connect(daemon.address());
    assert_echo(&mut first, b"everything that stays open is open now");
    let before = open_descriptors(daemon.pid());
    for turn in 0..2_000 {
        let mut stream = connect(daemon.address());
        match turn % 4 {
            0 => assert_echo(&mut stream, b"a word and FIN"),
            1 => reset(stream),
            2 => {
                assert_echo(&mut stream, b"a word and RST");
                reset(stream);
            }
            _ => drop(stream),
        }
    }
    eventually(
        PATIENCE,
        &format!("{before} descriptors are open, as before"),
        || open_descriptors(daemon.pid()) == before,
    );
    assert_echo(&mut first, b"still here");
}

#[test]
fn the_log_tells_of_opening_and_closing_with_bytes_in_and_out() {
    let daemon = Daemon::start(&["-v"]);
    let mut stream = connect(daemon.address());
    let client = stream.local_addr().unwrap();
    assert_echo(&mut stream, b"hello, world");
    drop(stream);
    let opened = format!("#1 open {client}");
    daemon.wait_for_line(&opened, |line| line.ends_with(&opened));
    assert_eq!(
        daemon.closed(1),
        "peer closed, 12 bytes in, 12 out",
        "after `#1 closed: `"
    );
}

#[test]
fn the_log_tells_of_a_half_close_as_of_a_peer_that_closed() {
    let daemon = Daemon::start(&["-v"]);
    let received = exchange(&mut connect(daemon.address()), &Random(5).bytes(100_000));
    assert_eq!(received.len(), 100_000, "bytes received to the FIN");
    let expected = "peer closed, 100000 bytes in, 100000 out";
    assert_eq!(daemon.closed(1), expected, "after `#1 closed: `");
}

#[test]
fn serial_numbers_go_up_and_are_not_used_again() {
    let daemon = Daemon::start(&["-v"]);
    let opened = || {
        let mut stream = connect(daemon.address());
        assert_echo(&mut stream, b"here I am");
        stream
    };
    let serial = |stream: &TcpStream| daemon.serial_of(stream.local_addr().unwrap());
    let (first, second, third) = (opened(), opened(), opened());
    assert_eq!(
        [&first, &second, &third].map(serial),
        [1, 2, 3],
        "three connections in turn"
    );
    drop(second);
    daemon.closed(2);
    assert_eq!(
        serial(&opened()),
        4,
        "the next one, after the second has gone"
    );
}
