//! What stops a load is named, and what was reached is reported.

use crate::run::{Running, Said, load, result};
use crate::servers::{Fate, serve};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Runs a load that may have so many descriptors.
fn load_with_descriptors(limit: u32, arguments: &[&str]) -> Said {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" load \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_echoloop"))
        .args(arguments)
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Running::start(shell).finish()
}

#[test]
fn without_descriptors_what_was_reached_is_measured_and_reported() {
    let server = serve(|_| Fate::Answered).to_string();
    let pid = std::process::id().to_string();
    let said = load_with_descriptors(
        64,
        &[
            &server,
            "--idle",
            "100",
            "--duration",
            "1s",
            "--warmup",
            "0",
            "--server-pid",
            &pid,
            "-o",
            "json",
        ],
    );
    let result = said.result();
    assert_eq!(said.code, Some(0), "{said:#?}");
    let opened = result.connections.opened;
    assert!((40..64).contains(&opened), "{result:#?}");
    assert_eq!(result.connections.failed.no_files, 100 - opened);
    assert_eq!(
        (result.connections.lost, result.probe.alive),
        (0, opened),
        "{result:#?}"
    );
    assert!(
        result.warnings[0].contains("no descriptor was left")
            && result.warnings[0].contains("echoloop doctor"),
        "{result:#?}"
    );
    assert!(
        result.server.unwrap().rss_bytes > 0,
        "one is kept to look at the server with"
    );
}

#[test]
fn times_of_five_centuries_are_as_good_as_for_ever() {
    let server = serve(|_| Fate::Answered).to_string();
    let said = load(&[
        &server,
        "--active",
        "1",
        "--duration",
        "100ms",
        "--connect-timeout",
        "5000000h",
    ]);
    assert_eq!(said.code, Some(0), "{said:#?}");
}

#[test]
fn an_address_that_is_not_of_this_machine_has_no_ports() {
    let server = serve(|_| Fate::Answered).to_string();
    let said = load(&[
        &server,
        "--idle",
        "10",
        "--sources",
        "192.0.2.7",
        "-o",
        "json",
    ]);
    assert_eq!(said.result().connections.failed.no_ports, 10, "{said:#?}");
    assert_eq!(said.code, Some(1), "nothing was reached: {said:#?}");
}

#[test]
fn connections_come_from_the_addresses_that_were_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let accepted = std::thread::spawn(move || {
        let peers = listener.incoming().take(6).map(|stream| {
            let stream = stream.unwrap();
            (stream.peer_addr().unwrap().ip().to_string(), stream)
        });
        peers.collect::<Vec<_>>()
    });
    let result = result(&[
        &server,
        "--idle",
        "6",
        "--sources",
        "127.9.8.0/30",
        "--duration",
        "100ms",
        "--warmup",
        "0",
        "--connect-timeout",
        "1s",
    ]);
    assert_eq!(result.connections.opened, 6);
    let mut peers: Vec<_> = accepted
        .join()
        .unwrap()
        .into_iter()
        .map(|(peer, _)| peer)
        .collect();
    peers.sort_unstable();
    let (one, two) = ("127.9.8.1", "127.9.8.2");
    assert_eq!(peers, [one, one, one, two, two, two]);
    let blind = result
        .warnings
        .iter()
        .any(|warning| warning.contains("gave no echo"));
    assert!(blind, "it never answered: {result:#?}");
}

#[test]
fn a_server_that_takes_on_no_more_is_told_from_one_that_loses() {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_echoloop"));
    serve
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--max-connections",
            "30",
        ])
        .env_remove("ECHOLOOP_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut process = serve.spawn().unwrap();
    let mut line = String::new();
    let mut log = std::io::BufReader::new(process.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut log, &mut line).unwrap();
    let (_, rest) = line.split_once("listening on ").unwrap();
    let server = rest.split_whitespace().next().unwrap();
    let result = result(&[server, "--idle", "50", "--duration", "1s", "--warmup", "0"]);
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(result.connections.opened, 30, "{result:#?}");
    assert_eq!(result.connections.failed.reset, 20, "{result:#?}");
    assert_eq!(
        (result.connections.lost, result.probe.alive),
        (0, 30),
        "{result:#?}"
    );
}
