//! Log lines that can neither stop nor end the loop.
//!
//! `simple_logger` writes each line to stderr, waits while stderr does not take it, and panics when that fails. Here
//! it is asked to write only what stderr takes now; the rest is dropped, and counted.

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use simple_logger::SimpleLogger;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The longest message in bytes. Below the 4,096 that a pipe takes in one piece or not at all (pipe(7), `PIPE_BUF`),
/// with room for the time, the level and the target.
const LONGEST_MESSAGE: usize = 3072;

/// A line is being written: a panic now is stderr's, and nobody is to be told of it on stderr.
static WRITING: AtomicBool = AtomicBool::new(false);

/// The logger: `simple_logger`, asked only when stderr would take a line.
struct Guarded {
    inner: SimpleLogger,
    dropped: AtomicU64,
}

/// Starts logging to stderr, with times in UTC. A level of `Off` logs nothing.
///
/// # Errors
/// There is a logger already.
pub fn start(level: LevelFilter) -> Result<(), SetLoggerError> {
    make_stderr_non_blocking();
    hush_panics_of_logging();
    let inner = SimpleLogger::new().with_level(level).with_utc_timestamps();
    // It tells of every descriptor that it registers, by numbers that mean nothing to a reader of this log.
    let inner = inner.with_module_level("mio", LevelFilter::Warn.min(level));
    let dropped = AtomicU64::new(0);
    log::set_boxed_logger(Box::new(Guarded { inner, dropped }))?;
    log::set_max_level(level);
    Ok(())
}

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
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
            if !self.write(&notice) {
                self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
                return;
            }
        }
        if !self.write(record) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

impl Guarded {
    /// Writes a line if stderr takes it; false if it does not.
    fn write(&self, record: &Record<'_>) -> bool {
        if !stderr_takes_a_line() {
            return false;
        }
        let message = cut(record.args().to_string());
        WRITING.store(true, Ordering::Relaxed);
        let written = panic::catch_unwind(AssertUnwindSafe(|| {
            let args = format_args!("{message}");
            let metadata = record.metadata().clone();
            self.inner
                .log(&Record::builder().metadata(metadata).args(args).build());
        }));
        WRITING.store(false, Ordering::Relaxed);
        written.is_ok()
    }
}

/// Writes a line to stderr as it is, for people who watch; false if stderr does not take it now.
#[expect(clippy::must_use_candidate, reason = "nothing need be done about it")]
pub fn say(line: &str) -> bool {
    stderr_takes_a_line() && writeln!(io::stderr(), "{}", cut(line.to_owned())).is_ok()
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

/// Keeps the panic hook quiet about a panic that only means that stderr took no line: `Guarded` catches it.
fn hush_panics_of_logging() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !WRITING.load(Ordering::Relaxed) {
            usual(panic);
        }
    }));
}

fn cut(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let mut ends = (0..=LONGEST_MESSAGE).rev();
        let end = ends.find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or_default());
        message.push_str("...");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = cut("é".repeat(LONGEST_MESSAGE));
        assert!(message.len() <= LONGEST_MESSAGE + 3);
        assert!(message.ends_with("é..."));
        assert_eq!(cut("short".to_owned()), "short");
    }
}
