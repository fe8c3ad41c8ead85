//! Headers on real connections, whole, in pieces, missing and invalid.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::Command;

use super::{LOCAL, binary, connect_from, line, serve};
use crate::client::{assert_echo, assert_reads, assert_reset, connect, read_to_fin};
use crate::collecting::collector;
use crate::harness::{PATIENCE, echoloop};
use crate::tools::{have_tool, run};

#[test]
fn client_of_the_header_is_logged_and_served() {
    let daemon = serve(&[]);
    for (serial, client) in (1..).zip(["192.0.2.1:5555", "[2001:db8::1]:5555"]) {
        for (version, header) in [line(client), binary(client)].into_iter().enumerate() {
            let mut stream = connect(daemon.address());
            stream.write_all(&header).unwrap();
            assert_echo(&mut stream, b"hello");
            let serial = 2 * serial - 1 + version;
            let proxy = stream.local_addr().unwrap();
            assert_eq!(daemon.serial_of(proxy), u64::try_from(serial).unwrap());
            let expected = format!("#{serial} is {client} behind the proxy {proxy}");
            daemon.wait_for_line(&expected, |line| line.ends_with(&expected));
        }
    }
}

#[test]
fn data_in_the_segment_of_the_header_is_answered() {
    let daemon = serve(&["-p", "line", "--prefix", "> "]);
    for header in [
        line("192.0.2.1:5555"),
        binary("192.0.2.1:5555"),
        LOCAL.to_vec(),
    ] {
        let mut stream = connect(daemon.address());
        stream
            .write_all(&[&header[..], b"one\ntwo\nthr"].concat())
            .unwrap();
        assert_reads(&mut stream, b"> one\n> two\n");
        stream.write_all(b"ee\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_fin(&mut stream), b"> three\n");
    }
}

#[test]
fn header_byte_by_byte_is_read() {
    let daemon = serve(&[]);
    for header in [line("192.0.2.1:5555"), binary("[2001:db8::1]:5555")] {
        let mut stream = connect(daemon.address());
        for byte in &header {
            stream.write_all(&[*byte]).unwrap();
        }
        assert_echo(&mut stream, b"hello");
    }
    daemon.wait_for_line("the last client", |line| {
        line.contains("is [2001:db8::1]:5555 behind the proxy")
    });
}

#[test]
fn half_close_after_the_header_is_answered_with_fin() {
    let daemon = serve(&[]);
    for data in [&b""[..], b"hello"] {
        let mut stream = connect(daemon.address());
        let input = [&binary("192.0.2.1:5555")[..], data].concat();
        stream.write_all(&input).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_fin(&mut stream), data);
    }
    // The counts include the header, which has 28 bytes.
    assert_eq!(daemon.close_summary(1), "peer closed, 28 bytes in, 0 out");
    assert_eq!(daemon.close_summary(2), "peer closed, 33 bytes in, 5 out");
}

#[test]
fn own_connections_of_the_proxy_are_served() {
    let daemon = serve(&[]);
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut stream = connect(daemon.address());
        stream.write_all(header).unwrap();
        assert_echo(&mut stream, b"hello");
        let proxy = stream.local_addr().unwrap();
        let expected = format!("is of the proxy {proxy} itself");
        daemon.wait_for_line(&expected, |line| line.ends_with(&expected));
    }
}

#[test]
fn invalid_header_closes_the_connection_as_malformed() {
    let daemon = serve(&[]);
    let too_long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF"[..], &[0; 100]].concat();
    for (serial, (input, cause)) in (1..).zip([
        (
            &b"hello, no header\n"[..],
            "the input does not begin with it",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 1\r\nhello",
            "invalid line",
        ),
        (
            &too_long,
            "longer than 107 bytes (version 1) or 4096 bytes (version 2)",
        ),
    ]) {
        let mut stream = connect(daemon.address());
        stream.write_all(input).unwrap();
        let mut reply = Vec::new();
        match stream.read_to_end(&mut reply) {
            Ok(_) => {}
            // Input was left unread.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert_eq!(reply, b"");
        drop(stream);
        let closed = daemon.close_summary(serial);
        assert!(closed.starts_with("malformed, "), "{closed}");
        let expected = format!("#{serial} PROXY header: {cause}");
        daemon.wait_for_line(&expected, |line| line.ends_with(&expected));
    }
}

#[test]
fn missing_and_incomplete_headers_are_closed_at_the_timeout() {
    let daemon = serve(&["--idle-timeout", "1h"]);
    let mut silent = connect(daemon.address());
    let mut slow = connect(daemon.address());
    slow.write_all(b"PROXY TCP4 192.0.2.1 ").unwrap();
    for (serial, stream) in (1..).zip([&mut silent, &mut slow]) {
        assert_eq!(read_to_fin(stream), b"");
        let closed = daemon.close_summary(serial);
        assert!(closed.starts_with("handshake timeout, "), "{closed}");
    }
}

#[test]
fn fin_before_the_header_is_a_checked_port_and_within_it_is_malformed() {
    let daemon = serve(&[]);
    for (serial, (part, reason)) in
        (1..).zip([(&b""[..], "peer closed, "), (b"PROX", "malformed, ")])
    {
        let mut stream = connect(daemon.address());
        stream.write_all(part).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_fin(&mut stream), b"");
        let closed = daemon.close_summary(serial);
        assert!(closed.starts_with(reason), "{closed}");
    }
}

