//! `ping`: schedule, verification, losses and round-trip times.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clients::{assert_contains, client, failure_of, ping};
use crate::connecting::refusing;
use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::{cpu_time, state};
use crate::peers::{Peer, echo, hang, reset};

fn printed(stdout: &[u8]) -> String {
    String::from_utf8(stdout.to_vec()).unwrap()
}

#[test]
fn each_echo_prints_a_line_and_all_a_summary() {
    let daemon = Daemon::start(&[]);
    let started = Instant::now();
    let ended = ping(daemon.address(), &["-c", "4", "-i", "100ms"]);
    let took = started.elapsed();
    assert_eq!(ended.status.code(), Some(0));
    let text = printed(&ended.stdout);
    let address = daemon.address();
    assert!(text.starts_with(&format!("PING {address}: 64 bytes each\n")));
    for number in 1..=4 {
        assert_contains(
            &text,
            &[&format!("64 bytes from {address}: seq={number} time=")],
        );
    }
    let (_, seconds) = text
        .split_once("4 sent, 4 received, 0 lost (0.0%), in ")
        .unwrap();
    let (seconds, _) = seconds.split_once(' ').unwrap();
    let printed = Duration::from_secs_f64(seconds.parse().unwrap());
    assert!(
        printed >= Duration::from_millis(300) && printed <= took,
        "{printed:?} of {took:?}"
    );
    assert_contains(&text, &["round trip min/avg/p50/p99/max = "]);
}

#[test]
fn header_is_first_even_if_the_server_writes_or_closes() {
    let peer = Peer::start(|mut stream| {
        stream.write_all(b"welcome").unwrap();
        echo(stream);
    });
    let ended = ping(peer.address, &["-c", "1"]);
    let header = format!("PING {}: 64 bytes each\n", peer.address);
    let text = printed(&ended.stdout);
    assert!(text.starts_with(&header), "{text}");
    assert_contains(&failure_of(&ended), &["7 surplus bytes"]);

    let peer = Peer::start(drop);
    let ended = ping(peer.address, &["-c", "1"]);
    let header = format!("PING {}: 64 bytes each\n", peer.address);
    let text = printed(&ended.stdout);
    assert!(text.starts_with(&header), "{text}");
}

#[test]
fn quiet_and_json_print_only_the_summary() {
    let daemon = Daemon::start(&[]);
    let fast = ["-c", "100", "-i", "1ms", "-s", "1000"];
    let ended = ping(daemon.address(), &[&fast[..], &["-q"]].concat());
    let text = printed(&ended.stdout);
    assert!(!text.contains("seq="), "{text}");
    assert_contains(&text, &["100 sent, 100 received"]);
    let ended = ping(daemon.address(), &[&fast[..], &["-o", "json"]].concat());
    let text = printed(&ended.stdout);
    assert!(
        text.starts_with("{\"schema\":1,") && text.ends_with("}}\n"),
        "{text}"
    );
    assert_contains(
        &text,
        &[
            "\"size\":1000,",
            "\"sent\":100,\"received\":100,\"lost\":0,",
        ],
    );
    assert_contains(&text, &["\"round_trip_us\":{\"count\":100,\"min\":"]);
}

#[test]
fn echoes_of_8_mib_are_verified() {
    let daemon = Daemon::start(&[]);
    let ended = ping(daemon.address(), &["-c", "3", "-i", "10ms", "-s", "8MiB"]);
    assert_eq!(ended.status.code(), Some(0));
    assert_contains(&printed(&ended.stdout), &["3 sent, 3 received, 0 lost"]);
}

