//! The pages, and how the connections that request them behave.

use std::io::{Read, Write};
use std::net::Shutdown;

use nix::sys::signal::Signal;

use super::{converse, get, scrape, start, value, wait_for};
use crate::client::{assert_echo, assert_refused, connect, exchange, read_to_fin, reset};
use crate::harness::{Daemon, in_shell, serve_arguments};
use crate::harness::{PATIENCE, eventually};
use crate::machine::allow_fds;

#[test]
fn metrics_count_connections_bytes_and_reasons() {
    let (daemon, admin) = start(&[]);
    assert!((scrape(admin, "echoloop_connections_open")).abs() < 1e-9);
    let mut clients: Vec<_> = (0..3).map(|_| connect(daemon.address())).collect();
    for client in &mut clients {
        assert_echo(client, b"12345");
    }
    let mut closed = clients.pop().unwrap();
    closed.shutdown(Shutdown::Write).unwrap();
    read_to_fin(&mut closed);
    reset(clients.pop().unwrap());
    wait_for(admin, "echoloop_connections_open", 1.0);
    let metrics = get(admin, "/metrics").body;
    for (sample, expected) in [
        ("echoloop_connections_opened_total", 3.0),
        (
            "echoloop_connections_closed_total{reason=\"peer_closed\"}",
            1.0,
        ),
        (
            "echoloop_connections_closed_total{reason=\"peer_reset\"}",
            1.0,
        ),
        ("echoloop_draining", 0.0),
        (
            "echoloop_build_info{version=\"0.1.0\",protocol=\"raw\"}",
            1.0,
        ),
    ] {
        let actual = value(&metrics, sample);
        assert!((actual - expected).abs() < 1e-9, "{sample}: {actual}");
    }
    assert!(value(&metrics, "echoloop_received_bytes_total") >= 10.0);
    assert!(value(&metrics, "process_open_fds") > 5.0);
    assert_echo(&mut clients[0], b"still served");
}

#[test]
fn messages_are_counted_where_the_protocol_has_some() {
    for (protocol, input, received, sent) in [
        ("line", &b"one\ntwo\nthree"[..], 3.0, 3.0),
        ("frame:1", b"\x01a\x02bc", 2.0, 2.0),
        ("clock", b"12345678", 1.0, 1.0),
        ("collect", b"a record", 1.0, 0.0),
    ] {
        let (daemon, admin) = start(&["-p", protocol]);
        exchange(&mut connect(daemon.address()), input);
        wait_for(admin, "echoloop_received_messages_total", received);
        wait_for(admin, "echoloop_sent_messages_total", sent);
    }
    let (_daemon, admin) = start(&["-p", "discard"]);
    assert!(!get(admin, "/metrics").body.contains("messages"));
}

#[test]
fn status_has_the_same_figures_as_json() {
    let (daemon, admin) = start(&["--idle-timeout", "1h"]);
    let mut client = connect(daemon.address());
    assert_echo(&mut client, b"12345");
    wait_for(admin, "echoloop_deadlines_armed{class=\"idle\"}", 1.0);
    let response = get(admin, "/status.json");
    assert!(
        response
            .head
            .contains("\r\nContent-Type: application/json\r\n")
    );
    let status: serde_json::Value = serde_json::from_str(&response.body).unwrap();
    for (pointer, expected) in [
        ("/connections/open", 1),
        ("/connections/opened", 1),
        ("/connections/closed/idle", 0),
        ("/deadlines/idle", 1),
    ] {
        assert_eq!(status.pointer(pointer), Some(&expected.into()), "{pointer}");
    }
    assert_eq!(status["state"], "serving");
    assert_eq!(status["protocol"], "raw");
}

#[test]
fn health_is_503_during_a_drain_and_the_listener_stays_open() {
    let (mut daemon, admin) = start(&["--drain-timeout", "1h"]);
    assert_eq!(get(admin, "/healthz").body, "ok\n");
    // A slow reader keeps the drain waiting.
    let slow = connect(daemon.address());
    let data = vec![b'x'; 8 << 20];
    std::thread::scope(|scope| {
        let mut sender = slow.try_clone().unwrap();
        let data = &data;
        scope.spawn(move || {
            // The server stops to read it.
            let _ = sender.write_all(data);
        });
        wait_for(admin, "echoloop_deadlines_armed{class=\"stalled\"}", 1.0);
        daemon.signal(Signal::SIGTERM);
        eventually(PATIENCE, "the health is bad", || {
            let response = get(admin, "/healthz");
            response.status == 503 && response.body == "draining\n"
        });
        wait_for(admin, "echoloop_draining", 1.0);
        assert!((scrape(admin, "echoloop_connections_open") - 1.0).abs() < 1e-9);
        assert!(daemon.is_running());
        slow.shutdown(Shutdown::Both).unwrap();
        reset(slow);
    });
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

#[test]
fn connection_is_kept_for_1000_pipelined_requests() {
    let (daemon, admin) = start(&[]);
    let mut client = connect(admin);
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(999);
    let mut sender = client.try_clone().unwrap();
    let received = std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.write_all(&request).unwrap();
            sender.write_all(b"HEAD / HTTP/1.0\r\n\r\n").unwrap();
        });
        let mut echo = connect(daemon.address());
        for _ in 0..20 {
            assert_echo(&mut echo, b"meanwhile");
        }
        let mut received = String::new();
        client.read_to_string(&mut received).unwrap();
        received
    });
    assert_eq!(received.matches("HTTP/1.1 200 OK\r\n").count(), 1000);
    assert_eq!(received.matches("\r\n\r\nok\n").count(), 999);
    assert!(received.ends_with("Connection: close\r\n\r\n"));
}

