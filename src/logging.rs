//! Log lines that neither block nor stop the loop: a line that stderr does not accept now is dropped and counted.
//!
//! `simple_logger` selects records by level and target. Its own output does not fit a daemon: it writes text and
//! newline in two calls, so that lines of programs on one pipe interleave; it blocks while stderr is full; it panics
//! when stderr is closed. So this module formats the line, in the same form, and writes it with one write(2).

use crate::load::WallTime;
use crate::net;
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simple_logger::SimpleLogger;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest line in bytes, with its newline: a pipe accepts that much atomically (pipe(7), 4,096 on Linux).
const LONGEST_LINE: usize = libc::PIPE_BUF;

/// The end of a truncated line.
const TRUNCATED: &str = "...";

/// The logger: writes the records that `simple_logger` selects, if stderr accepts them without blocking.
struct NonBlockingLogger {
    filter: SimpleLogger,
    dropped: AtomicU64,
}

/// Starts logging to stderr, with times in UTC.
///
/// # Errors
/// A logger is installed already.
pub fn start(level: LevelFilter) -> Result<(), SetLoggerError> {
    make_stderr_non_blocking();
    let filter = SimpleLogger::new().with_level(level);
    // mio logs every file descriptor that it registers; the numbers appear nowhere else in this log.
    let filter = filter.with_module_level("mio", LevelFilter::Warn.min(level));
    let dropped = AtomicU64::new(0);
    log::set_boxed_logger(Box::new(NonBlockingLogger { filter, dropped }))?;
    log::set_max_level(level);
    Ok(())
}

impl Log for NonBlockingLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut dropped = self.dropped.swap(0, Ordering::Relaxed);
        let target = record.target();
        if dropped > 0 {
            let notice = format_args!("{dropped} log lines dropped: stderr did not accept them");
            if write(Level::Warn, target, notice) {
                dropped = 0;
            }
        }
        if dropped > 0 || !write(record.level(), target, *record.args()) {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Enough for most lines, so that formatting does not reallocate.
const USUAL_LINE: usize = 256;

/// Writes a log line to stderr; false if stderr does not accept it.
fn write(level: Level, target: &str, message: fmt::Arguments<'_>) -> bool {
    if !stderr_accepts_a_line() {
        return false;
    }
    let time = WallTime(net::time_of_day());
    let mut line = String::with_capacity(USUAL_LINE);
    let formatted = write!(line, "{time} {level:<5} [{target}] {message}");
    formatted.is_ok() && write_once(&with_newline(line))
}

/// Writes a line of progress to stderr, without time and level; false if stderr does not accept it now.
#[expect(
    clippy::must_use_candidate,
    reason = "a lost progress line needs no action"
)]
pub fn print_line(line: &str) -> bool {
    stderr_accepts_a_line() && write_once(&with_newline(line.to_owned()))
}

/// Writes a line by one write(2); false if stderr does not accept all of it.
fn write_once(line: &str) -> bool {
    loop {
        match io::stderr().write(line.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.is_ok_and(|written| written == line.len()),
        }
    }
}

/// Whether stderr is writable now, without an error.
fn stderr_accepts_a_line() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let Ok(1) = poll(&mut fds, PollTimeout::ZERO) else {
        return false;
    };
    // A closed reader shows as POLLERR, a closed file descriptor as POLLNVAL.
    fds[0].revents() == Some(PollFlags::POLLOUT)
}

/// Reopens a terminal or pipe as a non-blocking stderr.
///
/// It may have space for a part of a line only, and a blocking write would wait for the rest. `O_NONBLOCK` on stderr
/// itself would apply to all programs that share the open file description, so this process gets its own.
fn make_stderr_non_blocking() {
    if let Ok(own) = reopen_stderr() {
        let _ = nix::unistd::dup2_stderr(own);
    }
}

fn reopen_stderr() -> io::Result<File> {
    const STDERR: &str = "/proc/self/fd/2";
    let kind = std::fs::metadata(STDERR)?.file_type();
    if !kind.is_fifo() && !io::stderr().is_terminal() {
        // A file never blocks, and reopening it would start at offset 0; a socket cannot be reopened.
        return Err(io::ErrorKind::Unsupported.into());
    }
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(STDERR)
}

/// Appends a newline, after truncating the line to [`LONGEST_LINE`].
fn with_newline(mut line: String) -> String {
    let longest = LONGEST_LINE - 1;
    if line.len() > longest {
        let mut ends = (0..=longest - TRUNCATED.len()).rev();
        let end = ends.find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or_default());
        line.push_str(TRUNCATED);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_truncated_at_a_character_to_pipe_buf() {
        for text in ["é".repeat(LONGEST_LINE), "x".repeat(LONGEST_LINE)] {
            let line = with_newline(text);
            assert!((LONGEST_LINE - 1..=LONGEST_LINE).contains(&line.len()));
            assert!(line.ends_with("...\n"));
        }
        let longest = "x".repeat(LONGEST_LINE - 1);
        assert_eq!(with_newline(longest.clone()), longest + "\n");
    }
}