#[test]
fn sigint_ends_ping_with_the_summary() {
    let daemon = Daemon::start(&[]);
    let mut command = client("ping", daemon.address(), &["-i", "50ms"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The header and two echoes.
    let first: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
    assert_contains(&first[2], &["seq=2"]);
    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_contains(
        &rest.join("\n"),
        &["echo statistics", " 0 lost (0.0%)", "min/avg"],
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn inherited_ignored_sigint_does_not_end_ping() {
    let daemon = Daemon::start(&[]);
    let ping = client("ping", daemon.address(), &["-c", "6", "-i", "50ms"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap "" INT; exec "$0" "$@""#])
        .arg(ping.get_program())
        .args(ping.get_args());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let header = lines.next().unwrap().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_contains(&rest.join("\n"), &["6 sent, 6 received, 0 lost"]);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{header}");
}

#[test]
fn echoes_without_reply_are_lost_and_ping_fails() {
    let peer = Peer::start(hang);
    let ended = ping(peer.address, &["-c", "2", "-i", "50ms", "-W", "200ms"]);
    let line = failure_of(&ended);
    assert_contains(
        &line,
        &[&peer.address.to_string(), "no echo received", "2 sent"],
    );
    let text = printed(&ended.stdout);
    assert_contains(
        &text,
        &["seq=1 not received within 200ms", "seq=2 not received"],
    );
    assert_contains(&text, &["2 sent, 0 received, 2 lost (100.0%)"]);
}

#[test]
fn late_echo_is_lost_and_printed_as_late() {
    let peer = Peer::start(|mut stream| {
        let mut echo = [0; 64];
        stream.read_exact(&mut echo).unwrap();
        let first = echo;
        // Sent after the time to wait for the first echo is over.
        stream.read_exact(&mut echo).unwrap();
        stream.write_all(&first).unwrap();
        stream.write_all(&echo).unwrap();
        // Returns when the client closes.
        let _ = stream.read(&mut echo);
    });
    let ended = ping(peer.address, &["-c", "2", "-i", "2s", "-W", "1s"]);
    assert_eq!(ended.status.code(), Some(0));
    let text = printed(&ended.stdout);
    assert_contains(&text, &["seq=1 not received within 1s", " ms (late)"]);
    assert_contains(
        &text,
        &["2 sent, 1 received, 1 lost (50.0%), 1 of them late"],
    );
    peer.join();
}

#[test]
fn changed_byte_is_printed_with_its_offset_and_fails() {
    let peer = Peer::start(|mut stream| {
        let mut echo = [0; 64];
        stream.read_exact(&mut echo).unwrap();
        echo[17] ^= 0xff;
        stream.write_all(&echo).unwrap();
        let _ = stream.read(&mut echo);
    });
    let ended = ping(peer.address, &["-c", "1"]);
    let line = failure_of(&ended);
    assert_contains(&line, &["echo mismatch", "1 of 1 echoes wrong"]);
    assert_contains(&printed(&ended.stdout), &["seq=1 mismatch: byte 17 is 0x"]);
}

#[test]
fn lost_connection_is_one_error_line_after_the_summary() {
    let serve = |mut stream: std::net::TcpStream| {
        let mut echo = [0; 64];
        stream.read_exact(&mut echo).unwrap();
        stream.write_all(&echo).unwrap();
        stream.read_exact(&mut echo).unwrap();
        stream
    };
    let peer = Peer::start(move |stream| reset(serve(stream)));
    let ended = ping(peer.address, &["-i", "50ms", "-c", "2"]);
    assert_contains(
        &failure_of(&ended),
        &["reset the connection", "64 received"],
    );
    assert_contains(
        &printed(&ended.stdout),
        &["seq=1 time=", "2 sent, 1 received"],
    );
    let peer = Peer::start(move |stream| drop(serve(stream)));
    let ended = ping(peer.address, &["-i", "50ms"]);
    assert_contains(&failure_of(&ended), &["closed the connection"]);
}

#[test]
fn closed_reader_ends_ping_without_an_error() {
    let daemon = Daemon::start(&[]);
    let mut command = client("ping", daemon.address(), &["-i", "10ms"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 4]).unwrap();
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stderr, b"");
}

#[test]
fn refused_connection_fails_at_once() {
    let (_socket, address) = refusing();
    let line = failure_of(&ping(address, &["-c", "1"]));
    assert_contains(&line, &[&address.to_string(), "Connection refused"]);
}

#[test]
fn server_that_never_reads_times_out_without_cpu_use() {
    let peer = Peer::start(hang);
    // More than the kernel buffers, so that the second echo cannot be sent.
    let arguments = ["-c", "2", "-i", "1ms", "-s", "32MiB", "-W", "1s"];
    let mut command = client("ping", peer.address, &arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut before = None;
    eventually(PATIENCE, "the client waits", || {
        let time = cpu_time(child.id());
        before.replace(time) == Some(time) && state(child.id()) == 'S'
    });
    let spent = cpu_time(child.id());
    std::thread::sleep(Duration::from_millis(500));
    let spent = cpu_time(child.id()).saturating_sub(spent);
    assert!(spent < Duration::from_millis(100), "{spent:?} of 500 ms");
    let ended = child.wait_with_output().unwrap();
    let line = failure_of(&ended);
    assert_contains(&line, &["has read nothing for 1s", "bytes pending"]);
    assert_contains(&printed(&ended.stdout), &["1 sent, 0 received, 1 lost"]);
}

#[test]
fn losing_all_echoes_in_flight_ends_ping() {
    let peer = Peer::start(hang);
    let arguments = ["-i", "1us", "-s", "1", "-W", "200ms", "-q"];
    let line = failure_of(&ping(peer.address, &arguments));
    assert_contains(&line, &["no reply or FIN", "for 200ms"]);
}

#[test]
fn server_may_close_after_the_last_echo() {
    let peer = Peer::start(|mut stream| {
        let mut echo = [0; 64];
        stream.read_exact(&mut echo).unwrap();
        stream.write_all(&echo).unwrap();
    });
    let ended = ping(peer.address, &["-c", "1"]);
    assert_eq!(ended.status.code(), Some(0));
    assert_contains(&printed(&ended.stdout), &["1 sent, 1 received, 0 lost"]);
}
