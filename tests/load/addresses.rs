//! The addresses that a load connects to and from: names with several addresses, `-4`, `-6` and `--bind`.

use crate::ports::unused_port;
use crate::run::{load, result};
use crate::tools::lacking;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// An echo server; returns its address, and the address of each client.
fn serve(listen: &str) -> (SocketAddr, Receiver<IpAddr>) {
    let listener = TcpListener::bind(listen).unwrap();
    let address = listener.local_addr().unwrap();
    let (peers, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let _ = peers.send(stream.peer_addr().unwrap().ip());
            thread::spawn(move || echo(stream));
        }
    });
    (address, received)
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer)
        && count > 0
        && stream.write_all(&buffer[..count]).is_ok()
    {}
}

/// A port of 127.0.0.1 that is bound but not listening, so that it refuses connections.
fn refusing() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Nothing listens on this port of another address either.
    let port = unused_port("127.0.0.1");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    socket.bind(&address.into()).unwrap();
    (socket, port)
}

const SHORT: [&str; 6] = ["--active", "3", "--duration", "100ms", "--warmup", "0"];

#[test]
fn refused_first_address_loads_the_second() {
    if TcpListener::bind("[::1]:0").is_err() {
        lacking("this machine has no IPv6 loopback address");
        return;
    }
    // `:PORT` means 127.0.0.1, then ::1.
    let (_socket, port) = refusing();
    let (address, _) = serve(&format!("[::1]:{port}"));
    let result = result(&[&[format!(":{port}").as_str()], &SHORT[..]].concat());
    assert_eq!(result.target, address.to_string());
    assert_eq!(result.connections.opened, 3, "{result:#?}");
    assert!(result.echo.received > 0, "{result:#?}");
}

#[test]
fn unanswered_first_address_loads_the_second_after_its_timeout() {
    if TcpListener::bind("[::1]:0").is_err() {
        lacking("this machine has no IPv6 loopback address");
        return;
    }
    // While the accept queue of one is full, further connections are not answered (listen(2)).
    let (socket, port) = refusing();
    socket.listen(0).unwrap();
    let unanswered = socket.local_addr().unwrap();
    let fillers = [(); 3].map(|()| {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&unanswered);
        filler
    });
    let (address, _) = serve(&format!("[::1]:{port}"));
    let target = format!(":{port}");
    let result = result(&[&[&*target, "--connect-timeout", "500ms"], &SHORT[..]].concat());
    assert_eq!(result.target, address.to_string());
    assert_eq!(result.connections.opened, 3, "{result:#?}");
    drop(fillers);
}

#[test]
fn failure_of_all_addresses_lists_each_with_its_error() {
    let (_socket, port) = refusing();
    let failed = load(&[&format!(":{port}"), "-o", "json"]);
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    assert_eq!(failed.stdout, "");
    for part in [
        &*format!("cannot connect to :{port}"),
        &*format!("127.0.0.1:{port}: Connection refused, "),
        &*format!("[::1]:{port}: "),
    ] {
        assert!(failed.stderr.contains(part), "{failed:#?}");
    }
}

#[test]
fn flag_4_tries_the_ipv4_address_only() {
    let (address, _) = serve("127.0.0.1:0");
    let target = format!(":{}", address.port());
    let result = result(&[&[&*target, "-4"], &SHORT[..]].concat());
    assert_eq!(result.target, address.to_string());
    assert_eq!(result.connections.opened, 3);
}

#[test]
fn bind_sets_the_local_address_of_every_connection() {
    let (address, peers) = serve("127.0.0.1:0");
    let target = address.to_string();
    let result = result(&[&[&*target, "--bind", "127.0.0.9"], &SHORT[..]].concat());
    let expected: IpAddr = "127.0.0.9".parse().unwrap();
    assert_eq!(peers.try_iter().collect::<Vec<_>>(), [expected; 3]);
    assert_eq!(result.connections.opened, 3);
}

#[test]
fn conflicting_address_flags_exit_with_2() {
    for (arguments, part) in [
        (&["[::1]:1", "-4"][..], "-4"),
        (&["-6"], "-6"),
        (&["127.0.0.1:1", "--bind", "::1"], "--bind"),
        (&["localhost:1", "-4", "--bind", "::1"], "--bind ::1"),
        (&["localhost:1", "-4", "-6"], "-6"),
        (&[":1", "--bind", "127.0.0.2:99"], "leave the port out"),
        (
            &[":1", "--bind", "127.0.0.2", "--sources", "127.0.0.0/8"],
            "--sources",
        ),
        (&["localhost:0"], "port 0"),
    ] {
        let failed = load(arguments);
        assert_eq!(failed.code, Some(2), "{arguments:?}: {failed:#?}");
        assert!(failed.stderr.contains(part), "{arguments:?}: {failed:#?}");
    }
}
