//! Which clients are admitted, and how slow they may be: `--allow`, `--deny`, `--accept-rate` and `--min-rate`.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::client::{assert_echo, assert_refused, connect, connect_with_buffers};
use crate::harness::{Daemon, PATIENCE, echoloop, eventually, in_shell, serve_arguments};
use crate::machine::voluntary_switches;

/// A connection from an address; `None` if the server has reset it instead of an echo.
#[track_caller]
fn served(from: IpAddr, address: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The reset may arrive before connect returns.
    let connected = socket.connect(&address.into());
    let mut stream = TcpStream::from(socket);
    let mut reply = [0];
    let replied = connected
        .and_then(|()| stream.write_all(b"?"))
        .and_then(|()| stream.read_exact(&mut reply));
    match replied {
        Ok(()) => Some(stream),
        Err(error) => {
            let is_reset = matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            );
            assert!(is_reset, "from {from}: {error}");
            None
        }
    }
}

#[test]
fn longest_rule_decides_and_the_others_are_reset_and_counted() {
    let rules = [
        "-v",
        "--allow",
        "127.0.1.0/24",
        "--deny",
        "127.0.1.128/25",
        "--allow",
        "127.0.1.200",
    ];
    let mut daemon = Daemon::start(&rules);
    let expected = [
        ([127, 0, 1, 1], true),
        ([127, 0, 1, 129], false),
        ([127, 0, 1, 200], true),
        ([127, 0, 0, 1], false),
    ];
    for (from, is_admitted) in expected {
        let client = served(IpAddr::from(from), daemon.address());
        assert_eq!(client.is_some(), is_admitted, "{from:?}");
    }
    daemon.wait_for_line("the refusal of a client", |line| {
        line.contains("refused 127.0.1.129:")
            && line.contains("address is not admitted; see --allow and --deny")
    });
    daemon.signal(Signal::SIGTERM);
    daemon.wait_exit(PATIENCE);
    daemon.wait_for_line("the counts", |line| {
        line.contains("2 connections served, 2 refused")
    });
}

#[test]
fn ipv4_rule_applies_to_clients_of_an_ipv6_listener() {
    let daemon = Daemon::listening_on(&["[::]:0"], &["--deny", "127.0.0.7"]);
    let port = daemon.address().port();
    let ipv4 = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(served(IpAddr::from([127, 0, 0, 7]), ipv4).is_none());
    assert!(served(IpAddr::from([127, 0, 0, 8]), ipv4).is_some());
    let ipv6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
    assert!(served(Ipv6Addr::LOCALHOST.into(), ipv6).is_some());
}

#[test]
fn open_connections_are_not_affected_by_refusals() {
    let daemon = Daemon::start(&["--deny", "127.0.0.9"]);
    let mut client = connect(daemon.address());
    for _ in 0..20 {
        assert!(served(IpAddr::from([127, 0, 0, 9]), daemon.address()).is_none());
        assert_echo(&mut client, b"still here");
    }
}

#[test]
fn contradicting_and_invalid_rules_are_usage_errors() {
    for (arguments, message) in [
        (
            &["--allow", "10.0.0.1/8", "--deny", "10.0.0.0/8"][..],
            "contradict",
        ),
        (&["--deny", "10.0.0.0/33"], "such as 10.0.0.0/8"),
        (&["--accept-rate", "0"], "more than zero"),
    ] {
        let output = echoloop().arg("serve").args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}

/// After the burst, the connections above the rate wait in the accept queue: none is refused, and none is served early.
#[test]
fn connections_above_the_accept_rate_wait() {
    let mut daemon = Daemon::start(&["--accept-rate", "10"]);
    let start = Instant::now();
    let mut clients: Vec<TcpStream> = (0..25).map(|_| connect(daemon.address())).collect();
    for client in &mut clients {
        assert_echo(client, b"served in time");
    }
    // A burst of 10, and 15 at intervals of 100 ms. A loaded machine only takes longer.
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(1400), "{elapsed:?}");
    daemon.wait_for_line("the pause", |line| {
        line.contains(
            "limit of connections per second reached; new connections wait; raise --accept-rate",
        )
    });
    let client = clients.swap_remove(3);
    drop(client);
    assert_echo(&mut clients[4], b"not affected");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
    daemon.wait_for_line("the counts", |line| {
        line.contains("25 connections served, 0 refused")
    });
}

/// A drain serves all connections in the accept queue, whatever the rate.
#[test]
fn drain_accepts_the_connections_that_wait() {
    let mut daemon = Daemon::start(&["--accept-rate", "1"]);
    let mut first = connect(daemon.address());
    assert_echo(&mut first, b"the burst of one");
    let mut waiting: Vec<TcpStream> = (0..5).map(|_| connect(daemon.address())).collect();
    for client in &mut waiting {
        client.write_all(b"answered").unwrap();
    }
    daemon.signal(Signal::SIGTERM);
    for client in &mut waiting {
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).unwrap();
        assert_eq!(reply, b"answered");
    }
    drop(first);
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0));
}

