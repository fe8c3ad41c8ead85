//! Whatever becomes of standard output: closed early, full, or slow.

use std::fs::OpenOptions;
use std::io::Read;
use std::process::Stdio;

use crate::clients::{Running, assert_says, client, failure_of};
use crate::harness::Daemon;
use crate::machine::peak_resident_bytes;

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let daemon = Daemon::start(&[]);
    let command = client("send", daemon.address(), &[]);
    // Without end: it is the reader who has had enough.
    let mut running = Running::start(command, usize::MAX);
    let mut stdout = running.child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 5]).unwrap();
    drop(stdout);
    assert_eq!(running.wait_exit(), Some(0));
    assert_eq!(running.stderr(), "");
}

#[test]
fn a_full_device_is_told_in_one_line() {
    let daemon = Daemon::start(&[]);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = client("send", daemon.address(), &["-m", "hello"]);
    let ended = command.stdout(full).stderr(Stdio::piped()).output();
    let line = failure_of(&ended.unwrap());
    assert_says(&line, &["standard output", "No space left on device"]);
}

#[test]
fn the_client_holds_little_while_nobody_reads_its_output_and_loses_nothing() {
    const TOTAL: usize = 100_000_000;
    // What the kernel may hold on the way: buffers of two sockets each way, and two pipes.
    const ON_THE_WAY: usize = 40_000_000;
    let daemon = Daemon::start(&[]);
    // The time to be silent is over many times before anybody reads: it is not the server who is silent.
    let command = client("send", daemon.address(), &["--timeout", "100ms"]);
    let mut running = Running::start(command, TOTAL);
    let fed = running.fed_until_stuck();
    assert!(fed < ON_THE_WAY, "{fed} bytes of input taken");
    let held = peak_resident_bytes(running.pid());
    assert!(held < 16_000_000, "{held} bytes held");
    running.assert_prints_text(TOTAL);
}
