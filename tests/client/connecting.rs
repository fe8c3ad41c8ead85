//! Connecting: several addresses, refused and unanswered connections, and `--bind`.

use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::clients::{assert_contains, assert_printed, failure_of, send};
use crate::harness::echoloop;
use crate::peers::{Peer, echo, reset};
use crate::tools::{lacking, run};

fn send_to(target: &str, arguments: &[&str]) -> Output {
    let mut command = echoloop();
    command
        .args(["send", target, "-m", "hello"])
        .args(arguments);
    run(command, b"")
}

/// A port that is bound but not listening, so that it refuses connections.
pub(crate) fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

fn have_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok() || lacking("this machine has no IPv6 loopback address")
}

#[test]
fn refused_connection_names_the_address_and_a_remedy() {
    let (_socket, address) = refusing();
    let line = failure_of(&send_to(&address.to_string(), &[]));
    let named = address.to_string();
    assert_contains(&line, &[&*named, "Connection refused", "echoloop serve"]);
}

#[test]
fn immediate_reset_is_reported_as_a_reset() {
    let peer = Peer::start(reset);
    let mut command = echoloop();
    command.args(["send", &peer.address.to_string(), "--timeout", "10s"]);
    // The reset arrives before or after the connection is seen as established.
    let line = failure_of(&run(command, &vec![b'x'; 1 << 20]));
    assert_contains(&line, &["reset", "see its log"]);
    assert!(!line.contains("ip route"), "{line}");
}

#[test]
fn refused_first_address_falls_back_to_the_second() {
    if !have_ipv6() {
        return;
    }
    // `:PORT` means 127.0.0.1, then ::1.
    let (_socket, refusing) = refusing();
    let port = refusing.port();
    let peer = Peer::listening_on(&format!("[::1]:{port}"), echo);
    let target = format!(":{port}");
    assert_printed(&send_to(&target, &[]), b"hello");
    peer.join();
}

#[test]
fn failure_of_all_addresses_lists_each_with_its_error() {
    let (_socket, address) = refusing();
    let port = address.port();
    let line = failure_of(&send_to(&format!(":{port}"), &[]));
    let first = format!("127.0.0.1:{port}: Connection refused, ");
    assert_contains(&line, &[&*first, &format!("[::1]:{port}: ")]);
}

#[test]
fn flags_4_and_6_restrict_the_addresses_tried() {
    let (_socket, address) = refusing();
    let port = address.port();
    let line = failure_of(&send_to(&format!(":{port}"), &["-4"]));
    assert!(!line.contains("::1"), "{line}");
    let line = failure_of(&send_to(&format!(":{port}"), &["-6"]));
    assert!(!line.contains("127.0.0.1"), "{line}");
}

#[test]
fn bind_sets_the_local_address() {
    let peer = Peer::start(|stream| {
        let from = stream.peer_addr().unwrap().ip();
        echo(stream);
        from.to_string()
    });
    let ended = send(peer.address, &["--bind", "127.0.0.9", "-m", "x"], b"");
    assert_printed(&ended, b"x");
    assert_eq!(peer.join(), "127.0.0.9");
}

#[test]
fn bind_to_a_foreign_address_fails() {
    let line = failure_of(&send_to("127.0.0.1:1", &["--bind", "192.0.2.1"]));
    assert_contains(&line, &["127.0.0.1:1", "--bind"]);
}

#[test]
fn unanswered_connect_fails_after_connect_timeout() {
    // While the accept queue of one is full, further connections are not answered (listen(2)).
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap();
    let fillers: Vec<Socket> = (0..3)
        .map(|_| {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            filler.set_nonblocking(true).unwrap();
            let _ = filler.connect(&address);
            filler
        })
        .collect();
    let started = Instant::now();
    let target = address.as_socket().unwrap().to_string();
    let line = failure_of(&send_to(&target, &["--connect-timeout", "500ms"]));
    assert!(started.elapsed() >= Duration::from_millis(500));
    assert_contains(
        &line,
        &[&*target, "no answer within 500ms", "--connect-timeout"],
    );
    drop(fillers);
}

#[test]
fn unresolved_name_is_named() {
    let line = failure_of(&send_to("no-such-host.invalid:1", &[]));
    assert_contains(&line, &["no-such-host.invalid:1", "does not resolve"]);
}

#[test]
fn default_target_is_localhost_port_8000() {
    let help = echoloop()
        .args(["send", "--help"])
        .stdout(Stdio::piped())
        .output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    assert_contains(&help, &["[default: 127.0.0.1:8000]"]);
}
