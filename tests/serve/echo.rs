//! What is sent comes back: byte-exact, for many at once, in any size, on every kind of listener, without a stall.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{
    Random, Torrent, assert_echo, assert_reads, connect, push_until_stuck, read_to_fin,
};
use crate::harness::{Daemon, PATIENCE};
use crate::machine::{TcpTable, peak_resident_bytes, resident_bytes};
use crate::tools::skip;

#[test]
fn two_hundred_clients_at_once_each_get_their_own_bytes_back() {
    let daemon = Daemon::start(&[]);
    let address = daemon.address();
    thread::scope(|scope| {
        for seed in 0..200 {
            scope.spawn(move || talk_at_random(connect(address), Random(seed)));
        }
    });
}

/// Writes pieces of random sizes, and between them reads back a random part of what is still out.
fn talk_at_random(mut stream: TcpStream, mut random: Random) {
    // More than this must not be out, or both sides could wait for each other to read.
    const MOST_OUT: usize = 32 * 1024;
    let length = random.up_to(100_000);
    let data = random.bytes(length);
    let (mut sent, mut received) = (0, 0);
    while sent < data.len() {
        let piece = random.up_to(4096).min(data.len() - sent);
        stream
            .write_all(&data[sent..sent + piece])
            .expect("the daemon keeps up");
        sent += piece;
        let out = sent - received;
        if out > MOST_OUT || random.up_to(3) == 1 {
            let back = random.up_to(out);
            assert_reads(&mut stream, &data[received..received + back]);
            received += back;
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
fn one_byte_at_a_time_comes_back_one_byte_at_a_time() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    for round in 0..3 {
        for byte in 0..=u8::MAX {
            assert_echo(&mut stream, &[byte ^ round]);
        }
    }
}

#[test]
fn bytes_sent_one_by_one_without_waiting_come_back_in_order() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    let data = Random(1).bytes(2_000);
    for byte in &data {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_reads(&mut stream, &data);
}

#[test]
fn sixty_four_kibibytes_two_hundred_times_without_a_nagle_stall() {
    let daemon = Daemon::start(&[]);
    let mut stream = connect(daemon.address());
    let message = Random(2).bytes(64 * 1024);
    let start = Instant::now();
    for _ in 0..200 {
        assert_echo(&mut stream, &message);
    }
    // Each stall lasts for a delayed ACK, 40 ms, so that stalling all the time would take 8 s.
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "200 echoes of 64 KiB took {took:?}: they stall"
    );
}

/// Not reading is allowed: the kernel then takes no more, the daemon holds `--max-pending` and one
/// read more at most, and when the client does read, everything is there.
#[test]
fn who_sends_64_mib_before_reading_is_held_back_and_then_gets_all_of_it() {
    const TOTAL: usize = 64 << 20;
    const MAX_PENDING: usize = 64 << 10;
    let daemon = Daemon::start(&["--max-pending", "64KiB"]);
    assert_echo(
        &mut connect(daemon.address()),
        b"everything that echo needs is in memory now",
    );
    let before = resident_bytes(daemon.pid());

    let mut torrents = [Torrent::connect(daemon.address())];
    push_until_stuck(&mut torrents, TOTAL);
    let [mut torrent] = torrents;
    let account = torrent.account(&daemon, &TcpTable::read());
    assert!(
        account.owed > 0,
        "the daemon holds nothing, so this test shows nothing: {account:?}"
    );
    assert!(
        account.owed <= MAX_PENDING + (64 << 10),
        "the daemon holds too much: {account:?}"
    );

    finish(&mut torrent, TOTAL);
    let grown = peak_resident_bytes(daemon.pid()).saturating_sub(before);
    assert!(
        grown < MAX_PENDING + (2 << 20),
        "the daemon's memory grew by {grown} bytes"
    );
}

/// Sends the rest of `total` and reads at the same time, to the end.
fn finish(torrent: &mut Torrent, total: usize) {
    let mut last_progress = Instant::now();
    while torrent.received < total {
        let before = torrent.sent + torrent.received;
        torrent.push(total);
        let fin = torrent.pull();
        assert!(!fin, "a FIN after {} of {total} bytes", torrent.received);
        if torrent.sent + torrent.received > before {
            last_progress = Instant::now();
        } else {
            thread::yield_now();
        }
        let (sent, received) = (torrent.sent, torrent.received);
        let stuck = last_progress.elapsed() > PATIENCE;
        assert!(
            !stuck,
            "it does not go on: {sent} bytes sent, {received} received"
        );
    }
    torrent.stream.shutdown(Shutdown::Write).unwrap();
    torrent.pull_to_fin();
    assert_eq!(torrent.received, total, "bytes received to the FIN");
}

fn have_ipv6() -> bool {
    let have = TcpListener::bind("[::1]:0").is_ok();
    if !have {
        skip("this machine has no IPv6");
    }
    have
}

#[test]
fn an_ipv6_listener_serves_ipv6_clients() {
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
fn a_listener_on_all_ipv6_addresses_serves_ipv4_clients_too_and_logs_them_as_ipv4() {
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
    // Fails unless the log has it as 127.0.0.1, that is, not as ::ffff:127.0.0.1.
    daemon.serial_of(ipv4.local_addr().unwrap());
}

#[test]
fn several_listeners_are_all_logged_and_all_serve() {
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
fn nothing_comes_back_before_something_was_sent() {
    let daemon = Daemon::start(&["--spin", "100us"]);
    let mut quiet = connect(daemon.address());
    let mut busy = connect(daemon.address());
    for _ in 0..100 {
        assert_echo(&mut busy, b"mine alone");
    }
    quiet.set_nonblocking(true).unwrap();
    let read = quiet.read(&mut [0; 64]);
    let nothing = matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(nothing, "a client that sent nothing received {read:?}");
}
