//! Scripts of tlsfuzzer, if it is there, against the server: malformed and unusual handshakes and records.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::scanner::python_with;
use super::{Authority, Peer, file, port};
use crate::harness::{PATIENCE, eventually};
use crate::machine::open_fds;
use crate::tools::{have_tool, run, run_within, skip};

/// The Python of the environment that `.ci/run` creates, and the folder with tlsfuzzer. Tlsfuzzer is in no registry, so
/// `.ci/run` does not install it, and `ECHOLOOP_REQUIRE_TOOLS` does not require it: `malformed.rs` runs everywhere.
fn tlsfuzzer() -> Option<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/tlsfuzzer");
    if !folder.join("scripts/test-tls13-conversation.py").is_file() {
        skip(
            "NO tlsfuzzer in target/tools/tlsfuzzer (optional): git clone \
             https://github.com/tlsfuzzer/tlsfuzzer target/tools/tlsfuzzer && git -C \
             target/tools/tlsfuzzer checkout 14555fe211456c46deccc4b2d94751dbd894aece",
        );
        return None;
    }
    if !have_tool("openssl") {
        return None;
    }
    Some((python_with("tlslite")?, folder))
}

/// Most scripts offer RSA signatures only.
fn use_rsa_certificate(authority: &Authority) {
    let mut request = Command::new("openssl");
    request.args([
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90",
    ]);
    request.args([
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]);
    request.arg("-keyout").arg(authority.path("key.pem"));
    request.arg("-out").arg(authority.path("cert.pem"));
    let output = run(request, b"");
    assert!(output.status.success(), "{output:?}");
    let certificate = std::fs::read_to_string(authority.path("cert.pem")).unwrap();
    authority.replace("ca.pem", &certificate);
}

#[test]
fn malformed_handshakes_end_with_alerts_and_disturb_no_client() {
    let Some((python, folder)) = tlsfuzzer() else {
        return;
    };
    let authority = Authority::new();
    use_rsa_certificate(&authority);
    let mut daemon = authority.serve(&[]);
    let Some(mut other) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    let fds = open_fds(daemon.pid());
    let mut fuzzer = Command::new(python);
    fuzzer.arg(file("fuzzer.py")).arg(port(&daemon)).arg(folder);
    let output = std::thread::scope(|scope| {
        let fuzzer = scope.spawn(move || run_within(Duration::from_secs(240), fuzzer, b""));
        while !fuzzer.is_finished() {
            other.assert_echo();
        }
        fuzzer.join().unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().count(), 37, "{text}");
    assert!(daemon.is_running());
    other.assert_echo();
    Peer::open(&authority, &daemon, &[]).unwrap().assert_echo();
    eventually(PATIENCE, "all connections of the fuzzer are closed", || {
        open_fds(daemon.pid()) <= fds
    });
}
