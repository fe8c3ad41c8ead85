//! `openssl s_client` with TLS 1.2 and 1.3.

use std::process::Command;
use std::time::Instant;

use super::{Authority, Peer, port, serve};
use crate::harness::Daemon;
use crate::tools::{PATIENCE, have_tool};

/// `openssl s_client`, which prints what happens and the echo.
struct Client {
    peer: Peer,
    lines: Vec<String>,
}

impl Client {
    fn connect(authority: &Authority, daemon: &Daemon, options: &[&str]) -> Option<Self> {
        if !have_tool("openssl") {
            return None;
        }
        let mut command = Command::new("sh");
        // Errors are on standard error.
        command.args(["-c", r#"exec openssl s_client "$@" 2>&1"#, "s_client"]);
        command.args(["-connect", &format!("127.0.0.1:{}", port(daemon))]);
        command.args(["-CAfile", &authority.text("ca.pem"), "-verify_return_error"]);
        let peer = Peer::start(command.args(options));
        let lines = Vec::new();
        Some(Self { peer, lines })
    }

    /// Reads lines up to one with this text; panics if the program ends before.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let Ok(line) = self.peer.output.recv_timeout(PATIENCE) else {
                break;
            };
            self.lines.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("no line with {text:?}: {:#?}", self.lines);
    }

    #[track_caller]
    fn assert_echo(&mut self, text: &str) {
        self.peer.begin(text);
        self.until(text);
    }

    /// Reads to the end.
    fn rest(mut self) -> String {
        while let Ok(line) = self.peer.output.recv_timeout(PATIENCE) {
            self.lines.push(line);
        }
        self.lines.join("\n")
    }
}

const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

#[test]
fn openssl_receives_the_echo_and_resumes_its_session() {
    let (authority, daemon) = serve(&[]);
    for (flag, version) in VERSIONS {
        let session = authority.text(version);
        let options = [flag, "-sess_out", &session];
        let Some(mut first) = Client::connect(&authority, &daemon, &options) else {
            return;
        };
        let line = first.until("Cipher is ");
        assert!(
            line.starts_with("New, ") && line.contains(version),
            "{line}"
        );
        first.until("Verify return code: 0 (ok)");
        first.assert_echo("a line to openssl");
        first.peer.begin("Q");
        let rest = first.rest();
        assert!(rest.contains("DONE"), "{rest}");
        let options = [flag, "-sess_in", &session];
        let mut second = Client::connect(&authority, &daemon, &options).unwrap();
        let line = second.until("Cipher is ");
        assert!(
            line.starts_with("Reused, ") && line.contains(version),
            "{line}"
        );
        second.assert_echo("another line");
    }
    for kind in ["full", "resumed"] {
        daemon.wait_for_line(kind, |line| line.ends_with(&format!(", {kind} handshake")));
    }
}

#[test]
fn tls_1_1_is_refused_with_an_alert() {
    let (authority, daemon) = serve(&[]);
    // OpenSSL itself refuses TLS 1.1 at the default security level.
    let options = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    let Some(client) = Client::connect(&authority, &daemon, &options) else {
        return;
    };
    let rest = client.rest();
    // The library first checks for an extension that TLS 1.1 has not.
    assert!(rest.contains("alert handshake failure"), "{rest}");
    assert!(daemon.close_summary(1).starts_with("malformed, "));
}

#[test]
fn client_certificates_are_required_and_verified() {
    let authority = Authority::new();
    let other = Authority::new();
    authority.issue("client.pem", "client.key", 7);
    let daemon = authority.serve(&["--tls-client-ca", &authority.text("ca.pem")]);
    for (flag, _) in VERSIONS {
        let with = |of: &Authority, name: &str| {
            let (certificate, key) = (
                of.text(&format!("{name}.pem")),
                of.text(&format!("{name}.key")),
            );
            vec!["-cert".to_owned(), certificate, "-key".to_owned(), key]
        };
        other.issue("client.pem", "client.key", 7);
        let options = with(&authority, "client");
        let options: Vec<_> = options.iter().map(String::as_str).chain([flag]).collect();
        let Some(mut accepted) = Client::connect(&authority, &daemon, &options) else {
            return;
        };
        accepted.assert_echo("with a certificate");
        // With TLS 1.3 the handshake is complete for the client before the server has its certificate.
        let missing = Client::connect(&authority, &daemon, &[flag, "-ign_eof"]).unwrap();
        let rest = missing.rest();
        let alerts = ["alert certificate required", "alert handshake failure"];
        assert!(alerts.iter().any(|alert| rest.contains(alert)), "{rest}");
        let options = with(&other, "client");
        let options: Vec<_> = options.iter().map(String::as_str).chain([flag]).collect();
        let foreign = Client::connect(&authority, &daemon, &options).unwrap();
        let rest = foreign.rest();
        assert!(rest.contains("alert unknown ca"), "{rest}");
        accepted.assert_echo("still established");
    }
    daemon.wait_for_line("why", |line| {
        line.contains("the client sent no certificate")
    });
}

#[test]
fn application_protocol_in_common_is_chosen_and_none_is_an_alert() {
    let (authority, daemon) = serve(&["--tls-alpn", "echo/2", "--tls-alpn", "echo/1"]);
    let Some(mut both) = Client::connect(&authority, &daemon, &["-alpn", "echo/1,echo/2"]) else {
        return;
    };
    both.until("ALPN protocol: echo/2");
    let mut second = Client::connect(&authority, &daemon, &["-alpn", "h2,echo/1"]).unwrap();
    second.until("ALPN protocol: echo/1");
    let mut without = Client::connect(&authority, &daemon, &[]).unwrap();
    without.until("No ALPN negotiated");
    without.assert_echo("without ALPN");
    let none = Client::connect(&authority, &daemon, &["-alpn", "h2"]).unwrap();
    let rest = none.rest();
    assert!(rest.contains("alert no application protocol"), "{rest}");
    daemon.wait_for_line("why", |line| {
        line.contains("offers no application protocol")
    });
}

#[test]
fn any_server_name_gets_the_certificate() {
    let (authority, daemon) = serve(&[]);
    for options in [
        &["-servername", "localhost"][..],
        &["-servername", "other.example"],
        &["-noservername"],
    ] {
        let Some(mut client) = Client::connect(&authority, &daemon, options) else {
            return;
        };
        client.until("Verify return code: 0 (ok)");
        client.assert_echo("with any name");
    }
}

#[test]
fn renegotiation_is_refused_and_disturbs_no_other_client() {
    let (authority, daemon) = serve(&[]);
    let Some(mut other) = Client::connect(&authority, &daemon, &["-tls1_2"]) else {
        return;
    };
    other.assert_echo("before");
    let mut client = Client::connect(&authority, &daemon, &["-tls1_2"]).unwrap();
    client.assert_echo("established");
    client.peer.begin("R");
    client.until("RENEGOTIATING");
    let rest = client.rest();
    assert!(rest.contains("no renegotiation"), "{rest}");
    other.assert_echo("after");
}

#[test]
fn keys_are_updated_on_request() {
    let (authority, daemon) = serve(&[]);
    let Some(mut client) = Client::connect(&authority, &daemon, &["-tls1_3"]) else {
        return;
    };
    client.assert_echo("with the first keys");
    // `K` also requests an update of the server's keys.
    for command in ["K", "k", "K"] {
        client.peer.begin(command);
        client.until("KEYUPDATE");
        client.assert_echo("with other keys");
    }
}
