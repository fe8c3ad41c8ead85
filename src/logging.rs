//! Log lines that neither block nor stop the loop: a line that stderr does not accept now is dropped and counted.
//!
//! `simple_logger` selects records by level and target. Its own output does not fit a daemon: it writes text and
//! newline in two calls, so that lines of programs on one pipe interleave; it blocks while stderr is full; it panics
//! when stderr is closed. So this module formats the line, in the same form, and writes it with one write(2).

mod block;
mod format;

pub use format::Format;

use format::with_newline;
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simple_logger::SimpleLogger;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};

/// The logger: writes the records that `simple_logger` selects, if stderr accepts them without blocking.
struct NonBlockingLogger {
    filter: SimpleLogger,
    format: Format,
    /// Lines that were dropped since the last notice.
    dropped: AtomicU64,
}

/// All lines that were dropped.
static DROPPED_IN_ALL: AtomicU64 = AtomicU64::new(0);

/// The number of lines that were dropped since the start.
#[must_use]
pub fn dropped_lines() -> u64 {
    DROPPED_IN_ALL.load(Ordering::Relaxed)
}

/// Starts logging to stderr, with times in UTC.
///
/// # Errors
/// A logger is installed already.
pub fn start(level: LevelFilter, format: Format) -> Result<(), SetLoggerError> {
    make_stderr_non_blocking();
    let filter = SimpleLogger::new().with_level(level);
    // mio logs every file descriptor that it registers; the numbers appear nowhere else in this log.
    let filter = filter.with_module_level("mio", LevelFilter::Warn.min(level));
    let dropped = AtomicU64::new(0);
    log::set_boxed_logger(Box::new(NonBlockingLogger {
        filter,
        format,
        dropped,
    }))?;
    log::set_max_level(level);
    Ok(())
}

impl NonBlockingLogger {
    /// Writes a log line to stderr; false if stderr does not accept it.
    fn write(&self, level: Level, message: fmt::Arguments<'_>) -> bool {
        stderr_accepts_a_line() && write_line(&self.format.line(level, message))
    }
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
        if dropped > 0 {
            let notice = format_args!("{dropped} log lines dropped: stderr did not accept them");
            if self.write(Level::Warn, notice) {
                dropped = 0;
            }
        }
        if dropped > 0 || !self.write(record.level(), *record.args()) {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
            DROPPED_IN_ALL.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Writes a line of progress to stderr, without time and level; false if stderr does not accept it now.
#[expect(
    clippy::must_use_candidate,
    reason = "a lost progress line needs no action"
)]
pub fn print_line(line: &str) -> bool {
    stderr_accepts_a_line() && write_line(&with_newline(line.to_owned()))
}

/// Writes all of a text to stderr, and waits while stderr does not accept more.
///
/// # Errors
/// stderr cannot be written.
pub fn print_text(text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match io::stderr().write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let stderr = io::stderr();
                let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::NONE)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes a line above the [block](set_block), if there is one.
fn write_line(line: &str) -> bool {
    if block::is_drawn() {
        write_once(&block::above(line, stderr_width()))
    } else {
        write_once(line)
    }
}

/// Replaces the block of lines at the end of the terminal. Each line that is written appears above it. If stderr, which
/// must be a terminal, does not accept it now, the old block remains; no lines erase it in any case.
pub fn set_block(lines: Vec<String>) {
    if lines.is_empty() || stderr_accepts_a_line() {
        write_once(&block::replace(lines, stderr_width()));
    }
}

/// The width of the terminal in columns, if stderr is one.
#[must_use]
pub fn stderr_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
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
