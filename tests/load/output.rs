//! Lines appear on stdout in time, and a stdout without a reader never blocks the load.

use crate::run::{Running, echoloop};
use echoloop::load::LoadResult;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// The timeout of a condition; only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The smallest capacity of a pipe (pipe(7)).
pub(crate) const SMALLEST: usize = 4096;

/// A pipe of the smallest capacity.
pub(crate) fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    make_small(&writer);
    (reader, writer)
}

/// Reduces a pipe to the smallest capacity.
pub(crate) fn make_small(pipe: &impl AsFd) {
    let size = fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(1)).unwrap();
    assert_eq!(usize::try_from(size).unwrap(), SMALLEST);
}

/// Fills an empty pipe completely.
fn fill(pipe: &mut PipeWriter) -> usize {
    let flags = OFlag::from_bits_truncate(fcntl(pipe.as_fd(), FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
    pipe.write(&[b'x'; SMALLEST]).unwrap()
}

/// The lines of stderr as they are written.
pub(crate) fn lines_of(load: &mut Running) -> Receiver<String> {
    let (sender, receiver) = channel();
    let lines = load.lines();
    thread::spawn(move || {
        for line in lines {
            // The receiver is gone if the test has ended.
            let _ = sender.send(line.unwrap());
        }
    });
    receiver
}

#[test]
fn unread_stdout_blocks_neither_the_loop_nor_the_schedule() {
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
    let progress = lines_of(&mut load);
    // Stdout is not read before stderr reports the end of the measured part.
    for second in 1..=3 {
        let line = progress.recv_timeout(TIMEOUT);
        let line = line.unwrap_or_else(|_| panic!("the loop is blocked in second {second}"));
        assert!(line.contains(" held "), "{line}");
    }
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(load.process.wait().unwrap().success());
    let lines: Vec<&str> = text[filled..].lines().collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for (line, kind) in lines
        .iter()
        .zip(["start", "interval", "interval", "interval", "end"])
    {
        assert!(line.contains(&format!("\"type\":\"{kind}\"")), "{line}");
    }
    let result: LoadResult = serde_json::from_str(lines[4]).unwrap();
    assert_eq!(result.echo.due, 300, "{result:#?}");
    assert_eq!(result.echo.response_time_us.count, 300, "{result:#?}");
    assert_eq!(result.echo.unanswered, 0, "{result:#?}");
    assert!((2.999..3.001).contains(&result.seconds), "{result:#?}");
    let asked: Vec<u64> = result.intervals.iter().map(|second| second.asked).collect();
    assert_eq!(asked, [100, 100, 100]);
}
