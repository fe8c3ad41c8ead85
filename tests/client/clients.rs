//! The program under test as a client: run to its end, or started and watched.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, echoloop, eventually};
use crate::tools::run;

/// A client with these arguments: the first is the subcommand.
pub(crate) fn client(subcommand: &str, server: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = echoloop();
    command
        .args([subcommand, &server.to_string()])
        .args(arguments);
    command
}

/// Runs `send` to its end, with `input` through a pipe.
#[track_caller]
pub(crate) fn send(server: SocketAddr, arguments: &[&str], input: &[u8]) -> Output {
    run(client("send", server, arguments), input)
}

/// Runs `ping` to its end.
#[track_caller]
pub(crate) fn ping(server: SocketAddr, arguments: &[&str]) -> Output {
    run(client("ping", server, arguments), b"")
}

/// It ended well, and printed exactly this.
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

/// It failed with exit code 1, and said why in one line.
#[track_caller]
pub(crate) fn failure_of(ended: &Output) -> String {
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "exit code; stderr: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line, not: {stderr}");
    stderr
}

/// All of these are in the line.
#[track_caller]
pub(crate) fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
}

/// Bytes whose every period of a prime length is the same, so that what is lost or doubled is seen.
pub(crate) const PERIOD: usize = 65_521;

/// The byte at a place of the text that is sent.
pub(crate) fn text(at: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from(at % PERIOD * 31 / 7 % 256).unwrap();
    (at..at + length).map(byte).collect()
}

/// A running `send` whose input is fed by a thread, and whose output is read only when asked.
pub(crate) struct Running {
    pub(crate) child: Child,
    fed: Arc<AtomicUsize>,
    feeder: Option<JoinHandle<()>>,
}

impl Running {
    /// Feeds `total` bytes of the [`text`] as fast as they are taken, and ends the input behind them.
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

    /// How many bytes of input were taken by the time when none had been for a while.
    #[track_caller]
    pub(crate) fn fed_until_stuck(&self) -> usize {
        // Longer than a delayed acknowledgement (200 ms) and than anybody else's turn on this machine.
        let quiet = Duration::from_millis(700);
        let mut last = (self.fed.load(Ordering::Relaxed), Instant::now());
        eventually(PATIENCE, "the input is taken no more", || {
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

    /// Reads the output to its end, which must be this many bytes of the [`text`], and waits for a good exit.
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

    /// The exit code, waited for.
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

    /// What it said on stderr; called after its exit.
    pub(crate) fn stderr(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
