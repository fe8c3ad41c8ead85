//! `send` and `ping` over TLS: against the server, OpenSSL and python.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::certificates::{Certificates, PYTHON_TLS, words};
use crate::clients::{assert_contains, assert_printed, failure_of, ping, send, text};
use crate::harness::Daemon;
use crate::peers::{Peer, echo, hang, write_then_read};
use crate::python::Python;
use crate::tools::have_tool;

fn daemon(files: &Certificates, more: &[&str]) -> Daemon {
    Daemon::start(&words(&files.serve(more)))
}

fn python(files: &Certificates, what: &str) -> Option<Python> {
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    have_tool("python3").then(|| Python::start(PYTHON_TLS, &[&certificate, &key, what]))
}

#[test]
fn send_echoes_a_file_over_tls() {
    let files = Certificates::new();
    let daemon = daemon(&files, &[]);
    let input = text(0, 3_000_000);
    let ca = files.path("ca.pem");
    let ended = send(daemon.address(), &["--tls", "--ca", &ca], &input);
    assert_printed(&ended, &input);
    let ended = send(daemon.address(), &["--tls", "--ca", &ca], b"");
    assert_printed(&ended, b"");
}

#[test]
fn send_frames_lines_and_messages_over_tls() {
    let files = Certificates::new();
    let ca = files.path("ca.pem");
    let framed = daemon(&files, &["-p", "frame:2"]);
    let flags = ["--tls", "--ca", &ca, "-p", "frame:2", "-m", "a", "-m", "bc"];
    assert_printed(&send(framed.address(), &flags, b""), b"a\nbc\n");
    let lines = daemon(&files, &["-p", "line"]);
    let flags = ["--tls", "--ca", &ca, "-p", "line"];
    assert_printed(
        &send(lines.address(), &flags, b"one\ntwo"),
        b"ECHO one\nECHO two\n",
    );
}

#[test]
fn ping_shows_the_time_of_the_handshake() {
    let files = Certificates::new();
    let daemon = daemon(&files, &[]);
    let ca = files.path("ca.pem");
    let flags = ["--tls", "--ca", &ca, "-c", "3", "-i", "10ms"];
    let ended = ping(daemon.address(), &flags);
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_contains(&shown, &["3 sent, 3 received", "TLS handshake = ", "seq=3"]);
    let ended = ping(daemon.address(), &[&flags[..], &["-o", "json"]].concat());
    let document: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(
        document["handshake_us"].as_f64().unwrap() > 0.0,
        "{document}"
    );
    assert_eq!(document["received"], 3);
}

#[test]
fn unverified_server_is_an_error_with_remedies() {
    let files = Certificates::new();
    let daemon = daemon(&files, &[]);
    let (ca, other) = (files.path("ca.pem"), files.path("other-ca.pem"));
    let issuer = "is signed by no trusted authority";
    for (flags, reason) in [
        (&["--ca", &other][..], issuer),
        (
            &["--ca", &ca, "--sni", "wrong.test"],
            "is not valid for wrong.test",
        ),
    ] {
        let flags = [&["--tls"], flags].concat();
        let remedies = ["--ca F", "--sni NAME", "--insecure", "cannot connect to"];
        for ended in [
            send(daemon.address(), &flags, b"x"),
            ping(daemon.address(), &flags),
        ] {
            let line = failure_of(&ended);
            assert_contains(&line, &remedies);
            assert_contains(&line, &[reason]);
        }
    }
    // The authorities of the system, if there are any.
    let line = failure_of(&send(daemon.address(), &["--tls"], b"x"));
    assert_contains(&line, &["--ca F"]);
}

#[test]
fn other_name_or_no_verification_is_accepted() {
    let files = Certificates::new();
    let daemon = daemon(&files, &[]);
    let ca = files.path("ca.pem");
    let named = ["--tls", "--ca", &ca, "--sni", "server.test"];
    assert_printed(&send(daemon.address(), &named, b"x"), b"x");
    let unverified = ["--tls", "--insecure"];
    assert_printed(&send(daemon.address(), &unverified, b"x"), b"x");
    let unverified = ["--tls", "--insecure", "--sni", "wrong.test"];
    assert_printed(&send(daemon.address(), &unverified, b"x"), b"x");
}

#[test]
fn client_certificate_is_sent_if_required() {
    let files = Certificates::new();
    let ca = files.path("ca.pem");
    let daemon = daemon(&files, &["--tls-client-ca", &ca]);
    let (cert, key) = (files.path("client.pem"), files.path("client.key"));
    let with = ["--tls", "--ca", &ca, "--cert", &cert, "--key", &key];
    assert_printed(&send(daemon.address(), &with, b"x"), b"x");
    let line = failure_of(&send(daemon.address(), &with[..3], b"x"));
    assert_contains(&line, &["certificate", "--cert F"]);
}

