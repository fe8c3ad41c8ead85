//! TLS with programs of others: OpenSSL, Python, socat, Erlang, nc, sslyze, tlslite-ng and tlsfuzzer.
//!
//! Certificates are created at run time. [`Peer`] is a client of Python's module `ssl` that a test controls step by step.

mod admin;
mod closing;
mod fuzzer;
mod keys;
mod limits;
mod malformed;
mod openssl;
mod programs;
mod proxied;
mod reload;
mod scanner;
mod timeouts;
mod traces;
mod upgrade;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use tempfile::TempDir;

use crate::harness::Daemon;
use crate::tools::{PATIENCE, have_tool};

const HOUR: Duration = Duration::from_secs(3600);

/// An authority, and a directory with its certificate (`ca.pem`) and what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    /// With a certificate and key of a server: `cert.pem`, `key.pem`.
    fn new() -> Self {
        let mut params = CertificateParams::default();
        let directory = tempfile::tempdir().unwrap();
        let name = format!("authority in {}", directory.path().display());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        let authority = Self { issuer, directory };
        authority.issue("cert.pem", "key.pem", 1);
        authority
    }

    /// Writes a certificate for localhost, and its key; each file is replaced by renaming.
    fn issue(&self, certificate: &str, key: &str, serial: u64) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        // Public authorities issue certificates for at most 100 days.
        let now = SystemTime::now();
        params.not_before = (now - 24 * HOUR).into();
        params.not_after = (now + 90 * 24 * HOUR).into();
        let pair = KeyPair::generate().unwrap();
        let pem = params.signed_by(&pair, &self.issuer).unwrap().pem();
        self.replace(certificate, &pem);
        self.replace(key, &pair.serialize_pem());
    }

    fn replace(&self, name: &str, text: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.directory.path().join(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The flags of a server with this certificate, then `extra`.
    fn flags(&self, extra: &[&str]) -> Vec<String> {
        let (certificate, key) = (self.text("cert.pem"), self.text("key.pem"));
        let flags = ["-v", "--tls-cert", &certificate, "--tls-key", &key];
        let flags = flags.iter().chain(extra);
        flags.map(|&flag| flag.to_owned()).collect()
    }

    /// A server with TLS.
    fn serve(&self, extra: &[&str]) -> Daemon {
        let flags = self.flags(extra);
        Daemon::start(&flags.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// A server with TLS, without further flags, and its authority.
fn serve(extra: &[&str]) -> (Authority, Daemon) {
    let authority = Authority::new();
    let daemon = authority.serve(extra);
    (authority, daemon)
}

fn port(daemon: &Daemon) -> String {
    daemon.address().port().to_string()
}

/// A program that answers one line to each line of its input.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Peer {
    /// Python's `ssl`; `None` without Python. The TCP connection is established.
    fn connect(authority: &Authority, daemon: &Daemon, options: &[&str]) -> Option<Self> {
        if !have_tool("python3") {
            return None;
        }
        let mut command = Command::new("python3");
        command.arg(file("client.py"));
        command.args([&port(daemon), &authority.text("ca.pem")]);
        Some(Self::start(command.args(options)))
    }

    /// As [`connect`](Self::connect), after the handshake.
    fn open(authority: &Authority, daemon: &Daemon, options: &[&str]) -> Option<Self> {
        let mut peer = Self::connect(authority, daemon, options)?;
        let version = peer.ask("handshake");
        assert!(version.ends_with(" new"), "{version}");
        Some(peer)
    }

    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = lines(child.stdout.take().unwrap());
        let input = child.stdin.take().unwrap();
        Self {
            child,
            input,
            output,
        }
    }

    /// Sends a command without waiting for its answer.
    fn begin(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    /// The next line.
    #[track_caller]
    fn answer(&mut self) -> String {
        let line = self.output.recv_timeout(2 * PATIENCE);
        line.expect("a line of the peer")
    }

    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.begin(command);
        self.answer()
    }

    /// Sends bytes and reads their echo.
    #[track_caller]
    fn assert_echo(&mut self) {
        assert_eq!(self.ask("echo 1000"), "echoed");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A file beside this one.
fn file(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/serve/tls").join(name)
}
