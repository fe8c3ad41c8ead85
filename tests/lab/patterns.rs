//! The echo contract: every pattern, on real sockets.

use crate::server::{Server, echo};
use crate::tools::lacking;
use echoloop::lab::patterns::{ALL, Family, Pattern};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

/// The places of patterns with a fixed number.
const WORKERS: usize = 8;

/// Runs a check against each pattern, which must not end by it.
fn all(check: impl Fn(&Pattern, &mut Server)) {
    for pattern in ALL {
        if pattern.name == "uring" && !is_uring_permitted() {
            lacking("io_uring is not permitted");
            continue;
        }
        let mut server = Server::start(pattern.name, WORKERS);
        check(pattern, &mut server);
        assert!(server.is_running(), "{} has ended", pattern.name);
    }
}

/// Whether this system permits `io_uring`: containers often do not.
fn is_uring_permitted() -> bool {
    let server = Server::start("uring", WORKERS);
    let mut client = TcpStream::connect(server.address).unwrap();
    // A server that has ended resets the connection.
    client.write_all(b"!").is_ok() && client.read_exact(&mut [0]).is_ok()
}

/// Bytes that differ from their neighbours and from page to page.
fn message(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

/// Everything up to the server's FIN.
fn read_to_end(stream: &mut TcpStream, pattern: &Pattern) -> Vec<u8> {
    let mut received = Vec::new();
    let result = stream.read_to_end(&mut received);
    result.unwrap_or_else(|error| panic!("{}: {error}", pattern.name));
    received
}

#[test]
fn message_and_its_single_bytes_are_echoed() {
    all(|_, server| {
        let mut client = server.connect();
        echo(&mut client, b"hello\n");
        for byte in message(300) {
            echo(&mut client, &[byte]);
        }
    });
}

#[test]
fn half_close_echoes_everything_then_fin() {
    all(|pattern, server| {
        for length in [0, 1, 100_000] {
            let mut client = server.connect();
            let sent = message(length);
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let received = read_to_end(&mut client, pattern);
            assert!(received == sent, "{}: {length}", pattern.name);
        }
    });
}

#[test]
fn mebibyte_is_echoed_while_it_is_sent() {
    all(|pattern, server| {
        let mut client = server.connect();
        let sent = message(1 << 20);
        let mut sender = client.try_clone().unwrap();
        let received = thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&sent).unwrap();
                sender.shutdown(Shutdown::Write).unwrap();
            });
            read_to_end(&mut client, pattern)
        });
        assert!(received == sent, "{}: {}", pattern.name, received.len());
    });
}

/// Sends until neither the kernel nor the server takes more; returns how much it was.
fn fill(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    // The window grows while the server reads, so one refusal is not the end: the timeout only ends the filling.
    stream
        .set_write_timeout(Some(std::time::Duration::from_millis(300)))
        .unwrap();
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(length) => sent += length,
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn slow_reader_delays_no_other_client_and_loses_nothing() {
    let bytes = message(64 << 20);
    all(|pattern, server| {
        // The serial server copes with no second client, and with SO_REUSEPORT a client may wait for this one.
        if ["serial", "reuse_port"].contains(&pattern.name) {
            return;
        }
        let mut slow = server.connect();
        let sent = fill(&mut slow, &bytes);
        assert!(sent < bytes.len(), "{} took everything", pattern.name);
        let mut other = server.connect();
        echo(&mut other, &message(10_000));
        slow.shutdown(Shutdown::Write).unwrap();
        let received = read_to_end(&mut slow, pattern);
        assert!(received == bytes[..sent], "{}: {sent}", pattern.name);
    });
}

/// Closes with RST, since unread data is discarded.
fn reset(mut client: TcpStream) {
    client.write_all(&message(1000)).unwrap();
    // One byte of the reply has arrived, and others will not be read.
    client.read_exact(&mut [0]).unwrap();
    drop(client);
}

#[test]
fn reset_by_a_client_does_not_end_the_server() {
    all(|pattern, server| {
        for _ in 0..3 * WORKERS {
            reset(server.connect());
        }
        // Every worker has seen a reset, or may have: none has ended by it.
        for _ in 0..3 * WORKERS {
            echo(&mut server.connect(), b"alive");
        }
        let workers = match (pattern.family, pattern.name) {
            (Family::Workers, "prefork") => server.children().len(),
            _ => WORKERS,
        };
        assert_eq!(workers, WORKERS, "{}", pattern.name);
    });
}
