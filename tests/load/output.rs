//! When what is said comes out, and what a standard output that nobody reads does to a load: nothing.

use crate::run::{Running, echoloop};
use echoloop::load::LoadResult;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a test waits for what must happen; only a test that is failing waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The smallest pipe that there is (pipe(7)).
pub(crate) const SMALLEST: usize = 4096;

/// A pipe that holds as little as a pipe can.
pub(crate) fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    make_small(&writer);
    (reader, writer)
}

/// From here on this pipe holds as little as a pipe can.
pub(crate) fn make_small(pipe: &impl AsFd) {
    let size = fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(1)).unwrap();
    assert_eq!(usize::try_from(size).unwrap(), SMALLEST);
}

/// Fills a pipe, which must be empty, to its last byte.
fn fill(pipe: &mut PipeWriter) -> usize {
    let flags = OFlag::from_bits_truncate(fcntl(pipe.as_fd(), FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
    pipe.write(&[b'x'; SMALLEST]).unwrap()
}

/// The lines that a load says on stderr, as they come.
pub(crate) fn lines_of(load: &mut Running) -> Receiver<String> {
    let (sender, receiver) = channel();
    let lines = load.lines();
    thread::spawn(move || {
        for line in lines {
            // The test may have ended.
            let _ = sender.send(line.unwrap());
        }
    });
    receiver
}

#[test]
fn a_stdout_that_nobody_reads_stops_neither_the_loop_nor_the_clock() {
    let (mut reader, mut writer) = small_pipe();
    let filled = fill(&mut writer);
    let mut command = echoloop(&[
        "load",
        "--active",
        "2",
        "--rate",
        "100",
        "--duration",
        "3s",
        "--warmup",
        "0",
        "-o",
        "jsonl",
    ]);
    command.stdout(Stdio::from(writer));
    let mut load = Running::start(command);
    let lines = lines_of(&mut load);
    // Not a byte of stdout is taken before the measured part is over, which is told on stderr.
    for second in 1..=3 {
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("the loop stands still in second {second}"));
        assert!(line.contains(" held "), "{line}");
    }
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(load.process.wait().unwrap().success());
    let said: Vec<&str> = text[filled..].lines().collect();
    assert_eq!(said.len(), 5, "{said:#?}");
    for (line, kind) in said
        .iter()
        .zip(["start", "interval", "interval", "interval", "end"])
    {
        assert!(line.contains(&format!("\"type\":\"{kind}\"")), "{line}");
    }
    let result: LoadResult = serde_json::from_str(said[4]).unwrap();
    assert_eq!(result.echo.sent, 300, "{result:#?}");
    assert_eq!(result.echo.received, 300, "{result:#?}");
    assert!((2.999..3.001).contains(&result.seconds), "{result:#?}");
    let asked: Vec<u64> = result.intervals.iter().map(|second| second.asked).collect();
    // A second's first message may go in the last moment of the one before, or a busy machine be late for some.
    let went_in_its_second = |count: &u64| (50..=150).contains(count);
    assert!(asked.iter().all(went_in_its_second), "{asked:?}");
}
