//! A limit is named, and the result covers what was reached.

use crate::network::load_command;
use crate::run::{Output, Running, load, result};
use crate::servers::{Fate, serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Runs a load with this limit of open file descriptors.
pub(crate) fn load_with_fds(limit: u32, arguments: &[&str]) -> Output {
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
fn load_without_file_descriptors_measures_what_it_has() {
    let server = serve(|_| Fate::Answered).to_string();
    let pid = std::process::id().to_string();
    let output = load_with_fds(
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
    let result = output.result();
    assert_eq!(output.code, Some(3), "some failed: {output:#?}");
    let opened = result.connections.opened;
    assert!((40..64).contains(&opened), "{result:#?}");
    assert_eq!(result.connections.failed.no_files, 100 - opened);
    assert_eq!(
        (result.connections.lost, result.probe.alive),
        (0, opened),
        "{result:#?}"
    );
    assert!(
        result.warnings[0].contains("no file descriptor left")
            && result.warnings[0].contains("echoloop doctor"),
        "{result:#?}"
    );
    assert!(
        result.server.unwrap().rss_bytes > 0,
        "one file descriptor is reserved to observe the server"
    );
}

/// If this test does not run for half a second, the server has held the connections that long; so there are three
/// attempts.
#[test]
fn connections_refused_while_the_load_is_stopped_are_not_lost() {
    let lost: Vec<u64> = (0..3)
        .map(|_| lost_by_a_stopped_load())
        .take_while(|lost| *lost > 0)
        .collect();
    assert!(lost.len() < 3, "{lost:?}");
}

/// A server accepts one active and ten idle connections, and resets the idle ones as soon as the load knows that it has
/// accepted them.
fn lost_by_a_stopped_load() -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let arguments = ["--active", "1", "--idle", "10", "--rate", "20"];
    let arguments = [&arguments[..], &["--duration", "2s"]].concat();
    let server = listener.local_addr().unwrap();
    let load = Running::start(load_command(server, &arguments));
    let accepted = listener.incoming().take(11).map(Result::unwrap);
    let mut idle: Vec<TcpStream> = accepted.collect();
    let mut active = idle.remove(0);
    // A message is sent when all connections are accepted.
    let mut first = [0; 1];
    active.read_exact(&mut first).unwrap();
    let pid = Pid::from_raw(load.process.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    for stream in idle {
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    // Not a wait for a condition: it stops the program under test for this long.
    thread::sleep(Duration::from_millis(700));
    kill(pid, Signal::SIGCONT).unwrap();
    thread::spawn(move || {
        active.write_all(&first).unwrap();
        std::io::copy(&mut active.try_clone().unwrap(), &mut active)
    });
    let connections = load.finish().result().connections;
    assert_eq!(
        connections.lost + connections.failed.reset,
        10,
        "{connections:#?}"
    );
    connections.lost
}

#[test]
fn timeout_of_centuries_does_not_overflow() {
    let server = serve(|_| Fate::Answered).to_string();
    let output = load(&[
        &server,
        "--active",
        "1",
        "--duration",
        "100ms",
        "--connect-timeout",
        "5000000h",
    ]);
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[test]
fn foreign_source_address_fails_with_no_ports() {
    let server = serve(|_| Fate::Answered).to_string();
    let output = load(&[
        &server,
        "--idle",
        "10",
        "--sources",
        "192.0.2.7",
        "-o",
        "json",
    ]);
    assert_eq!(
        output.result().connections.failed.no_ports,
        10,
        "{output:#?}"
    );
    assert_eq!(output.code, Some(1), "nothing was established: {output:#?}");
}

#[test]
fn connections_use_the_given_source_addresses() {
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
    assert_eq!(result.probe.dead, 6, "it never answered: {result:#?}");
}

#[test]
fn server_at_its_limit_fails_connects_and_loses_none() {
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
