//! Raw echo: exact bytes, concurrent clients, all message sizes, IPv4 and IPv6 listeners, no Nagle delays.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use crate::client::{
    BulkSender, Random, assert_echo, assert_no_nagle_delay, assert_reads, connect, read_to_fin,
    send_until_blocked,
};
use crate::harness::{Daemon, PATIENCE};
use crate::machine::{TcpTable, peak_resident_bytes, resident_bytes};
use crate::tools::skip;

#[test]
fn concurrent_200_clients_each_receive_their_own_bytes() {
    let daemon = Daemon::start(&[]);
    let address = daemon.address();
    thread::scope(|scope| {
        for seed in 0..200 {
            scope.spawn(move || exchange_at_random(connect(address), Random(seed)));
        }
    });
}

/// Writes pieces of random sizes and, between them, reads a random part of the echo still in flight.
fn exchange_at_random(mut stream: TcpStream, mut random: Random) {
    // With more bytes in flight both sides could block, each waiting for the other to read.
    const MOST_IN_FLIGHT: usize = 32 * 1024;
    let length = random.up_to(100_000);
    let data = random.bytes(length);
    let (mut sent, mut received) = (0, 0);
    while sent < data.len() {
        let piece = random.up_to(4096).min(data.len() - sent);
        stream
            .write_all(&data[sent..sent + piece])
            .expect("the daemon reads");
        sent += piece;
        let in_flight = sent - received;
        if in_flight > MOST_IN_FLIGHT || random.up_to(3) == 1 {
            let count = random.up_to(in_flight);
            assert_reads(&mut stream, &data[received..received + count]);
            received += count;
        }
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let rest = read_to_fin(&mut stream);
    assert!(
        rest == data[received..],
        "the last {} of {length} bytes differ",
        length - received
    );
}

#[test]
fn single_bytes_are_echoed_one_by_one() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    for round in 0..3 {
        for byte in 0..=u8::MAX {
            assert_echo(&mut stream, &[byte ^ round]);
        }
    }
}

#[test]
fn single_bytes_sent_without_waiting_are_echoed_in_order() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    let data = Random(1).bytes(2_000);
    for byte in &data {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_reads(&mut stream, &data);
}

#[test]
fn echo_of_64_kib_200_times_has_no_nagle_delay() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    let message = Random(2).bytes(64 * 1024);
    assert_no_nagle_delay((0..200).map(|_| {
        let start = Instant::now();
        assert_echo(&mut stream, &message);
        start.elapsed()
    }));
}

/// Until the client reads, back-pressure stops it, and the daemon holds at most `--max-pending` plus one read; then it
/// receives everything.
#[test]
fn sending_64_mib_unread_is_throttled_then_echoed_completely() {
    const TOTAL: usize = 64 << 20;
    const MAX_PENDING: usize = 64 << 10;
    let daemon = Daemon::start(&["--max-pending", "64KiB"]);
    assert_echo(
        &mut connect(daemon.address()),
        b"all code pages of echo are resident",
    );
    let before = resident_bytes(daemon.pid());

    let mut senders = [BulkSender::connect(daemon.address())];
    send_until_blocked(&mut senders, TOTAL);
    let [mut sender] = senders;
    let progress = sender.progress(&daemon, &TcpTable::read());
    assert!(
        progress.pending > 0,
        "the daemon has no pending output to test with: {progress:?}"
    );
    assert!(
        progress.pending <= MAX_PENDING + (64 << 10),
        "too much pending output: {progress:?}"
    );

    finish(&mut sender, TOTAL);
    let grown = peak_resident_bytes(daemon.pid()).saturating_sub(before);
    assert!(
        grown < MAX_PENDING + (2 << 20),
        "the daemon's memory grew by {grown} bytes"
    );
}

/// Sends the rest of `total`, reads at the same time, and half-closes at the end.
fn finish(sender: &mut BulkSender, total: usize) {
    let mut last_progress = Instant::now();
    while sender.received < total {
        let before = sender.sent + sender.received;
        sender.send_up_to(total);
        let fin = sender.receive_available();
        assert!(!fin, "a FIN after {} of {total} bytes", sender.received);
        if sender.sent + sender.received > before {
            last_progress = Instant::now();
        } else {
            thread::yield_now();
        }
        let (sent, received) = (sender.sent, sender.received);
        let is_stuck = last_progress.elapsed() > PATIENCE;
        assert!(
            !is_stuck,
            "no progress within {PATIENCE:?}: {sent} bytes sent, {received} received"
        );
    }
    sender.stream.shutdown(Shutdown::Write).unwrap();
    sender.receive_to_fin();
    assert_eq!(sender.received, total, "bytes received to the FIN");
}

fn have_ipv6() -> bool {
    let have = TcpListener::bind("[::1]:0").is_ok();
    if !have {
        skip("this machine has no IPv6");
    }
    have
}

#[test]
fn ipv6_listener_serves_ipv6_clients() {
    if !have_ipv6() {
        return;
    }
    let daemon = Daemon::listening_on(&["[::1]:0"], &[]);
    assert!(
        daemon.address().is_ipv6(),
        "listening on {}",
        daemon.address()
    );
    assert_echo(&mut connect(daemon.address()), b"over IPv6");
}

#[test]
fn ipv6_wildcard_listener_serves_ipv4_and_logs_it_as_ipv4() {
    if !have_ipv6() {
        return;
    }
    let daemon = Daemon::listening_on(&["[::]:0"], &["-v"]);
    let port = daemon.address().port();
    assert_echo(
        &mut connect(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))),
        b"over IPv6",
    );
    let mut ipv4 = connect(SocketAddr::from(([127, 0, 0, 1], port)));
    assert_echo(&mut ipv4, b"over IPv4");
    // Fails unless the log shows 127.0.0.1 instead of ::ffff:127.0.0.1.
    daemon.serial_of(ipv4.local_addr().unwrap());
}

#[test]
fn several_listeners_are_logged_and_serve_clients() {
    let mut listeners = vec!["127.0.0.1:0", "127.0.0.1:0"];
    if have_ipv6() {
        listeners.push("[::1]:0");
    }
    let daemon = Daemon::listening_on(&listeners, &[]);
    let addresses = daemon.addresses();
    assert_eq!(
        addresses.len(),
        listeners.len(),
        "one line for each listener: {addresses:?}"
    );
    let mut streams: Vec<TcpStream> = addresses.iter().map(|address| connect(*address)).collect();
    for (stream, address) in streams.iter_mut().zip(addresses) {
        assert_echo(stream, format!("to {address}").as_bytes());
    }
}

#[test]
fn client_that_sends_nothing_receives_nothing() {
    let daemon = Daemon::start(&["--spin", "100us"]);
    let mut silent = connect(daemon.address());
    let mut busy = connect(daemon.address());
    for _ in 0..100 {
        assert_echo(&mut busy, b"busy");
    }
    silent.set_nonblocking(true).unwrap();
    let read = silent.read(&mut [0; 64]);
    let nothing = matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(nothing, "a client that sent nothing received {read:?}");
}
