//! File descriptors are exhausted (EMFILE): no client is dropped, the loop does not spin, accepting resumes, and few
//! warnings are logged.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::{assert_echo, assert_reads, connect, read_to_fin};
use crate::harness::{Daemon, PATIENCE, eventually, in_shell, serve_arguments};
use crate::machine::{cpu_time, open_fds};

const ALLOWED: usize = 40;

/// A daemon with few file descriptors and a higher `--max-connections`, so that accepting runs into EMFILE.
fn daemon_short_of_fds() -> Daemon {
    let arguments = serve_arguments(&["127.0.0.1:0"], &["--max-connections", "1000"]);
    let script = format!("ulimit -n {ALLOWED}; exec \"$0\" \"$@\"");
    Daemon::launch(in_shell(&script, &arguments), 1)
}

/// Connects more clients than there are file descriptors; the rest stays in the kernel's accept queue. Returns when no
/// file descriptor is left and every accepted client has a reply.
fn exhaust_fds(daemon: &Daemon) -> Vec<TcpStream> {
    let mut clients = vec![connect(daemon.address())];
    clients[0].write_all(b"first").unwrap();
    eventually(PATIENCE, "the first client receives its reply", || {
        count_replied(&clients) == 1
    });
    let own = open_fds(daemon.pid()) - 1;
    clients.extend((1..60).map(|_| connect(daemon.address())));
    for client in &mut clients[1..] {
        client.write_all(b"first").unwrap();
    }
    eventually(
        PATIENCE,
        "no file descriptor is left and accepted clients have their replies",
        || {
            let open = open_fds(daemon.pid());
            // The daemon may reserve one or two.
            open >= ALLOWED - 2 && count_replied(&clients) == open - own
        },
    );
    clients
}

/// The number of clients with an unread reply.
fn count_replied(clients: &[TcpStream]) -> usize {
    clients.iter().filter(|client| has_reply(client)).count()
}

fn has_reply(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let has_reply = match client.peek(&mut [0; 1]) {
        Ok(count) => {
            assert_ne!(count, 0, "a client was closed");
            true
        }
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::WouldBlock,
                "a client was reset: {error}"
            );
            false
        }
    };
    client.set_nonblocking(false).unwrap();
    has_reply
}

/// Splits into clients that the daemon has accepted and served, and clients still in the accept queue.
fn split(clients: Vec<TcpStream>) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let (mut served, queued): (Vec<_>, Vec<_>) = clients.into_iter().partition(has_reply);
    for client in &mut served {
        assert_reads(client, b"first");
    }
    assert!(
        served.len() >= 20,
        "only {} clients are served with {ALLOWED} file descriptors",
        served.len()
    );
    assert!(
        !queued.is_empty(),
        "no client is queued, so nothing is tested"
    );
    (served, queued)
}

#[test]
fn emfile_leaves_accepted_clients_served_and_cpu_idle() {
    let start = Instant::now();
    let daemon = daemon_short_of_fds();
    let clients = exhaust_fds(&daemon);

    // The CPU time of this period is measured.
    let (used, watched) = (cpu_time(daemon.pid()), Duration::from_millis(2_500));
    thread::sleep(watched);
    let used = cpu_time(daemon.pid()).saturating_sub(used);
    assert!(
        used < watched / 10,
        "{used:?} of CPU time in {watched:?}: the loop spins"
    );

    let (mut served, queued) = split(clients);
    for client in &mut served {
        assert_echo(client, b"second");
    }
    assert_eq!(
        count_replied(&queued),
        0,
        "queued clients served without a file descriptor"
    );
    let line = daemon.wait_for_line("accepting pauses", |line| line.contains("accepting pauses"));
    for remedy in ["ulimit -n", "--max-connections", "echoloop doctor"] {
        assert!(
            line.contains(remedy),
            "the warning does not name {remedy}: {line}"
        );
    }
    assert_warnings_are_few(&daemon, start);
}

#[test]
fn accepting_resumes_after_emfile_with_few_warnings() {
    let start = Instant::now();
    let daemon = daemon_short_of_fds();
    let clients = exhaust_fds(&daemon);
    daemon.wait_for_line("a warning that accepting has paused", |line| {
        line.contains("WARN")
    });
    let (mut served, mut queued) = split(clients);

    served.truncate(served.len() - 5);
    let took = eventually(
        PATIENCE,
        "as many clients are accepted as were closed",
        || count_replied(&queued) >= 5,
    );
    assert!(
        took < Duration::from_secs(2),
        "accepting resumed only after {took:?}"
    );
    for client in &mut served {
        assert_echo(client, b"second");
    }
    drop(served);
    eventually(PATIENCE, "all queued clients are served", || {
        count_replied(&queued) == queued.len()
    });
    for client in &mut queued {
        assert_reads(client, b"first");
        assert_echo(client, b"second");
    }

    assert_warnings_are_few(&daemon, start);
}

/// Closing the listener would reset the queued clients.
#[test]
fn drain_accepts_queued_clients_as_fds_become_free() {
    let mut daemon = daemon_short_of_fds();
    let clients = exhaust_fds(&daemon);
    let (mut served, queued) = split(clients);
    daemon.signal(Signal::SIGTERM);
    for client in &mut served {
        assert_eq!(read_to_fin(client), b"", "a served client");
    }
    assert_eq!(
        count_replied(&queued),
        0,
        "queued clients served without a file descriptor"
    );
    // Each close releases a file descriptor for a queued client.
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
    // One per 5 s, and at most one at startup about the limit itself.
    let most = 2 + usize::try_from(lasted.as_secs() / 5).unwrap();
    assert!(
        warnings <= most,
        "{warnings} warnings in {lasted:?}: {lines:#?}"
    );
}
