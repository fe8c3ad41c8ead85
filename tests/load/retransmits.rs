//! SYN retransmits: those that the load infers for itself, compared with those that the kernel counts.

use crate::network::{
    connect_in_background, in_own_network, listener_with_backlog, load_command, syn_retransmits,
};
use crate::run::{Running, load};
use crate::servers::{Fate, serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

/// The timeout of a condition; only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn load_of(target: SocketAddr, arguments: &[&str]) -> echoloop::load::LoadResult {
    Running::start(load_command(target, arguments))
        .finish()
        .result()
}

#[test]
fn syn_retransmits_of_other_programs_are_separate() {
    in_own_network(
        "retransmits::syn_retransmits_of_other_programs_are_separate",
        || {
            let (_full, full) = listener_with_backlog(1);
            let server = serve(|_| Fate::Answered);
            let _connecting = connect_in_background(full, 20);
            let arguments = ["--active", "5", "--rate", "50", "--duration", "2500ms"];
            let result = load_of(server, &arguments);
            assert_eq!(result.connect.retransmitted, 0, "{result:#?}");
            let machine = result.connect.machine_retransmitted;
            assert!(machine.is_some_and(|count| count >= 18), "{result:#?}");
            let warnings = result.warnings.concat();
            assert!(!warnings.contains("BACKLOG"), "{warnings}");
        },
    );
}

#[test]
fn text_labels_the_syn_retransmits_of_the_machine() {
    let server = serve(|_| Fate::Answered).to_string();
    let output = load(&[&server, "--active", "1", "--duration", "100ms"]);
    let text = &output.stdout;
    assert!(text.contains(", 0 SYN retransmits (machine: "), "{text}");
}

#[test]
fn connects_that_time_out_count_as_in_the_kernel() {
    in_own_network(
        "retransmits::connects_that_time_out_count_as_in_the_kernel",
        || {
            let (_full, full) = listener_with_backlog(1);
            let arguments = ["--idle", "10", "--connect-timeout", "2500ms"];
            let result = load_of(full, &[&arguments[..], &["--duration", "100ms"]].concat());
            assert_eq!(result.connections.failed.timeout, 8, "{result:#?}");
            let own = result.connect.retransmitted;
            assert!(own >= 8, "{result:#?}");
            assert_eq!(Some(own), result.connect.machine_retransmitted);
        },
    );
}

#[test]
fn slow_connects_count_as_in_the_kernel() {
    in_own_network("retransmits::slow_connects_count_as_in_the_kernel", || {
        let (full, address) = listener_with_backlog(1);
        let listener = TcpListener::from(full);
        let accepted = thread::spawn(move || {
            // It accepts only after the kernel has dropped SYNs and their retransmits.
            eventually("SYNs are retransmitted", || syn_retransmits() >= 9);
            for stream in listener.incoming().take(10) {
                let stream = stream.unwrap();
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        // A fixed window ignores the backlog.
        let arguments = ["--idle", "10", "--window", "10", "--probe", "off"];
        let arguments = [&arguments[..], &["--connect-timeout", "30s"]].concat();
        let mut load = Running::start(load_command(address, &arguments));
        accepted.join().unwrap();
        load.wait_for_the_first_second();
        kill(pid_of(&load), Signal::SIGINT).unwrap();
        let result = load.finish().result();
        assert_eq!(result.connections.opened, 10, "{result:#?}");
        let own = result.connect.retransmitted;
        assert!(own >= 8, "{result:#?}");
        assert_eq!(Some(own), result.connect.machine_retransmitted);
    });
}

fn pid_of(load: &Running) -> Pid {
    Pid::from_raw(load.process.id().try_into().unwrap())
}

#[test]
fn connections_still_connecting_at_the_end_are_counted() {
    in_own_network(
        "retransmits::connections_still_connecting_at_the_end_are_counted",
        || {
            let (_full, full) = listener_with_backlog(1);
            // A fixed window ignores the backlog.
            let arguments = ["--idle", "10", "--window", "10", "--probe", "off"];
            let arguments = [&arguments[..], &["--connect-timeout", "60s"]].concat();
            let load = Running::start(load_command(full, &arguments));
            eventually("each SYN is retransmitted", || syn_retransmits() >= 8);
            kill(pid_of(&load), Signal::SIGINT).unwrap();
            let result = load.finish().result();
            assert_eq!(result.connections.failed.total(), 0, "{result:#?}");
            let own = result.connect.retransmitted;
            assert!(own >= 8, "{result:#?}");
            assert_eq!(Some(own), result.connect.machine_retransmitted);
        },
    );
}

/// On a busy machine an event may be pending longer than the load can see, so there are three attempts.
#[test]
fn load_stopped_meanwhile_counts_no_retransmits() {
    let counted: Vec<u64> = (0..3)
        .map(|_| retransmits_of_a_stopped_load())
        .take_while(|count| *count > 0)
        .collect();
    assert!(counted.len() < 3, "{counted:?}");
}

fn retransmits_of_a_stopped_load() -> u64 {
    let server = serve(|_| Fate::Answered);
    let arguments = ["--active", "4", "--churn", "reset", "--duration", "6s"];
    let load = Running::start(load_command(server, &arguments));
    let pid = pid_of(&load);
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(200));
        kill(pid, Signal::SIGSTOP).unwrap();
        // Not a wait for a condition: it stops the program under test for this long.
        thread::sleep(Duration::from_millis(1_100));
        kill(pid, Signal::SIGCONT).unwrap();
    }
    let result = load.finish().result();
    assert!(result.connect.time_us.max > 1_000, "{result:#?}");
    result.connect.retransmitted
}
