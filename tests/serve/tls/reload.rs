//! SIGHUP loads the certificates again.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Authority, Peer, file, port, serve};
use crate::client::assert_echo;
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::tools::have_tool;

/// The log lines about SIGHUP.
fn reloads(daemon: &Daemon) -> Vec<String> {
    let mut lines = daemon.lines();
    lines.retain(|line| line.contains("SIGHUP: "));
    lines
}

/// Sends SIGHUP, and returns the one line that it leads to.
#[track_caller]
fn reload(daemon: &mut Daemon) -> String {
    let before = reloads(daemon).len();
    daemon.signal(Signal::SIGHUP);
    eventually(PATIENCE, "a line about the reload", || {
        reloads(daemon).len() > before
    });
    let lines = reloads(daemon);
    assert_eq!(lines.len(), before + 1, "{lines:#?}");
    lines[before].clone()
}

const RELOADED: &str = "SIGHUP: the certificates were loaded again, for new connections";

#[test]
fn new_connections_get_the_new_certificate_and_old_ones_continue() {
    let (authority, mut daemon) = serve(&[]);
    let Some(mut old) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    let first = old.ask("serial");
    let mut between = Peer::connect(&authority, &daemon, &[]).unwrap();
    authority.issue("cert.pem", "key.pem", 2);
    let mut before = Peer::open(&authority, &daemon, &[]).unwrap();
    assert_eq!(before.ask("serial"), first);
    let line = reload(&mut daemon);
    assert!(line.ends_with(RELOADED), "{line}");
    let mut new = Peer::open(&authority, &daemon, &[]).unwrap();
    let second = new.ask("serial");
    assert!(second.len() == 64 && second != first, "{second}");
    for peer in [&mut old, &mut before, &mut new] {
        peer.assert_echo();
    }
    assert!(between.ask("handshake").ends_with(" new"));
    between.assert_echo();
}

/// What is wrong, and what the line says.
#[test]
fn invalid_files_change_nothing_and_one_line_says_why() {
    let (authority, mut daemon) = serve(&[]);
    let Some(mut old) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    let first = old.ask("serial");
    let read = |name: &str| fs::read_to_string(authority.path(name)).unwrap();
    let (certificate, key) = (read("cert.pem"), read("key.pem"));
    authority.issue("other.pem", "other.key", 9);
    let other = read("other.key");
    let cut = &certificate[..certificate.len() / 2];
    for (name, text, reasons) in [
        ("cert.pem", Some("nothing"), ["cert.pem", "certificate"]),
        ("cert.pem", Some(cut), ["cert.pem", "certificate"]),
        ("cert.pem", Some(&key), ["cert.pem", "certificate"]),
        ("cert.pem", None, ["cert.pem", "No such file"]),
        ("key.pem", Some(""), ["key.pem", "key"]),
        (
            "key.pem",
            Some(&other),
            ["key.pem is not the key of", "cert.pem"],
        ),
        ("key.pem", None, ["key.pem", "No such file"]),
    ] {
        match text {
            Some(text) => authority.replace(name, text),
            None => fs::remove_file(authority.path(name)).unwrap(),
        }
        let line = reload(&mut daemon);
        assert!(line.contains("ERROR"), "{line}");
        for reason in reasons {
            assert!(line.contains(reason), "{line:?} is not about {reason:?}");
        }
        assert!(
            line.ends_with("; the old certificates stay in use"),
            "{line}"
        );
        let mut new = Peer::open(&authority, &daemon, &[]).unwrap();
        assert_eq!(new.ask("serial"), first);
        old.assert_echo();
        authority.replace("cert.pem", &certificate);
        authority.replace("key.pem", &key);
    }
    let line = reload(&mut daemon);
    assert!(line.ends_with(RELOADED), "{line}");
}

/// A FIFO without a writer would block the event loop.
#[test]
fn key_from_a_fifo_is_reported_at_start_and_not_read_again() {
    let authority = Authority::new();
    let fifo = authority.path("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let key = fs::read(authority.path("key.pem")).unwrap();
    let path = fifo.clone();
    let writer = std::thread::spawn(move || fs::write(path, key).unwrap());
    let (certificate, fifo) = (authority.text("cert.pem"), authority.text("fifo"));
    let mut daemon = Daemon::start(&["-v", "--tls-cert", &certificate, "--tls-key", &fifo]);
    writer.join().unwrap();
    daemon.wait_for_line("the warning", |line| {
        line.contains("WARN") && line.contains("fifo is not a regular file")
    });
    let Some(mut old) = Peer::open(&authority, &daemon, &[]) else {
        return;
    };
    let line = reload(&mut daemon);
    assert!(
        line.contains("fifo") && line.ends_with("; the old certificates stay in use"),
        "{line}"
    );
    old.assert_echo();
    Peer::open(&authority, &daemon, &[]).unwrap().assert_echo();
    // Nor by a new process.
    daemon.signal(Signal::SIGUSR2);
    daemon.wait_for_line("the refusal", |line| {
        line.contains("upgrade failed: ") && line.contains("fifo is not a regular file")
    });
    old.assert_echo();
}

#[test]
fn without_certificates_sighup_is_logged_and_changes_nothing() {
    let mut daemon = Daemon::start(&[]);
    let mut stream = crate::client::connect(daemon.address());
    assert_echo(&mut stream, b"before");
    let line = reload(&mut daemon);
    assert!(line.contains("there is nothing to reload"), "{line}");
    assert_echo(&mut stream, b"after");
}

/// How often the certificates are replaced under load.
fn rounds() -> u64 {
    std::env::var("ECHOLOOP_TLS_RELOADS").map_or(50, |rounds| rounds.parse().unwrap())
}

#[test]
fn reloads_under_load_drop_no_connection() {
    if !have_tool("python3") {
        return;
    }
    let authority = Authority::new();
    let flags = authority.flags(&[]);
    // Without a log line for each connection.
    let flags: Vec<_> = flags.iter().map(String::as_str).skip(1).collect();
    let mut daemon = Daemon::start(&flags);
    let mut command = Command::new("python3");
    command.arg(file("load.py"));
    let mut load =
        super::Peer::start(command.args([&port(&daemon), &authority.text("ca.pem"), "50"]));
    assert_eq!(load.answer(), "established");
    for serial in 0..rounds() {
        authority.issue("cert.pem", "key.pem", 100 + serial);
        let line = reload(&mut daemon);
        assert!(line.ends_with(RELOADED), "{line}");
    }
    let result = load.ask("stop");
    eprintln!("{} reloads: {result}", rounds());
    assert!(result.ends_with(", 0 failures"), "{result}");
    assert!(!result.contains(" 0 connections"), "{result}");
}
