//! Two servers behind `HAProxy` in TCP mode: it reports clients with `send-proxy-v2` on the echo port, and checks
//! `/healthz` on the admin port.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;

use nix::sys::signal::Signal;

use super::haproxy::{Haproxy, server_line};
use super::rolling::{CLIENTS, Load, has_served};
use super::{FLAGS, LOCAL};
use crate::admin::{admin_address, get, value};
use crate::client::{assert_echo, connect, connect_with_buffers, read_to_fin};
use crate::harness::{Daemon, PATIENCE, eventually};

/// Connections that stay open for the whole test.
const HELD: usize = 8;

/// Less than the receive buffer of the server.
const PIECE: [u8; 4096] = [b'x'; 4096];

fn start(address: &str, admin: &str) -> Daemon {
    let flags = ["--admin", admin, "--socket-buffer", "16KiB"];
    let drain = ["--drain-timeout", "1h"];
    Daemon::listening_on(&[address], &[&FLAGS[..], &flags, &drain].concat())
}

/// A server of the backend, with its health on another port than its clients.
fn checked_line(name: &str, daemon: &Daemon) -> String {
    let port = admin_address(daemon).port();
    let options = format!("send-proxy-v2 check port {port} inter 100ms fall 1 rise 1");
    server_line(name, daemon, &options)
}

/// A slow reader, for which the server has pending output, and the bytes that it has sent. It connects without `HAProxy`,
/// which would buffer the output.
fn slow_reader(daemon: &Daemon) -> (TcpStream, usize) {
    let mut stream = connect_with_buffers(daemon.address(), PIECE.len());
    stream.write_all(LOCAL).unwrap();
    let mut sent = 0;
    let mut is_pending = false;
    while !is_pending {
        stream.write_all(&PIECE).unwrap();
        sent += PIECE.len();
        eventually(PATIENCE, "the bytes are received or pending", || {
            let metrics = get(admin_address(daemon), "/metrics").body;
            let received = value(&metrics, "echoloop_received_bytes_total");
            is_pending = value(&metrics, "echoloop_deadlines_armed{class=\"stalled\"}") > 0.0;
            is_pending || received >= f64::from(u32::try_from(LOCAL.len() + sent).unwrap())
        });
    }
    (stream, sent)
}

/// Waits until a check has had this response, of which the status follows.
#[track_caller]
fn wait_for_health(haproxy: &Haproxy, server: &str, code: &str, status: &str) {
    eventually(PATIENCE, &format!("{server} has {code}"), || {
        haproxy.stat(server, "check_code") == code
    });
    haproxy.wait_for_status(server, status);
}

/// Connections through `HAProxy` after one echo: those of the server `a`, and those of `b`.
fn hold(haproxy: &Haproxy, a: &Daemon, b: &Daemon) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let clients = (0..HELD).map(|_| {
        let mut client = connect(haproxy.address());
        assert_echo(&mut client, b"held");
        client
    });
    clients.partition(|client| {
        let client = client.local_addr().unwrap();
        let mut is_of_a = false;
        eventually(PATIENCE, "a server logs the client", || {
            is_of_a = has_served(a, client);
            is_of_a || has_served(b, client)
        });
        is_of_a
    })
}

#[test]
fn health_check_sees_a_drain_that_loses_no_byte() {
    let (mut a, b) = (
        start("127.0.0.1:0", "127.0.0.1:0"),
        start("127.0.0.1:0", "127.0.0.1:0"),
    );
    let (mut slow, sent) = slow_reader(&a);
    let backend = [
        "balance roundrobin".to_owned(),
        "option httpchk GET /healthz".to_owned(),
        checked_line("a", &a),
        checked_line("b", &b),
    ];
    let Some(haproxy) = Haproxy::start(&backend) else {
        return;
    };
    for server in ["a", "b"] {
        wait_for_health(&haproxy, server, "200", "UP");
    }
    let (held_by_a, mut held_by_b) = hold(&haproxy, &a, &b);
    assert_eq!((held_by_a.len(), held_by_b.len()), (HELD / 2, HELD / 2));
    let load = Load::default();
    let (failed, restarted) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| load.run(haproxy.address())))
            .collect();
        load.wait_for_echoes(1000);
        a.signal(Signal::SIGTERM);
        wait_for_health(&haproxy, "a", "503", "DOWN");
        load.wait_for_echoes(1000);
        assert!(a.is_running(), "the slow reader has not read its output");
        for mut client in held_by_a {
            assert_eq!(read_to_fin(&mut client), b"", "FIN, not a reset");
        }
        slow.shutdown(Shutdown::Write).unwrap();
        let mut echo = Vec::new();
        slow.read_to_end(&mut echo).unwrap();
        assert_eq!(echo.len(), sent, "all that was sent is echoed");
        assert_eq!(a.wait_exit(PATIENCE), Some(0));
        let admin = admin_address(&a).to_string();
        let restarted = start(&a.address().to_string(), &admin);
        wait_for_health(&haproxy, "a", "200", "UP");
        load.wait_for_echoes(1000);
        load.is_over.store(true, Ordering::Relaxed);
        let failed = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        (failed.collect::<Vec<_>>(), restarted)
    });
    for client in &mut held_by_b {
        assert_echo(client, b"still held");
    }
    for client in failed {
        // Its message has crossed the FIN of the server.
        assert!(
            has_served(&a, client),
            "{client} was on a server that serves"
        );
    }
    restarted.wait_for_line("a client of the restarted server", |line| {
        line.contains(" behind the proxy ")
    });
    for daemon in [&a, &b, &restarted] {
        let lines = daemon.lines();
        let wrong = lines.iter().find(|line| line.contains("PROXY header: "));
        assert_eq!(wrong, None, "a check is not sent to the echo port");
    }
}
