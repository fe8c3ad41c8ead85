//! TLS after a PROXY header: `HAProxy` in TCP mode passes the client's TLS through.

use std::io::Write;
use std::net::Shutdown;
use std::process::Command;

use super::{Authority, port};
use crate::client::{Random, connect, read_to_fin};
use crate::harness::Daemon;
use crate::proxy::{FLAGS, Haproxy, server_line};
use crate::tools::{have_tool, run};

fn serve(authority: &Authority) -> Daemon {
    authority.serve(&FLAGS[1..])
}

/// Sends its input over TLS to the port, and prints the reply, which it reads while it sends. One thread does both:
/// `ssl` of Python before 3.13 does not protect a connection from two threads.
const PYTHON: &str = r"
import select, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[3])
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=15)
if len(sys.argv) > 4:
    peer.sendall(sys.argv[4].encode() + b'\r\n')
print(peer.getsockname()[1], flush=True, file=sys.stderr)
peer = context.wrap_socket(peer, server_hostname='localhost')
peer.setblocking(False)
unsent = memoryview(sys.stdin.buffer.read())
left = len(unsent)
while left:
    writable = []
    try:
        while unsent:
            unsent = unsent[peer.send(unsent):]
    except ssl.SSLWantWriteError:
        writable = [peer]
    try:
        while left:
            piece = peer.recv(65536)
            if not piece:
                sys.exit(f'close_notify with {left} bytes missing')
            sys.stdout.buffer.write(piece)
            left -= len(piece)
    except ssl.SSLWantReadError:
        if not any(select.select([peer], writable, [], 15)):
            sys.exit(f'no reply for 15 s with {left} bytes missing')
peer.settimeout(15)
peer.unwrap()
";

fn python(authority: &Authority, host: &str, port: &str, header: Option<&str>) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON, host, port, &authority.text("ca.pem")]);
    command.args(header);
    command
}

#[test]
fn header_precedes_the_client_hello() {
    if !have_tool("python3") {
        return;
    }
    let authority = Authority::new();
    let daemon = serve(&authority);
    let data = Random(5).bytes(200_000);
    for header in [
        "PROXY TCP4 192.0.2.1 198.51.100.7 5555 8000",
        "PROXY UNKNOWN",
    ] {
        let command = python(&authority, "127.0.0.1", &port(&daemon), Some(header));
        let output = run(command, &data);
        let error = output.stderr.escape_ascii().to_string();
        assert!(output.status.success() && output.stdout == data, "{error}");
    }
    daemon.wait_for_line("the client", |line| {
        line.contains(" is 192.0.2.1:5555 behind the proxy ")
    });
}

#[test]
fn client_hello_without_header_is_malformed() {
    if !have_tool("python3") {
        return;
    }
    let authority = Authority::new();
    let daemon = serve(&authority);
    let output = run(python(&authority, "127.0.0.1", &port(&daemon), None), b"x");
    assert!(!output.status.success());
    assert!(daemon.close_summary(1).starts_with("malformed, "));
}

/// One deadline for the header and the handshake.
#[test]
fn silent_client_after_the_header_is_closed_at_the_handshake_timeout() {
    let authority = Authority::new();
    let flags = [&FLAGS[1..], &["--tls-handshake-timeout", "1s"]].concat();
    let daemon = authority.serve(&flags);
    let mut silent = connect(daemon.address());
    let mut after_header = connect(daemon.address());
    after_header.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    for (serial, stream) in (1..).zip([&mut silent, &mut after_header]) {
        assert_eq!(read_to_fin(stream), b"");
        assert!(
            daemon
                .close_summary(serial)
                .starts_with("handshake timeout, ")
        );
    }
    let mut checked = connect(daemon.address());
    checked.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    checked.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut checked), b"");
    assert!(daemon.close_summary(3).starts_with("peer closed, "));
}

#[test]
fn haproxy_passes_tls_through_after_its_header() {
    if !have_tool("python3") {
        return;
    }
    for options in [
        "send-proxy",
        "send-proxy-v2 check inter 100ms check-send-proxy",
    ] {
        let authority = Authority::new();
        let daemon = serve(&authority);
        let Some(haproxy) = Haproxy::start(&[server_line("a", &daemon, options)]) else {
            return;
        };
        let (host, port) = (haproxy.address().ip(), haproxy.address().port());
        let data = Random(5).bytes(200_000);
        let command = python(&authority, &host.to_string(), &port.to_string(), None);
        let output = run(command, &data);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout == data, "{error}");
        let client = format!(" is 127.0.0.1:{} behind the proxy ", error.trim());
        daemon.wait_for_line(&client, |line| line.contains(&client));
    }
}
