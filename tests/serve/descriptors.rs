//! No descriptor left (EMFILE): nobody is dropped, nothing spins, nothing stays deaf, and the log is brief.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::{assert_echo, assert_reads, connect, read_to_fin};
use crate::harness::{Daemon, PATIENCE, eventually, in_shell, serve_arguments};
use crate::machine::{cpu_time, open_descriptors};

const ALLOWED: usize = 40;

/// A daemon that may have few descriptors, and does not know better than to accept a thousand clients.
fn daemon_short_of_descriptors() -> Daemon {
    let arguments = serve_arguments(&["127.0.0.1:0"], &["--max-connections", "1000"]);
    let script = format!("ulimit -n {ALLOWED}; exec \"$0\" \"$@\"");
    Daemon::launch(in_shell(&script, &arguments), 1)
}

/// More clients than there are descriptors: the kernel's accept queue takes those that the daemon cannot.
/// Comes back when no descriptor is left and everyone accepted is answered.
fn crowd(daemon: &Daemon) -> Vec<TcpStream> {
    let mut clients = vec![connect(daemon.address())];
    clients[0].write_all(b"first").unwrap();
    eventually(PATIENCE, "the first client is answered", || {
        answered(&clients) == 1
    });
    let own = open_descriptors(daemon.pid()) - 1;
    clients.extend((1..60).map(|_| connect(daemon.address())));
    for client in &mut clients[1..] {
        client.write_all(b"first").unwrap();
    }
    eventually(
        PATIENCE,
        "no descriptor is left and the accepted are answered",
        || {
            let open = open_descriptors(daemon.pid());
            // It may keep one or two back for itself.
            open >= ALLOWED - 2 && answered(&clients) == open - own
        },
    );
    clients
}

/// How many have an answer waiting.
fn answered(clients: &[TcpStream]) -> usize {
    clients.iter().filter(|client| has_answer(client)).count()
}

fn has_answer(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let answer = match client.peek(&mut [0; 1]) {
        Ok(count) => {
            assert_ne!(count, 0, "a client was turned away");
            true
        }
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::WouldBlock,
                "a client was turned away: {error}"
            );
            false
        }
    };
    client.set_nonblocking(false).unwrap();
    answer
}

/// Splits into those that the daemon has accepted and answered, and those still queued.
fn split(clients: Vec<TcpStream>) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let (mut served, queued): (Vec<_>, Vec<_>) = clients.into_iter().partition(has_answer);
    for client in &mut served {
        assert_reads(client, b"first");
    }
    assert!(
        served.len() >= 20,
        "only {} are served with {ALLOWED} descriptors",
        served.len()
    );
    assert!(
        !queued.is_empty(),
        "nobody is queued, so this test shows nothing"
    );
    (served, queued)
}

#[test]
fn without_descriptors_the_accepted_are_served_and_nothing_spins() {
    let start = Instant::now();
    let daemon = daemon_short_of_descriptors();
    let clients = crowd(&daemon);

    // Time passing is what is observed here.
    let (used, watched) = (cpu_time(daemon.pid()), Duration::from_millis(2_500));
    thread::sleep(watched);
    let used = cpu_time(daemon.pid()).saturating_sub(used);
    assert!(
        used < watched / 10,
        "{used:?} of processor time in {watched:?}: it spins"
    );

    let (mut served, queued) = split(clients);
    for client in &mut served {
        assert_echo(client, b"second");
    }
    assert_eq!(answered(&queued), 0, "served without a descriptor");
    let line = daemon.wait_for_line("accepting pauses", |line| line.contains("accepting pauses"));
    for remedy in ["ulimit -n", "--max-connections", "echoloop doctor"] {
        assert!(line.contains(remedy), "{remedy} is not named: {line}");
    }
    assert_warnings_are_few(&daemon, start);
}

#[test]
fn accepting_resumes_when_some_leave_and_the_warnings_are_few() {
    let start = Instant::now();
    let daemon = daemon_short_of_descriptors();
    let clients = crowd(&daemon);
    daemon.wait_for_line("a warning that accepting has paused", |line| {
        line.contains("WARN")
    });
    let (mut served, mut queued) = split(clients);

    served.truncate(served.len() - 5);
    let took = eventually(PATIENCE, "as many are accepted as left", || {
        answered(&queued) >= 5
    });
    assert!(
        took < Duration::from_secs(2),
        "accepting resumed only after {took:?}"
    );
    for client in &mut served {
        assert_echo(client, b"second");
    }
    drop(served);
    eventually(PATIENCE, "all that were queued are served", || {
        answered(&queued) == queued.len()
    });
    for client in &mut queued {
        assert_reads(client, b"first");
        assert_echo(client, b"second");
    }

    assert_warnings_are_few(&daemon, start);
}

/// Closing the listener would reset them.
#[test]
fn a_drain_accepts_the_queued_as_descriptors_become_free() {
    let mut daemon = daemon_short_of_descriptors();
    let clients = crowd(&daemon);
    let (mut served, queued) = split(clients);
    daemon.signal(Signal::SIGTERM);
    for client in &mut served {
        assert_eq!(read_to_fin(client), b"", "a served client");
    }
    assert_eq!(answered(&queued), 0, "answered without a descriptor");
    // Each that closes lets one of the queued in.
    drop(served);
    for mut client in queued {
        assert_eq!(read_to_fin(&mut client), b"first", "a queued client");
    }
    assert_eq!(daemon.wait_exit(PATIENCE), Some(0), "exit code");
}

#[track_caller]
fn assert_warnings_are_few(daemon: &Daemon, start: Instant) {
    let (lines, lasted) = (daemon.lines(), start.elapsed());
    let warnings = lines.iter().filter(|line| line.contains("WARN")).count();
    // One in 5 s, and one that the daemon may give at its start about the limit itself.
    let most = 2 + usize::try_from(lasted.as_secs() / 5).unwrap();
    assert!(
        warnings <= most,
        "{warnings} warnings in {lasted:?}: {lines:#?}"
    );
}
