//! Finding the server: names with several addresses, those that refuse, those that do not answer, and `--bind`.

use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::clients::{assert_printed, assert_says, failure_of, send};
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

/// A port on which nobody listens, kept from others while it lives.
fn refusing() -> (Socket, SocketAddr) {
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
fn where_nobody_listens_the_line_says_so_and_what_to_do() {
    let (_socket, address) = refusing();
    let line = failure_of(&send_to(&address.to_string(), &[]));
    let named = address.to_string();
    assert_says(&line, &[&*named, "Connection refused", "echoloop serve"]);
}

#[test]
fn a_server_that_resets_at_once_is_not_taken_for_an_address_to_which_no_way_leads() {
    let peer = Peer::start(reset);
    let mut command = echoloop();
    command.args(["send", &peer.address.to_string(), "--timeout", "10s"]);
    // Its reset comes before or after the connection is seen to stand.
    let line = failure_of(&run(command, &vec![b'x'; 1 << 20]));
    assert_says(&line, &["reset", "its log may say why"]);
    assert!(!line.contains("ip route"), "{line}");
}

#[test]
fn the_second_address_is_tried_when_the_first_refuses_and_nothing_is_lost() {
    if !have_ipv6() {
        return;
    }
    // `:PORT` stands for 127.0.0.1 and ::1, in this order.
    let (_socket, refusing) = refusing();
    let port = refusing.port();
    let peer = Peer::listening_on(&format!("[::1]:{port}"), echo);
    let target = format!(":{port}");
    assert_printed(&send_to(&target, &[]), b"hello");
    peer.found();
}

#[test]
fn when_all_addresses_fail_each_is_told_with_its_error() {
    let (_socket, address) = refusing();
    let port = address.port();
    let line = failure_of(&send_to(&format!(":{port}"), &[]));
    let first = format!("127.0.0.1:{port}: Connection refused, ");
    assert_says(&line, &[&*first, &format!("[::1]:{port}: ")]);
}

#[test]
fn only_addresses_of_the_family_asked_for_are_tried() {
    let (_socket, address) = refusing();
    let port = address.port();
    let line = failure_of(&send_to(&format!(":{port}"), &["-4"]));
    assert!(!line.contains("::1"), "{line}");
    let line = failure_of(&send_to(&format!(":{port}"), &["-6"]));
    assert!(!line.contains("127.0.0.1"), "{line}");
}

#[test]
fn a_connection_comes_from_the_address_that_was_asked_for() {
    let peer = Peer::start(|stream| {
        let from = stream.peer_addr().unwrap().ip();
        echo(stream);
        from.to_string()
    });
    let ended = send(peer.address, &["--bind", "127.0.0.9", "-m", "x"], b"");
    assert_printed(&ended, b"x");
    assert_eq!(peer.found(), "127.0.0.9");
}

#[test]
fn an_address_that_is_not_this_machines_cannot_be_connected_from() {
    let line = failure_of(&send_to("127.0.0.1:1", &["--bind", "192.0.2.1"]));
    assert_says(&line, &["127.0.0.1:1", "--bind"]);
}

#[test]
fn an_address_that_does_not_answer_is_given_up_after_its_time() {
    // A queue of one that is full: further connections are not answered (listen(2)).
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
    assert_says(
        &line,
        &[&*target, "no answer within 500ms", "--connect-timeout"],
    );
    drop(fillers);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let line = failure_of(&send_to("no-such-host.invalid:1", &[]));
    assert_says(&line, &["no-such-host.invalid:1", "does not resolve"]);
}

#[test]
fn the_default_is_port_8000_of_this_machine() {
    let help = echoloop()
        .args(["send", "--help"])
        .stdout(Stdio::piped())
        .output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    assert_says(&help, &["[default: 127.0.0.1:8000]"]);
}
