//! What the daemon refuses or holds back: connections, bytes for one client, bytes for all.
//! And what it must not refuse: a crowd that comes all at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::client::{Torrent, assert_echo, assert_reads, connect, push_until_stuck, reset};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{
    TcpTable, allow_descriptors, open_descriptors, peak_resident_bytes, resident_bytes, somaxconn,
    tcp_counter,
};
use crate::tools::skip;

/// A connection on which one message came back, or none if it was closed instead.
fn served(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = connect(address);
    stream.write_all(b"?").ok()?;
    let mut answer = [0];
    stream.read_exact(&mut answer).ok()?;
    assert_eq!(answer, *b"?", "the echo of `?`");
    Some(stream)
}

#[test]
fn the_eleventh_of_ten_allowed_connections_is_closed_at_once() {
    let daemon = Daemon::start(&["--max-connections", "10"]);
    let mut ten: Vec<TcpStream> = (0..10).map(|_| connect(daemon.address())).collect();
    for stream in &mut ten {
        assert_echo(stream, b"one of ten");
    }
    for _ in 0..3 {
        let mut eleventh = connect(daemon.address());
        match eleventh.read(&mut [0; 8]) {
            Ok(count) => assert_eq!(count, 0, "bytes that nobody sent"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        for stream in &mut ten {
            assert_echo(stream, b"still one of ten");
        }
    }
    drop(ten.pop());
    let mut newcomer = None;
    eventually(PATIENCE, "there is room again after one has left", || {
        newcomer = served(daemon.address());
        newcomer.is_some()
    });
    assert!(
        served(daemon.address()).is_none(),
        "room for one more after one left and one came"
    );
}

#[test]
fn one_source_has_its_limit_and_others_have_their_own() {
    let daemon = Daemon::start(&["-v", "--max-per-source", "2"]);
    let from = |host: u8| {
        let mut stream = connect_from(host, daemon.address(), PATIENCE);
        stream.write_all(b"?").ok()?;
        let mut answer = [0];
        stream.read_exact(&mut answer).ok()?;
        Some(stream)
    };
    let first = from(1).expect("the first of two");
    let _second = from(1).expect("the second of two");
    assert!(from(1).is_none(), "a third from one source");
    daemon.wait_for_line("a refusal with its cause", |line| {
        line.contains("refused 127.0.0.1:") && line.contains("--max-per-source")
    });
    let _other = from(2).expect("the first from another source");
    drop(first);
    let mut newcomer = None;
    eventually(PATIENCE, "there is room again from that source", || {
        newcomer = from(1);
        newcomer.is_some()
    });
}

/// Kernel buffers count too, but are the kernel's: they are bounded by `--socket-buffer`.
#[test]
fn clients_that_never_read_are_held_back_each() {
    const MAX_PENDING: usize = 16 << 10;
    const CLIENTS: usize = 100;
    let daemon = Daemon::start(&["--socket-buffer", "4KiB", "--max-pending", "16KiB"]);
    assert_echo(
        &mut connect(daemon.address()),
        b"everything that echo needs is in memory now",
    );
    let before = resident_bytes(daemon.pid());

    let mut torrents: Vec<Torrent> = (0..CLIENTS)
        .map(|_| Torrent::connect(daemon.address()))
        .collect();
    push_until_stuck(&mut torrents, 4 << 20);
    let table = TcpTable::read();
    for torrent in &torrents {
        let account = torrent.account(&daemon, &table);
        assert!(
            account.owed <= MAX_PENDING + (64 << 10),
            "held for one client: {account:?}"
        );
        assert!(
            torrent.sent < 512 << 10,
            "the kernel and the daemon took {} bytes",
            torrent.sent
        );
    }
    let grown = peak_resident_bytes(daemon.pid()).saturating_sub(before);
    let most = CLIENTS * (MAX_PENDING + (4 << 10)) + (1 << 20);
    assert!(
        grown < most,
        "the daemon's memory grew by {grown} bytes, {most} are allowed"
    );
    assert_echo(
        &mut connect(daemon.address()),
        b"one that does read is served meanwhile",
    );
}

/// By itself the kernel would take some megabytes for each.
#[test]
fn the_kernel_too_holds_little_for_a_client_that_never_reads() {
    const MOST: usize = 512 << 10;
    let daemon = Daemon::start(&[]);
    let torrent = Torrent::never_reading(&daemon);
    let here = torrent.stream.local_addr().unwrap();
    let held = TcpTable::read().socket(daemon.address(), here);
    assert!(
        held.unacknowledged < MOST,
        "{} bytes for one client in the kernel",
        held.unacknowledged
    );
}

#[test]
fn when_clients_that_filled_the_common_buffer_leave_everything_echoes_again() {
    let mut daemon = Daemon::start(&[
        "--max-buffered",
        "256KiB",
        "--max-pending",
        "256KiB",
        "--socket-buffer",
        "4KiB",
    ]);
    let mut bystander = connect(daemon.address());
    assert_echo(&mut bystander, b"before");
    let before = resident_bytes(daemon.pid());

    let mut torrents: Vec<Torrent> = (0..50)
        .map(|_| Torrent::connect(daemon.address()))
        .collect();
    push_until_stuck(&mut torrents, 4 << 20);
    let table = TcpTable::read();
    let owed: usize = torrents
        .iter()
        .map(|torrent| torrent.account(&daemon, &table).owed)
        .sum();
    // One read more than is allowed, since how much a read brings is known only after it.
    assert!(
        owed <= (256 << 10) + (64 << 10),
        "the daemon holds {owed} bytes for all together"
    );
    let grown = peak_resident_bytes(daemon.pid()).saturating_sub(before);
    assert!(grown < 2 << 20, "the daemon's memory grew by {grown} bytes");

    bystander
        .write_all(b"sent while nothing may be read")
        .unwrap();
    // All leave at once, so that no later departure can make good for one that was overlooked.
    daemon.pause();
    for torrent in torrents {
        reset(torrent.stream);
    }
    daemon.resume();
    assert_reads(&mut bystander, b"sent while nothing may be read");
    assert_echo(&mut bystander, b"after");
    assert_echo(&mut connect(daemon.address()), b"and a newcomer");
}

/// The bound on all together must not end in a standstill when its holders do read in the end.
#[test]
fn memory_that_clients_had_filled_goes_back_to_the_system_when_they_have_left() {
    const CLIENTS: usize = 4000;
    if !allow_descriptors(2 * CLIENTS as u64) {
        return skip("too few descriptors are allowed here");
    }
    let daemon = Daemon::start(&["--max-buffered", "16MiB", "--socket-buffer", "4KiB"]);
    let mut bystander = connect(daemon.address());
    assert_echo(&mut bystander, b"before");
    let before = resident_bytes(daemon.pid());
    let descriptors = open_descriptors(daemon.pid());
    // What the first round leaves may lie under what the second one needs.
    for round in 1..=2 {
        let clients = (0..CLIENTS).map(|_| Torrent::connect(daemon.address()));
        let mut torrents: Vec<Torrent> = clients.collect();
        // Those that read nothing for a second while memory is scarce are reset.
        eventually(PATIENCE, "they fill 5 MiB", || {
            for torrent in &mut torrents {
                let _ = torrent.push_unless_reset(1 << 20);
            }
            resident_bytes(daemon.pid()).saturating_sub(before) > 5 << 20
        });
        for torrent in torrents {
            reset(torrent.stream);
        }
        eventually(PATIENCE, "all have left", || {
            open_descriptors(daemon.pid()) == descriptors
        });
        assert_echo(&mut bystander, b"after");
        let kept = resident_bytes(daemon.pid()).saturating_sub(before);
        assert!(kept < 2 << 20, "{kept} bytes were kept, round {round}");
    }
}

#[test]
fn when_clients_that_filled_the_common_buffer_read_everything_echoes_again() {
    let daemon = Daemon::start(&["--max-buffered", "64KiB", "--socket-buffer", "4KiB"]);
    let mut torrents: Vec<Torrent> = (0..20)
        .map(|_| Torrent::connect(daemon.address()))
        .collect();
    push_until_stuck(&mut torrents, 4 << 20);
    eventually(PATIENCE, "all that was sent comes back to all", || {
        // Each must read to the end of what it sent, whatever the order in which the daemon serves them.
        torrents.iter_mut().fold(true, |all, torrent| {
            let fin = torrent.pull();
            assert!(!fin, "a FIN after {} bytes", torrent.received);
            all && torrent.received == torrent.sent
        })
    });
    assert_echo(&mut connect(daemon.address()), b"and a newcomer");
}

/// All are in the accept queue at once, since the daemon is held still; with a short queue the
/// kernel would drop SYNs, and each drop would cost a client a second.
#[test]
fn four_thousand_clients_at_once_are_taken_without_a_syn_retry_and_all_echo() {
    const CLIENTS: u16 = 4_000;
    if somaxconn() < 4_096 {
        return skip(&format!(
            "net.core.somaxconn is {}, 4096 is wanted",
            somaxconn()
        ));
    }
    if !allow_descriptors(u64::from(CLIENTS) + 1_000) {
        return;
    }
    let counters = || ["TCPSynRetrans", "ListenOverflows", "ListenDrops"].map(tcp_counter);
    let mut counted = [[0; 3]; 2];
    // The counters are the whole machine's, so another program's trouble may fall between the two
    // readings; trouble of our own comes back each time.
    for _ in 0..3 {
        let mut daemon = Daemon::start(&[]);
        counted[0] = counters();
        daemon.pause();
        // From eight source addresses. A SYN that is dropped is sent again after 1 s: too late here.
        let within = Duration::from_millis(990);
        let hosts = (2..10).cycle().take(CLIENTS.into());
        let crowd = hosts.map(|host| connect_from(host, daemon.address(), within));
        let mut crowd: Vec<TcpStream> = crowd.collect();
        daemon.resume();
        for (number, stream) in crowd.iter_mut().enumerate() {
            stream.write_all(format!("{number:4}").as_bytes()).unwrap();
        }
        for (number, stream) in crowd.iter_mut().enumerate() {
            assert_reads(stream, format!("{number:4}").as_bytes());
        }
        counted[1] = counters();
        if counted[0] == counted[1] {
            return;
        }
    }
    panic!("SYN retries, listen overflows, listen drops before and after: {counted:?}");
}

/// From 127.0.0.`host`; gives up after `within`.
fn connect_from(host: u8, address: SocketAddr, within: Duration) -> TcpStream {
    let source = SocketAddr::from(([127, 0, 0, host], 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&source.into()).unwrap();
    let connected = socket.connect_timeout(&address.into(), within);
    connected.unwrap_or_else(|error| panic!("from {source}, within {within:?}: {error}"));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}
