//! Runs the program under test as a client, to its end or in the background.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, echoloop, eventually};
use crate::machine::{peak_resident_bytes, status_number};
use crate::tools::run;

/// The command of a client that connects to `server`.
pub(crate) fn client(subcommand: &str, server: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = echoloop();
    command
        .args([subcommand, &server.to_string()])
        .args(arguments);
    command
}

/// Runs `send` to its end, with `input` from a pipe.
#[track_caller]
pub(crate) fn send(server: SocketAddr, arguments: &[&str], input: &[u8]) -> Output {
    run(client("send", server, arguments), input)
}

/// Runs `ping` to its end.
#[track_caller]
pub(crate) fn ping(server: SocketAddr, arguments: &[&str]) -> Output {
    run(client("ping", server, arguments), b"")
}

/// Asserts exit code 0, an empty stderr, and exactly this output.
#[track_caller]
pub(crate) fn assert_printed(ended: &Output, expected: &[u8]) {
    let stderr = ended.stderr.escape_ascii();
    assert_eq!(ended.status.code(), Some(0), "exit code; stderr: {stderr}");
    assert!(ended.stderr.is_empty(), "on stderr: {stderr}");
    let (printed, length) = (&ended.stdout, ended.stdout.len());
    let shown = printed[..length.min(80)].escape_ascii();
    assert!(
        printed == expected,
        "{length} bytes printed, `{shown}..`, of {} expected",
        expected.len()
    );
}

/// Asserts exit code 1 and one line on stderr, which it returns.
#[track_caller]
pub(crate) fn failure_of(ended: &Output) -> String {
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "exit code; stderr: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line, not: {stderr}");
    stderr
}

/// Asserts that the line contains all parts.
#[track_caller]
pub(crate) fn assert_contains(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
}

/// The period of [`text`]: a prime, so that lost or duplicated blocks are detected.
pub(crate) const PERIOD: usize = 65_521;

/// The bytes of the periodic test data from `at` on.
pub(crate) fn text(at: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from(at % PERIOD * 31 / 7 % 256).unwrap();
    (at..at + length).map(byte).collect()
}

/// Peak resident memory of a process in bytes, without the pages of files that are resident now: of a build with debug
/// information these are over 11 MB, and more with each build.
pub(crate) fn peak_anonymous_bytes(pid: u32) -> usize {
    peak_resident_bytes(pid).saturating_sub(status_number(pid, "RssFile") * 1024)
}

/// A running `send`: a thread writes its input, and the test reads its output.
pub(crate) struct Running {
    pub(crate) child: Child,
    fed: Arc<AtomicUsize>,
    feeder: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts it and a thread that writes `total` bytes of [`text`] as fast as they are read, then closes the input.
    pub(crate) fn start(mut command: Command, total: usize) -> Running {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let fed = Arc::new(AtomicUsize::new(0));
        let feeder = thread::spawn({
            let fed = Arc::clone(&fed);
            move || {
                let period = text(0, PERIOD);
                while fed.load(Ordering::Relaxed) < total {
                    let at = fed.load(Ordering::Relaxed);
                    let piece = &period[at % PERIOD..];
                    match stdin.write(&piece[..piece.len().min(total - at)]) {
                        Ok(count) => fed.fetch_add(count, Ordering::Relaxed),
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => return,
                        Err(error) => panic!("feeding: {error}"),
                    };
                }
            }
        });
        Running {
            child,
            fed,
            feeder: Some(feeder),
        }
    }

    /// Waits until no input has been read for a while; returns how many bytes were read.
    #[track_caller]
    pub(crate) fn fed_until_stuck(&self) -> usize {
        // Longer than a delayed acknowledgement (200 ms) and a scheduling delay.
        let quiet = Duration::from_millis(700);
        let mut last = (self.fed.load(Ordering::Relaxed), Instant::now());
        eventually(PATIENCE, "the input is no longer read", || {
            let fed = self.fed.load(Ordering::Relaxed);
            if fed != last.0 {
                last = (fed, Instant::now());
            }
            last.1.elapsed() >= quiet
        });
        last.0
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asserts that the output is this many bytes of [`text`] and the exit code 0.
    #[track_caller]
    pub(crate) fn assert_prints_text(&mut self, total: usize) {
        let period = text(0, PERIOD).repeat(2);
        let mut stdout = self.child.stdout.take().unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let mut printed = 0;
        loop {
            let count = stdout.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            let at = printed % PERIOD;
            let right = buffer[..count.min(PERIOD)] == period[at..at + count.min(PERIOD)];
            assert!(right, "wrong bytes within {count} after {printed}");
            printed += count;
        }
        assert_eq!(printed, total, "bytes printed");
        assert_eq!(self.wait_exit(), Some(0));
    }

    /// Waits for the exit code.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> Option<i32> {
        let mut status = None;
        eventually(PATIENCE, "the client exits", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if let Some(feeder) = self.feeder.take() {
            feeder.join().unwrap();
        }
        status.unwrap().code()
    }

    /// Its stderr; called after its exit.
    pub(crate) fn stderr(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
