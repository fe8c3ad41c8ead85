//! Clients that send their request slowly, take no response, or request as fast as they can.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{get, start, try_get};
use crate::client::{assert_echo, connect, connect_with_buffers};
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{peak_resident_bytes, resident_bytes};
use crate::tools::{have_tool, run_within};

/// Echoes until `work` is done; each echo must arrive.
fn with_echoes<T>(daemon: &Daemon, work: impl FnOnce() -> T) -> T {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let echoes = scope.spawn(|| {
            let mut client = connect(daemon.address());
            let mut count = 0;
            while !is_done.load(Ordering::Relaxed) {
                assert_echo(&mut client, b"echo");
                count += 1;
            }
            count
        });
        let result = work();
        is_done.store(true, Ordering::Relaxed);
        assert!(echoes.join().unwrap() > 0);
        result
    })
}

#[test]
fn head_that_arrives_byte_by_byte_is_closed_with_408() {
    let (_daemon, admin) = start(&[]);
    let mut client = connect(admin);
    let interval = Duration::from_millis(200);
    client.set_read_timeout(Some(interval)).unwrap();
    let mut received = Vec::new();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter();
    let mut bytes = request.copied().chain(std::iter::repeat(b'x'));
    eventually(PATIENCE, "the server closes the connection", || {
        // The pace is that of the read timeout.
        let _ = client.write_all(&[bytes.next().unwrap()]);
        let mut buffer = [0; 1000];
        match client.read(&mut buffer) {
            Ok(0) => true,
            Ok(count) => {
                received.extend(&buffer[..count]);
                false
            }
            Err(_) => false,
        }
    });
    let received = String::from_utf8(received).unwrap();
    assert!(
        received.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{received}"
    );
    assert!(received.contains("\r\nConnection: close\r\n"), "{received}");
}

#[test]
fn silent_client_is_closed_without_a_response() {
    let (_daemon, admin) = start(&[]);
    let mut client = connect(admin);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"");
}

#[test]
fn client_that_takes_no_response_delays_none_and_is_reset() {
    let (daemon, admin) = start(&[]);
    let before = resident_bytes(daemon.pid());
    let mut stalled: Vec<TcpStream> = (0..8)
        .map(|_| {
            let client = connect_with_buffers(admin, 4096);
            client
                .set_write_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            client
        })
        .collect();
    let requests = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    with_echoes(&daemon, || {
        for client in &mut stalled {
            // It ends when the server reads no more.
            while client.write_all(&requests).is_ok() {}
        }
        assert_eq!(get(admin, "/healthz").status, 200);
        for client in &mut stalled {
            eventually(PATIENCE, "the server resets the connection", || {
                client.write_all(b"x").is_err_and(|error| {
                    !matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    )
                })
            });
        }
    });
    let grown = peak_resident_bytes(daemon.pid()).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[test]
fn wrk_gets_only_complete_responses_while_clients_echo() {
    if !have_tool("wrk") {
        return;
    }
    let (daemon, admin) = start(&[]);
    for (path, connections) in [("/metrics", "8"), ("/", "1"), ("/status.json", "12")] {
        let output = with_echoes(&daemon, || {
            let mut wrk = Command::new("wrk");
            wrk.args(["-t1", "-d1s", "--timeout", "20s", "-c", connections]);
            wrk.arg(format!("http://{admin}{path}"));
            run_within(2 * PATIENCE, wrk, b"")
        });
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("Socket errors"), "{text}");
        assert!(!text.contains("Non-2xx"), "{text}");
        let requests = text.lines().find(|line| line.contains(" requests in "));
        let requests = requests.unwrap().split_whitespace().next().unwrap();
        assert!(requests.parse::<u64>().unwrap() > 0, "{text}");
    }
}

#[test]
fn slow_headers_of_slowhttptest_delay_no_client() {
    if !have_tool("slowhttptest") {
        return;
    }
    let (daemon, admin) = start(&[]);
    let output = with_echoes(&daemon, || {
        let mut slow = Command::new("slowhttptest");
        // 40 connections with a header field per second each, for 8 s.
        slow.args([
            "-H", "-c", "40", "-r", "40", "-i", "1", "-x", "24", "-l", "8", "-p", "3",
        ]);
        slow.args(["-u", &format!("http://{admin}/metrics")]);
        run_within(3 * PATIENCE, slow, b"")
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Test ended"), "{text}");
    eventually(PATIENCE, "the admin listener serves", || {
        try_get(admin, "/metrics").is_some_and(|response| response.status == 200)
    });
}
