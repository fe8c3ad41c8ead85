//! Kernel memory of the daemon's sockets: their buffers, and sockets that remain after the daemon's close.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{assert_echo, connect, connect_with_buffers, send_until_quiet, write_some};
use crate::harness::{Daemon, eventually};
use crate::machine::TcpTable;
use crate::tools::{PATIENCE, have_tool, run};

/// States of `net/tcp_states.h`.
const FIN_WAIT1: u8 = 4;
const LAST_ACK: u8 = 9;

/// Sends `total` bytes and reads their echo at the same time, so that the kernel's buffers grow.
fn echo_bulk(stream: &TcpStream, total: usize) {
    let mut reader = stream.try_clone().unwrap().take(total as u64);
    let mut writer = stream;
    thread::scope(|scope| {
        scope.spawn(move || {
            let piece = vec![b'b'; 1 << 20];
            for _ in 0..total / piece.len() {
                writer.write_all(&piece).unwrap();
            }
        });
        let received = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        assert_eq!(received, total as u64);
    });
}

/// Sends on all of them, reading nothing, until the kernel has accepted no byte for 500 ms.
fn send_until_blocked(streams: &[TcpStream]) {
    let piece = vec![b's'; 64 << 10];
    let write = || {
        let counts = streams.iter().map(|stream| write_some(stream, &piece));
        counts.sum::<io::Result<usize>>()
    };
    send_until_quiet(Duration::from_millis(500), write).unwrap();
}

/// Kernel memory in bytes of each established socket at `local` (`skmem` of ss(8): r, f, w and bl).
fn kernel_memory(local: SocketAddr) -> Vec<usize> {
    let mut ss = Command::new("ss");
    ss.args(["-tmnH", "state", "established"]);
    ss.arg(format!("( sport = :{} )", local.port()));
    let output = String::from_utf8(run(ss, b"").stdout).unwrap();
    let sockets = output.split("skmem:(").skip(1);
    let memory = sockets.map(|skmem| {
        let (fields, _) = skmem.split_once(')').unwrap();
        let counted = fields.split(',').filter_map(|field| {
            let digits = field.find(|c: char| c.is_ascii_digit())?;
            let (name, bytes) = field.split_at(digits);
            ["r", "f", "w", "bl"]
                .contains(&name)
                .then(|| bytes.parse::<usize>().unwrap())
        });
        counted.sum()
    });
    memory.collect()
}

#[test]
fn bulk_client_that_stops_reading_costs_512_kib_at_most() {
    const CLIENTS: usize = 50;
    const MOST: usize = 512 << 10;
    if !have_tool("ss") {
        return;
    }
    let daemon = Daemon::start(&[]);
    let connect = |_| connect(daemon.address());
    let clients: Vec<TcpStream> = (0..CLIENTS).map(connect).collect();
    for client in &clients {
        echo_bulk(client, 16 << 20);
    }
    send_until_blocked(&clients);
    let memory = kernel_memory(daemon.address());
    assert_eq!(memory.len(), CLIENTS);
    let (most, sum) = (memory.iter().max().unwrap(), memory.iter().sum::<usize>());
    assert!(
        *most <= MOST,
        "up to {most} bytes, {} on average",
        sum / CLIENTS
    );
    // The clients must have filled their buffers, or nothing is tested.
    assert!(
        sum / CLIENTS > 128 << 10,
        "{} bytes on average",
        sum / CLIENTS
    );
}

/// A client that sent `bytes` and FIN; the echo fits into kernel buffers, so the daemon closes the connection.
fn half_closed(daemon: &Daemon, bytes: usize) -> TcpStream {
    let mut client = connect_with_buffers(daemon.address(), 4 << 10);
    client.write_all(&vec![b'h'; bytes]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client
}

#[test]
fn half_closed_client_that_never_reads_is_reset() {
    const CLIENTS: usize = 20;
    let daemon = Daemon::start(&["--stall-timeout", "2s"]);
    let mut other = connect(daemon.address());
    assert_echo(&mut other, b"before");
    let half_closed = |_| half_closed(&daemon, 100_000);
    let clients: Vec<TcpStream> = (0..CLIENTS).map(half_closed).collect();
    let count = |state| TcpTable::read().count(daemon.address(), state);
    eventually(PATIENCE, "the daemon has closed all connections", || {
        count(LAST_ACK) == CLIENTS
    });
    // At least 10 s after the last acknowledged byte, plus the kernel's timer.
    eventually(Duration::from_secs(25), "no socket is left", || {
        count(LAST_ACK) + count(FIN_WAIT1) == 0
    });
    assert_echo(&mut other, b"after");
    drop(clients);
}

#[test]
fn last_ack_socket_lets_a_steady_reader_receive_everything() {
    const BYTES: usize = 100_000;
    let daemon = Daemon::start(&["--stall-timeout", "1s"]);
    let mut client = half_closed(&daemon, BYTES);
    eventually(PATIENCE, "the daemon has closed the connection", || {
        TcpTable::read().count(daemon.address(), LAST_ACK) == 1
    });
    let start = Instant::now();
    let mut received = 0;
    let mut piece = [0; 2048];
    // About 25 kB/s: several times the timeout; the client's kernel acknowledges 6 kB at a time.
    loop {
        match client.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => received += count,
            Err(error) => panic!("after {received} bytes: {error}"),
        }
        thread::sleep(Duration::from_millis(80));
    }
    assert_eq!(received, BYTES);
    let took = start.elapsed();
    assert!(took > Duration::from_secs(3), "read within {took:?}");
}
