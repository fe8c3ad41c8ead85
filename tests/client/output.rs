//! Standard output that is closed early, full or slow.

use std::fs::OpenOptions;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::clients::{Running, assert_contains, client, failure_of, peak_anonymous_bytes};
use crate::harness::{Daemon, PATIENCE, eventually};

#[test]
fn closed_reader_ends_send_without_an_error() {
    let daemon = Daemon::start(&[]);
    let command = client("send", daemon.address(), &[]);
    // The input does not end; the reader closes.
    let mut running = Running::start(command, usize::MAX);
    let mut stdout = running.child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 5]).unwrap();
    drop(stdout);
    assert_eq!(running.wait_exit(), Some(0));
    assert_eq!(running.stderr(), "");
}

#[test]
fn full_device_is_reported_in_one_line() {
    let daemon = Daemon::start(&[]);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = client("send", daemon.address(), &["-m", "hello"]);
    let ended = command.stdout(full).stderr(Stdio::piped()).output();
    let line = failure_of(&ended.unwrap());
    assert_contains(&line, &["standard output", "No space left on device"]);
}

#[test]
fn slow_reader_bounds_memory_and_loses_nothing() {
    const TOTAL: usize = 100_000_000;
    // At most in the kernel: buffers of two sockets in each direction, and two pipes.
    const IN_KERNEL: usize = 40_000_000;
    let daemon = Daemon::start(&[]);
    let timeout = Duration::from_secs(2);
    let command = client("send", daemon.address(), &["--timeout", "2s"]);
    let mut running = Running::start(command, TOTAL);
    let fed = running.fed_until_stuck();
    assert!(fed < IN_KERNEL, "{fed} bytes of input read");
    let held = peak_anonymous_bytes(running.pid());
    assert!(held < 4_000_000, "{held} bytes held");
    // The timeout applies to the server only.
    let stuck = Instant::now();
    eventually(
        PATIENCE,
        "two timeouts pass before the output is read",
        || stuck.elapsed() > 2 * timeout,
    );
    running.assert_prints_text(TOTAL);
}
