//! Other servers: Erlang with `{packet, 2}`, Python, socat.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::clients::{assert_printed, ping, send, text};
use crate::tools::have_tool;

/// A server process that prints its port on a line. It is killed when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    #[track_caller]
    fn start(program: &str, arguments: &[&str]) -> Server {
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("the server prints its port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Server { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Echoes each frame as a frame, one connection at a time.
const ERLANG: &str = r#"
{ok, Listener} = gen_tcp:listen(0, [binary, {packet, 2}, {active, false}, {ip, {127, 0, 0, 1}}]),
{ok, Port} = inet:port(Listener),
io:format("~w~n", [Port]),
Echo = fun Echo(Socket) ->
  case gen_tcp:recv(Socket, 0) of
    {ok, Frame} -> ok = gen_tcp:send(Socket, Frame), Echo(Socket);
    {error, closed} -> gen_tcp:close(Socket)
  end
end,
Accept = fun Accept() ->
  {ok, Socket} = gen_tcp:accept(Listener),
  Echo(Socket),
  Accept()
end,
Accept().
"#;

#[test]
fn erlang_with_packet_2_echoes_each_line_as_a_frame() {
    if !have_tool("erl") {
        return;
    }
    let server = Server::start(
        "erl",
        &["-noshell", "-boot", "start_clean", "-eval", ERLANG],
    );
    let frames = ["-p", "frame:2"];
    let ended = send(
        server.address,
        &[&frames[..], &["-m", "a", "-m", ""]].concat(),
        b"",
    );
    assert_printed(&ended, b"a\n\n");
    let longest = [vec![b'x'; 65_535], b"\n".to_vec()].concat();
    let lines = [b"one\n\nthree\n".repeat(2000), longest].concat();
    assert_printed(&send(server.address, &frames, &lines), &lines);
}

/// Echoes byte streams, one connection at a time, with blocking calls.
const PYTHON: &str = r"
import socket
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    try:
        while piece := peer.recv(65536):
            peer.sendall(piece)
    except ConnectionError:
        pass
    peer.close()
";

#[test]
fn python_echoes_send_and_ping() {
    if !have_tool("python3") {
        return;
    }
    let server = Server::start("python3", &["-c", PYTHON]);
    for length in [1, 10_000_000] {
        let data = text(0, length);
        assert_printed(&send(server.address, &[], &data), &data);
    }
    let pinged = ping(server.address, &["-c", "20", "-i", "5ms", "-s", "1000"]);
    assert_eq!(pinged.status.code(), Some(0));
}

#[test]
fn socat_echoes_through_a_pipe() {
    if !have_tool("socat") {
        return;
    }
    // socat logs its port.
    let mut command = Command::new("socat");
    command.args(["-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork", "PIPE"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let port = log.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, address) = line.split_once("listening on ")?;
        address.rsplit_once(':')?.1.trim().parse().ok()
    });
    let port: u16 = port.expect("socat logs its address");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let _server = Server { child, address };
    // socat would block on a full log.
    let _log = std::thread::spawn(move || log.for_each(drop));
    let data = text(0, 50_000);
    assert_printed(&send(address, &[], &data), &data);
}
