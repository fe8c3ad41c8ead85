//! socat, Erlang's `ssl`, and clients without TLS.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use super::{port, serve};
use crate::client::{Random, connect, read_to_fin};
use crate::foreign::{assert_client_received, command};
use crate::tools::{have_tool, lacking, run, run_within};

#[test]
fn socat_receives_its_input_and_exits() {
    if !have_tool("socat") {
        return;
    }
    let (authority, daemon) = serve(&[]);
    let ca = authority.text("ca.pem");
    let target = format!("OPENSSL:localhost:{},cafile={ca},pf=ip4", port(&daemon));
    for length in [1, 300_000] {
        let data = Random(7).bytes(length);
        // At the end of its input socat sends close_notify and reads on.
        let socat = run(command("socat", &["-t", "15", "-", &target]), &data);
        assert_client_received(&socat, &data);
    }
    assert!(daemon.close_summary(2).starts_with("peer closed, 30"));
}

#[test]
fn erlang_with_packet_2_receives_every_frame() {
    if !have_tool("escript") {
        return;
    }
    let has_ssl = command(
        "erl",
        &[
            "-noshell",
            "-eval",
            "case code:lib_dir(ssl) of {error, _} -> halt(1); _ -> halt(0) end.",
        ],
    );
    if !run_within(Duration::from_secs(60), has_ssl, b"")
        .status
        .success()
    {
        lacking("Erlang has no application ssl (package erlang-ssl)");
        return;
    }
    let (authority, daemon) = serve(&["-p", "frame:2"]);
    let script = super::file("frames.escript");
    for version in ["tlsv1.2", "tlsv1.3"] {
        let mut erlang = Command::new("escript");
        erlang.arg(&script);
        erlang.args([&port(&daemon), &authority.text("ca.pem"), version, "10"]);
        let erlang = run_within(Duration::from_secs(120), erlang, b"");
        assert_client_received(&erlang, b"2050 messages received\n");
    }
}

#[test]
fn client_without_tls_is_malformed_and_logged() {
    let (_authority, daemon) = serve(&[]);
    let mut number = 0;
    for (text, shown) in [
        ("hello\n", "68 65 6c 6c (a connection without TLS?)"),
        ("GET / HTTP/1.1\r\n\r\n", "47 45 54 20 (plain HTTP)"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "53 53 48 2d (SSH)"),
    ] {
        if !have_tool("nc") {
            return;
        }
        number += 1;
        run(
            command("nc", &["-N", "127.0.0.1", &port(&daemon)]),
            text.as_bytes(),
        );
        daemon.wait_for_line("why", |line| {
            line.contains(&format!(
                "#{number} TLS: the client's first bytes are no TLS record: {shown}"
            ))
        });
        let closed = daemon.close_summary(number);
        assert!(closed.starts_with("malformed, "), "{closed}");
    }
}

/// As a load balancer checks a port.
#[test]
fn connection_without_a_byte_is_not_an_error() {
    let (_authority, daemon) = serve(&[]);
    let stream = connect(daemon.address());
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut stream = stream;
    assert_eq!(read_to_fin(&mut stream), b"");
    assert_eq!(daemon.close_summary(1), "peer closed, 0 bytes in, 0 out");
}

/// An alert follows, then FIN; not RST, which could destroy the alert.
#[test]
fn alert_for_invalid_input_arrives() {
    let (_authority, daemon) = serve(&[]);
    let mut stream = connect(daemon.address());
    stream.write_all(&vec![b'x'; 100_000]).unwrap();
    let received = read_to_fin(&mut stream);
    assert!(
        matches!(received[..], [21, 3, _, 0, 2, 2, _]),
        "{received:?}"
    );
}