#[test]
fn application_protocols_are_negotiated() {
    let files = Certificates::new();
    let ca = files.path("ca.pem");
    let daemon = daemon(&files, &["--tls-alpn", "echo/1"]);
    let of = |name: &str| {
        send(
            daemon.address(),
            &["--tls", "--ca", &ca, "--alpn", name],
            b"x",
        )
    };
    assert_printed(&of("echo/1"), b"x");
    assert_contains(&failure_of(&of("other")), &["ALPN", "--alpn P"]);
}

#[test]
fn fin_without_close_notify_is_an_error() {
    let files = Certificates::new();
    let Some(server) = python(&files, "cut") else {
        return;
    };
    let flags = ["--tls", "--ca", &files.path("ca.pem")];
    let ended = send(server.address, &flags, b"hello");
    let line = failure_of(&ended);
    assert_contains(&line, &["close_notify", "the reply may be incomplete"]);
    assert_eq!(ended.stdout, b"hello", "what was received is printed");
}

#[test]
fn server_without_tls_is_named_as_the_reason() {
    let flags = ["--tls", "--insecure"];
    let echoing = Peer::start(echo);
    let line = failure_of(&send(echoing.address, &flags, b"x"));
    assert_contains(&line, &["cannot connect to", "has TLS on that port"]);
    let http = Peer::start(write_then_read(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let line = failure_of(&ping(http.address, &flags));
    assert_contains(&line, &["no TLS record", "leave --tls out"]);
    let hanging = Peer::start(hang);
    let flags_of_hanging = [&flags[..], &["--connect-timeout", "300ms"]].concat();
    let line = failure_of(&send(hanging.address, &flags_of_hanging, b"x"));
    assert_contains(
        &line,
        &["did not complete the TLS handshake", "--connect-timeout"],
    );
    let closing = Peer::start(drop);
    let line = failure_of(&ping(closing.address, &flags));
    assert_contains(&line, &["TLS handshake"]);
}

#[test]
fn silence_after_the_handshake_ends_send() {
    let files = Certificates::new();
    let Some(server) = python(&files, "hang") else {
        return;
    };
    let ca = files.path("ca.pem");
    let flags = ["--tls", "--ca", &ca, "--timeout", "300ms"];
    let line = failure_of(&send(server.address, &flags, b"hello"));
    assert_contains(&line, &["no reply or FIN", "--timeout"]);
}

#[test]
fn python_echoes_a_file_over_tls() {
    let files = Certificates::new();
    let Some(server) = python(&files, "echo") else {
        return;
    };
    let input = text(0, 1_000_000);
    let flags = ["--tls", "--ca", &files.path("ca.pem")];
    assert_printed(&send(server.address, &flags, &input), &input);
}

/// `openssl s_server`, which sends each line back reversed. Dropping it ends the process.
struct Openssl {
    process: Child,
    address: std::net::SocketAddr,
}

impl Openssl {
    fn start(files: &Certificates, version: &str) -> Openssl {
        let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-rev", version])
            .args(["-cert", &certificate, "-key", &key])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let accepting = lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("ACCEPT ").map(str::to_owned)
        });
        let address = accepting.unwrap().parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Openssl { process, address }
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn openssl_replies_in_both_versions_of_tls() {
    if !have_tool("openssl") {
        return;
    }
    let files = Certificates::new();
    let ca = files.path("ca.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        let server = Openssl::start(&files, version);
        let ended = send(server.address, &["--tls", "--ca", &ca], b"hello\nworld\n");
        assert_printed(&ended, b"olleh\ndlrow\n");
        let line = failure_of(&send(
            server.address,
            &["--tls", "--ca", &files.path("other-ca.pem")],
            b"",
        ));
        assert_contains(&line, &["is signed by no trusted authority"]);
    }
}

#[test]
fn contradictory_flags_are_wrong_usage() {
    let address = "127.0.0.1:1".parse().unwrap();
    for flags in [&["--ca", "f"][..], &["--tls", "--cert", "f"]] {
        for ended in [send(address, flags, b""), ping(address, flags)] {
            assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        }
    }
    let ended = send(address, &["--tls", "--ca", "/nonexistent"], b"");
    assert_contains(
        &failure_of(&ended),
        &["cannot use TLS: cannot read /nonexistent"],
    );
}