/// A limited listener causes one wake-up per interval, not a busy loop.
#[test]
fn limited_server_does_not_poll() {
    let daemon = Daemon::start(&["--accept-rate", "1"]);
    let mut first = connect(daemon.address());
    assert_echo(&mut first, b"the burst of one");
    let mut second = connect(daemon.address());
    let before = voluntary_switches(daemon.pid());
    assert_echo(&mut second, b"a second later");
    let waits = voluntary_switches(daemon.pid()) - before;
    assert!(waits < 20, "{waits} waits within a second");
    eventually(PATIENCE, "the limit is logged", || {
        daemon
            .lines()
            .iter()
            .any(|line| line.contains("per second reached"))
    });
}

/// A client with pending output at all times, which reads `count` bytes at each interval. Returns the bytes that it has
/// read before the connection was reset, or within the time.
fn read_slowly(
    daemon: &Daemon,
    count: usize,
    interval: Duration,
    within: Duration,
) -> (usize, bool) {
    let stream = connect_with_buffers(daemon.address(), 4096);
    stream.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let (output, mut received) = (vec![b'x'; 64 << 10], 0);
    let mut input = vec![0; count];
    while start.elapsed() < within {
        let due = start.elapsed();
        let sent = loop {
            if let Err(error) = (&stream).write(&output) {
                break error;
            }
        };
        let read = (&stream).read(&mut input);
        received += *read.as_ref().unwrap_or(&0);
        // The first call after a reset returns it.
        let errors = [Some(sent), read.err()].into_iter().flatten();
        if let Some(error) = errors
            .into_iter()
            .find(|error| error.kind() != ErrorKind::WouldBlock)
        {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            return (received, true);
        }
        // The pace of the reader is what is tested.
        std::thread::sleep((due + interval).saturating_sub(start.elapsed()));
    }
    (received, false)
}

#[test]
fn reader_below_the_least_rate_is_reset_and_counted() {
    let arguments = ["-v", "--stall-timeout", "2s", "--socket-buffer", "8KiB"];
    let limited = Daemon::start(&[&arguments[..], &["--min-rate", "200KiB"]].concat());
    let unlimited = Daemon::start(&arguments);
    let (slow, pace) = (1000, Duration::from_millis(50));
    std::thread::scope(|scope| {
        let slow_reader = scope.spawn(|| read_slowly(&limited, slow, pace, PATIENCE));
        let unlimited_reader =
            scope.spawn(|| read_slowly(&unlimited, slow, pace, Duration::from_secs(7)));
        let fast_reader =
            scope.spawn(|| read_slowly(&limited, 64 << 10, Duration::ZERO, Duration::from_secs(7)));
        let (received, is_reset) = slow_reader.join().unwrap();
        assert!(is_reset, "{received} bytes read, and not reset");
        let (received, is_reset) = unlimited_reader.join().unwrap();
        assert!(!is_reset, "reset without --min-rate after {received} bytes");
        let (received, is_reset) = fast_reader.join().unwrap();
        assert!(!is_reset, "a fast reader was reset after {received} bytes");
    });
    limited.wait_for_line("the reason", |line| {
        line.contains("#1 closed: too slow") || line.contains("#2 closed: too slow")
    });
}

/// The limit that is in force, and what sets it.
#[test]
fn connection_limit_is_logged_with_its_origin() {
    let daemon = Daemon::start(&["--max-connections", "7"]);
    daemon.wait_for_line("the limit", |line| {
        line.ends_with("at most 7 connections (--max-connections)")
    });

    let arguments = serve_arguments(&["127.0.0.1:0"], &["-v"]);
    let daemon = Daemon::launch(in_shell("ulimit -n 30; exec \"$0\" \"$@\"", &arguments), 1);
    let line = daemon.wait_for_line("the limit", |line| line.contains("at most "));
    assert!(
        line.contains("since the process may have 30 file descriptors; raise it: ulimit -n"),
        "{line}"
    );
    let (_, rest) = line.split_once("at most ").unwrap();
    let limit: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
    let mut clients: Vec<TcpStream> = (0..limit).map(|_| connect(daemon.address())).collect();
    for client in &mut clients {
        assert_echo(client, b"within the limit");
    }
    assert_refused(daemon.address());
    daemon.wait_for_line("the refusal", |line| {
        line.contains("connection limit reached; raise it: ulimit -n")
            && !line.contains("--max-connections")
    });
}
