//! The example programs run as documented.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// Kills the example when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example program. Examples are built with the tests, next to the program.
fn example(name: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_echoloop"));
    Command::new(program.with_file_name("examples").join(name))
}

/// Starts an example server; returns its address too.
#[track_caller]
fn start(name: &str) -> (Running, String) {
    let mut child = example(name)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{name}: {error} (cargo test builds it, and so does cargo build --examples)")
        });
    let stdout = child.stdout.take().unwrap();
    let running = Running(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    (running, address.to_owned())
}

/// A client whose reads fail after ten seconds.
#[track_caller]
fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    BufReader::new(stream)
}

#[track_caller]
fn receive_line(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

/// The reply of an example server to a client that sends these pieces and half-closes.
#[track_caller]
fn reply_of(example: &str, pieces: &[&[u8]]) -> String {
    let (_running, address) = start(example);
    let mut client = connect(&address);
    for piece in pieces {
        client.get_mut().write_all(piece).unwrap();
    }
    client.get_mut().shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn shout_replies_in_capitals() {
    let reply = reply_of("shout", &[b"hello, ", b"World!\n"]);
    assert_eq!(reply, "HELLO, WORLD!\n");
}

#[test]
fn calculator_replies_to_each_line_until_quit() {
    let pieces: &[&[u8]] = &[
        b"6 *",
        b" 7\n1 - 2 - 3\r\n",
        b"1 / 0\nhello\n",
        b"quit\n1 + 1\n",
    ];
    let expected = "6 * 7 = 42\n\
        1 - 2 - 3 = -4\r\n\
        invalid expression\n\
        invalid expression\n\
        closing, 5 lines received\n";
    assert_eq!(reply_of("calculator", pieces), expected);
}

#[test]
fn stateful_framing_needs_a_handshake_before_requests() {
    let pieces: &[&[u8]] = &[b"\x05hel", b"lo\x09set a b c\x05get a\x05", b"get z"];
    let reply = reply_of("stateful_framing", pieces);
    assert_eq!(reply, "\x07welcome\x02ok\x03b c\0");
    assert_eq!(reply_of("stateful_framing", &[b"\x05get a"]), "");
}

#[test]
fn chat_sends_each_line_to_all_other_clients() {
    let (_running, address) = start("chat");
    let mut clients = Vec::new();
    let mut names = Vec::new();
    for _ in 0..3 {
        let client = connect(&address);
        names.push(client.get_ref().local_addr().unwrap());
        for other in &mut clients {
            let joined = format!("{}: joined\n", names[names.len() - 1]);
            assert_eq!(receive_line(other), joined);
        }
        clients.push(client);
    }
    clients[1].get_mut().write_all(b"one\nt").unwrap();
    clients[1].get_mut().write_all(b"wo\n").unwrap();
    for receiver in [0, 2] {
        for line in ["one", "two"] {
            let expected = format!("{}: {line}\n", names[1]);
            assert_eq!(receive_line(&mut clients[receiver]), expected);
        }
    }
    drop(clients.remove(0));
    for client in &mut clients {
        assert_eq!(receive_line(client), format!("{}: left\n", names[0]));
    }
}

#[test]
fn client_prints_the_reply_until_fin() {
    let (_running, address) = start("shout");
    let output = example("client")
        .args([&address, "hello"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"HELLO\n");
}

#[test]
fn client_reports_a_refused_connection() {
    // A port that is bound but not listening.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket
        .local_addr()
        .unwrap()
        .as_socket()
        .unwrap()
        .to_string();
    let output = example("client").arg(&address).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("ConnectionRefused"), "{error}");
}

#[test]
fn graceful_stop_drains_all_connections_and_exits() {
    let (mut running, address) = start("graceful_stop");
    let mut idle = connect(&address);
    let mut client = connect(&address);
    client.get_mut().write_all(b"hello\nstop\n").unwrap();
    assert_eq!(receive_line(&mut client), "hello\n");
    assert_eq!(receive_line(&mut client), "stopping\n");
    for client in [&mut client, &mut idle] {
        assert_eq!(receive_line(client), "", "FIN");
    }
    drop((client, idle));
    let status = running.0.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn timer_replies_when_the_last_number_has_passed() {
    let (_running, address) = start("timer");
    let mut client = connect(&address);
    let mut other = connect(&address);
    let start = Instant::now();
    other.get_mut().write_all(b"1\n").unwrap();
    client.get_mut().write_all(b"60000\n").unwrap();
    client.get_mut().write_all(b"50\n").unwrap();
    assert_eq!(receive_line(&mut other), "time is up\n");
    assert_eq!(receive_line(&mut client), "time is up\n");
    assert!(start.elapsed() >= Duration::from_millis(50));
}