#[test]
fn requests_before_a_half_close_are_answered() {
    let (_daemon, admin) = start(&[]);
    let mut client = connect(admin);
    client
        .write_all(&b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50))
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let received = read_to_fin(&mut client);
    let received = String::from_utf8(received).unwrap();
    assert_eq!(received.matches("HTTP/1.1 200 OK\r\n").count(), 50);
}

#[test]
fn admin_connections_are_not_counted_as_clients() {
    let (daemon, admin) = start(&["--max-connections", "1", "-v"]);
    let idle: Vec<_> = (0..5).map(|_| connect(admin)).collect();
    assert_echo(&mut connect(daemon.address()), b"admitted");
    wait_for(admin, "echoloop_connections_opened_total", 1.0);
    wait_for(admin, "echoloop_connections_open", 0.0);
    assert!((scrape(admin, "echoloop_connections_limit") - 1.0).abs() < 1e-9);
    drop(idle);
    let opened = daemon.lines();
    let opened = opened.iter().filter(|line| line.contains(" open 127."));
    assert_eq!(opened.count(), 1, "admin connections are not logged");
}

#[test]
fn seventeenth_client_is_refused_until_another_has_closed() {
    let (_daemon, admin) = start(&[]);
    // A connection with a response is established, in the sense of the server.
    let mut clients: Vec<_> = (0..16).map(|_| connect(admin)).collect();
    for client in &mut clients {
        client
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert!(client.read(&mut [0; 1000]).unwrap() > 0);
    }
    assert_refused(admin);
    clients.pop();
    eventually(PATIENCE, "a client is served again", || {
        super::try_get(admin, "/healthz").is_some_and(|response| response.status == 200)
    });
}

#[test]
fn errors_have_their_status_and_close_where_they_must() {
    let (_daemon, admin) = start(&[]);
    for (request, status) in [
        ("GET /none HTTP/1.0\r\n\r\n", "404 Not Found"),
        ("DELETE / HTTP/1.0\r\n\r\n", "405 Method Not Allowed"),
        (
            "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
            "405 Method Not Allowed",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "400 Bad Request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            "413 Content Too Large",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 Bad Request",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "505 HTTP Version Not Supported",
        ),
        ("\x16\x03\x01", "400 Bad Request"),
    ] {
        // The second request is never answered.
        let smuggled = request.to_owned() + "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        let received = converse(admin, smuggled.as_bytes());
        assert!(
            received.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request:?}: {received}"
        );
        assert_eq!(received.matches("HTTP/1.1 ").count(), 1, "{request:?}");
        let allows = received.contains("\r\nAllow: GET, HEAD\r\n");
        assert_eq!(allows, status.starts_with("405"), "{received}");
    }
    let page = get(admin, "http://a/");
    assert_eq!(page.status, 200, "absolute form");
}

#[test]
fn descriptors_of_admin_connections_are_reserved() {
    if !allow_fds(200) {
        return;
    }
    let limits: Vec<f64> = [0, 1]
        .into_iter()
        .map(|number| {
            let mut arguments = serve_arguments(&["127.0.0.1:0"], &["--admin", "127.0.0.1:0"]);
            if number == 0 {
                arguments.extend(["-l", "127.0.0.2:0"]);
            }
            let command = in_shell("ulimit -n 200; exec \"$0\" \"$@\"", &arguments);
            let daemon = Daemon::launch(command, 2 - number);
            scrape(super::admin_address(&daemon), "echoloop_connections_limit")
        })
        .collect();
    assert!(
        (limits[1] - (200.0 - 32.0 - 1.0 - 20.0)).abs() < 1e-9,
        "{limits:?}"
    );
    assert!((limits[1] - limits[0] - 1.0).abs() < 1e-9, "{limits:?}");
}