#[test]
fn forged_header_from_another_address_is_reset_and_counted() {
    let mut daemon = serve(&[]);
    // The server may reset it before the header is sent.
    let forged = connect_from([127, 0, 5, 1], daemon.address());
    let read = forged.and_then(|mut forged| {
        forged.write_all(&line("192.0.2.1:5555"))?;
        forged.read(&mut [0])
    });
    let error = read.expect_err("a reset");
    let is_reset = matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    );
    assert!(is_reset, "{error}");
    let refused = "its address is not that of a proxy; see --proxy-from";
    daemon.wait_for_line(refused, |line| {
        line.contains("refused 127.0.5.1:") && line.ends_with(refused)
    });
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.wait_exit(PATIENCE);
    daemon.wait_for_line("the counts", |line| {
        line.contains("0 connections served, 1 refused")
    });
}

#[test]
fn record_of_a_client_has_no_header_and_is_logged_with_its_address() {
    let (daemon, mut output) = collector(&super::FLAGS[1..]);
    let mut stream = connect(daemon.address());
    stream
        .write_all(&[&line("192.0.2.1:5555")[..], b"record"].concat())
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_fin(&mut stream), b"");
    let mut record = [0; 6];
    output.read_exact(&mut record).unwrap();
    assert_eq!(&record, b"record");
    daemon.wait_for_line("the record", |line| {
        line.ends_with("#1 collected 6 bytes from 192.0.2.1:5555")
    });
    // FIN without a header is not an empty record.
    let stream = connect(daemon.address());
    stream.shutdown(Shutdown::Write).unwrap();
    assert_reset(stream);
}

/// Headers as another implementation writes them.
const PYTHON: &str = r"
import ipaddress, socket, struct, sys
port = int(sys.argv[1])
def header(version, client, server, client_port, server_port):
    source, target = ipaddress.ip_address(client), ipaddress.ip_address(server)
    if version == 1:
        words = ('PROXY', f'TCP{source.version}', source, target, client_port, server_port)
        return (' '.join(map(str, words)) + '\r\n').encode()
    body = source.packed + target.packed + struct.pack('!HH', client_port, server_port)
    body += struct.pack('!BH', 2, 9) + b'localhost'
    family = {4: 0x11, 6: 0x21}[source.version]
    return b'\r\n\r\n\0\r\nQUIT\n' + struct.pack('!BBH', 0x21, family, len(body)) + body
for version in 1, 2:
    for client, server in ('203.0.113.9', '198.51.100.1'), ('2001:db8::9', '2001:db8::1'):
        peer = socket.create_connection(('127.0.0.1', port), timeout=15)
        peer.sendall(header(version, client, server, 4242, 8000) + b'hello')
        peer.shutdown(socket.SHUT_WR)
        print(peer.makefile().read())
";

#[test]
fn headers_of_python_are_read() {
    if !have_tool("python3") {
        return;
    }
    let daemon = serve(&[]);
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON, &daemon.address().port().to_string()]);
    let output = run(python, b"");
    let error = output.stderr.escape_ascii().to_string();
    assert_eq!(output.stdout, b"hello\n".repeat(4), "{error}");
    for client in ["203.0.113.9:4242", "[2001:db8::9]:4242"] {
        let expected = format!(" is {client} behind the proxy ");
        let lines = daemon.lines().into_iter();
        assert_eq!(lines.filter(|line| line.contains(&expected)).count(), 2);
    }
}

#[test]
fn flags_need_each_other_and_valid_networks() {
    for (arguments, message) in [
        (&["--proxy-protocol"][..], "add --proxy-from CIDR"),
        (&["--proxy-from", "10.0.0.1"], "needs --proxy-protocol"),
        (
            &["--proxy-protocol", "--proxy-from", "10.0.0.0/33"],
            "such as 10.0.0.0/8",
        ),
    ] {
        let output = echoloop().arg("serve").args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}
