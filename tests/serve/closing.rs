//! Orderly close: half-close loses no byte, no file descriptor leaks, and the log shows the reason.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use socket2::SockRef;

use crate::client::{BulkSender, Random, assert_echo, connect, exchange, read_to_fin, reset};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{TcpTable, open_fds};

#[test]
fn half_close_echoes_everything_then_fin() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(b"the last bytes").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        read_to_fin(&mut stream),
        b"the last bytes",
        "received to the FIN"
    );
}

#[test]
fn half_close_without_data_returns_fin() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"", "received to the FIN");
}

#[test]
fn half_close_after_1_mib_echoes_everything_then_fin() {
    let daemon = Daemon::start(&[]);
    let data = Random(3).bytes(1 << 20);
    let received = exchange(&mut connect(daemon.address()), &data);
    assert!(
        received == data,
        "1 MiB sent, {} bytes received; lost or changed",
        received.len()
    );
}

/// The FIN arrives while most of the echo is pending; the daemon's FIN must follow all of it.
#[test]
fn half_close_with_pending_output_echoes_everything_then_fin() {
    let daemon = Daemon::start(&["--socket-buffer", "8KiB", "--max-pending", "16KiB"]);
    for seed in 0..10 {
        let data = Random(seed).bytes(300_000);
        let received = exchange(&mut connect(daemon.address()), &data);
        assert!(
            received == data,
            "300,000 bytes sent, {} received; lost or changed",
            received.len()
        );
    }
}

/// As above, but the FIN is acknowledged while the daemon is known to hold pending output.
#[test]
fn fin_received_during_pending_output_truncates_no_echo() {
    const TOTAL: usize = 100_000;
    let daemon = Daemon::start(&["--socket-buffer", "8KiB", "--max-pending", "1MiB"]);
    let mut sender = BulkSender::connect(daemon.address());
    eventually(PATIENCE, "the daemon has read everything", || {
        sender.send_up_to(TOTAL);
        let progress = sender.progress(&daemon, &TcpTable::read());
        progress.read == TOTAL && progress.pending > 0
    });
    sender.stream.shutdown(Shutdown::Write).unwrap();
    let (client, server) = (sender.stream.local_addr().unwrap(), daemon.address());
    eventually(PATIENCE, "the FIN is acknowledged", || {
        TcpTable::read().socket(client, server).unacknowledged == 0
    });
    sender.receive_to_fin();
    assert_eq!(sender.received, TOTAL, "bytes received to the FIN");
}

/// A corked socket (`TCP_CORK`) sends its FIN in the segment with the last data.
#[test]
fn fin_in_the_last_data_segment_returns_echo_and_fin() {
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
            "{length} bytes and a FIN sent, {} bytes received",
            received.len()
        );
    }
}

#[test]
fn closing_2_000_connections_leaks_no_fd() {
    let daemon = Daemon::start(&[]);
    let mut first = connect(daemon.address());
    assert_echo(&mut first, b"all permanent file descriptors are open");
    let before = open_fds(daemon.pid());
    for number in 0..2_000 {
        let mut stream = connect(daemon.address());
        match number % 4 {
            0 => assert_echo(&mut stream, b"data and FIN"),
            1 => reset(stream),
            2 => {
                assert_echo(&mut stream, b"data and RST");
                reset(stream);
            }
            _ => drop(stream),
        }
    }
    eventually(
        PATIENCE,
        &format!("{before} file descriptors are open, as before"),
        || open_fds(daemon.pid()) == before,
    );
    assert_echo(&mut first, b"still open");
}

#[test]
fn open_and_close_are_logged_with_bytes_in_and_out() {
    let daemon = Daemon::start(&["-v"]);
    let mut stream = connect(daemon.address());
    let client = stream.local_addr().unwrap();
    assert_echo(&mut stream, b"hello, world");
    drop(stream);
    let opened = format!("#1 open {client}");
    daemon.wait_for_line(&opened, |line| line.ends_with(&opened));
    assert_eq!(
        daemon.close_summary(1),
        "peer closed, 12 bytes in, 12 out",
        "after `#1 closed: `"
    );
}

#[test]
fn half_close_is_logged_as_peer_closed() {
    let daemon = Daemon::start(&["-v"]);
    let received = exchange(&mut connect(daemon.address()), &Random(5).bytes(100_000));
    assert_eq!(received.len(), 100_000, "bytes received to the FIN");
    let expected = "peer closed, 100000 bytes in, 100000 out";
    assert_eq!(daemon.close_summary(1), expected, "after `#1 closed: `");
}

#[test]
fn serial_numbers_increase_and_are_never_reused() {
    let daemon = Daemon::start(&["-v"]);
    let opened = || {
        let mut stream = connect(daemon.address());
        assert_echo(&mut stream, b"opened");
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
    daemon.close_summary(2);
    assert_eq!(
        serial(&opened()),
        4,
        "the next connection after the second was closed"
    );
}
