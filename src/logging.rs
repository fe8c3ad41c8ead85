//! Log lines that can neither block nor end the loop: what stderr does not take now is dropped, and counted.
//!
//! `simple_logger` decides what is logged, by level and target. Its own output does not fit a daemon: it writes the text
//! and the newline of a line in two calls, so that programs on one pipe tear each other's lines apart, blocks while stderr
//! is full, and panics when it is closed; and it gives its text to nothing but stderr. So a line is formatted here, in the
//! same form, and written by one write(2).

use crate::load::WallTime;
use crate::net;
use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simple_logger::SimpleLogger;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest line in bytes, with its newline: what a pipe takes whole or not at all (pipe(7), 4,096 on Linux).
const LONGEST_LINE: usize = libc::PIPE_BUF;

/// The end of a line that was cut.
const CUT: &str = "...";

/// The logger: lines that `simple_logger` lets through, written only when stderr would take them.
struct Guarded {
    filter: SimpleLogger,
    dropped: AtomicU64,
}

/// Starts logging to stderr, with times in UTC. A level of `Off` logs nothing.
///
/// # Errors
/// There is a logger already.
pub fn start(level: LevelFilter) -> Result<(), SetLoggerError> {
    make_stderr_non_blocking();
    let filter = SimpleLogger::new().with_level(level);
    // mio logs every file descriptor that it registers, by numbers that mean nothing to a reader of this log.
    let filter = filter.with_module_level("mio", LevelFilter::Warn.min(level));
    let dropped = AtomicU64::new(0);
    log::set_boxed_logger(Box::new(Guarded { filter, dropped }))?;
    log::set_max_level(level);
    Ok(())
}

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if !stderr_takes_a_line() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let message = format_args!("{dropped} log lines dropped: stderr did not take them");
            let notice = Record::builder()
                .args(message)
                .level(log::Level::Warn)
                .target(record.target())
                .build();
            if !write(&notice) {
                self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
                return;
            }
            if !stderr_takes_a_line() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        if !write(record) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Most lines are no longer than this many bytes, so that they are formatted without growing.
const USUAL_LINE: usize = 256;

/// Writes a record to stderr, which takes a line; false if it does not after all.
fn write(record: &Record<'_>) -> bool {
    let time = WallTime(net::time_of_day());
    let (level, target) = (record.level(), record.target());
    let mut line = String::with_capacity(USUAL_LINE);
    let formatted = write!(line, "{time} {level:<5} [{target}] {}", record.args());
    formatted.is_ok() && write_once(&with_newline(line))
}

/// Writes a line to stderr as it is, for people who watch; false if stderr does not take it now.
#[expect(clippy::must_use_candidate, reason = "nothing need be done about it")]
pub fn say(line: &str) -> bool {
    stderr_takes_a_line() && write_once(&with_newline(line.to_owned()))
}

/// Writes a line by one write(2); false if stderr does not take all of it.
fn write_once(line: &str) -> bool {
    loop {
        match io::stderr().write(line.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.is_ok_and(|written| written == line.len()),
        }
    }
}

/// Whether stderr can be written to now, without waiting and without an error.
fn stderr_takes_a_line() -> bool {
    let stderr = io::stderr();
    let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let Ok(1) = poll(&mut descriptors, PollTimeout::ZERO) else {
        return false;
    };
    // A closed reader shows as POLLERR, a closed descriptor as POLLNVAL.
    descriptors[0].revents() == Some(PollFlags::POLLOUT)
}

/// Opens stderr anew, without blocking, where that concerns nobody else.
///
/// A terminal or a pipe may have room for a part of a line only, and a blocking write would wait for the rest. To set
/// `O_NONBLOCK` on stderr itself would set it for all programs that share it; a description of our own is ours.
fn make_stderr_non_blocking() {
    if let Ok(own) = reopen_stderr() {
        let _ = nix::unistd::dup2_stderr(own);
    }
}

fn reopen_stderr() -> io::Result<File> {
    const STDERR: &str = "/proc/self/fd/2";
    let kind = std::fs::metadata(STDERR)?.file_type();
    if !kind.is_fifo() && !io::stderr().is_terminal() {
        // A file never blocks, and opened anew it would be written from its beginning; a socket cannot be opened.
        return Err(io::ErrorKind::Unsupported.into());
    }
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(STDERR)
}

/// Ends a line, and cuts it first where it would be longer than [`LONGEST_LINE`].
fn with_newline(mut line: String) -> String {
    let longest = LONGEST_LINE - 1;
    if line.len() > longest {
        let mut ends = (0..=longest - CUT.len()).rev();
        let end = ends.find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or_default());
        line.push_str(CUT);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters_to_what_a_pipe_takes_whole() {
        for text in ["é".repeat(LONGEST_LINE), "x".repeat(LONGEST_LINE)] {
            let line = with_newline(text);
            assert!((LONGEST_LINE - 1..=LONGEST_LINE).contains(&line.len()));
            assert!(line.ends_with("...\n"));
        }
        let longest = "x".repeat(LONGEST_LINE - 1);
        assert_eq!(with_newline(longest.clone()), longest + "\n");
    }
}
