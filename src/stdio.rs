//! Standard input and output as non-blocking event sources.
//!
//! They may be of any type, and each type needs its own method:
//!
//! - A pipe or a terminal is shared with other programs, which rely on it being blocking. It is reopened through
//!   `/proc/self/fd`, which creates a file description for this process alone.
//! - A socket cannot be reopened; each call has the flag `MSG_DONTWAIT`.
//! - A file or a device such as `/dev/null` is always ready.
//!
//! Readiness is reported as [`Source::STDIN`] and [`Source::STDOUT`].

use crate::net::{MioNet, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// A writable pipe accepts this many bytes without blocking (pipe(7), `PIPE_BUF`).
const PIPE_BUF: usize = 4096;

/// The direction of a standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// Standard input.
    In,
    /// Standard output.
    Out,
}

/// How calls are kept from blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// A file or device: calls do not block.
    File,
    /// Reopened as non-blocking.
    Reopened,
    /// A socket: each call has `MSG_DONTWAIT`.
    Socket,
    /// Cannot be reopened: poll(2) before each call.
    Polled,
}

/// Standard input or output, non-blocking.
#[derive(Debug)]
pub struct StandardStream {
    file: File,
    method: Method,
}

impl StandardStream {
    /// Opens standard input, whose readiness `net` reports from now on. It takes one file descriptor.
    ///
    /// # Errors
    /// Standard input cannot be inspected, or not be registered with the selector.
    pub fn stdin(net: &mut MioNet) -> io::Result<StandardStream> {
        let original = io::stdin().as_fd().try_clone_to_owned()?;
        let stream = StandardStream::from_fd(original, Direction::In)?;
        net.watch_fd(&stream.file, Source::STDIN, false)?;
        Ok(stream)
    }

    /// Opens standard output, as [`stdin`](StandardStream::stdin) does for input.
    ///
    /// # Errors
    /// As for [`stdin`](StandardStream::stdin).
    pub fn stdout(net: &mut MioNet) -> io::Result<StandardStream> {
        let original = io::stdout().as_fd().try_clone_to_owned()?;
        let stream = StandardStream::from_fd(original, Direction::Out)?;
        net.watch_fd(&stream.file, Source::STDOUT, true)?;
        Ok(stream)
    }

    /// Opens the stream by the method for its type.
    fn from_fd(original: OwnedFd, direction: Direction) -> io::Result<StandardStream> {
        let mut file = File::from(original);
        let kind = file.metadata()?.file_type();
        let is_device = kind.is_char_device() && !io::IsTerminal::is_terminal(&file);
        let method = if kind.is_socket() {
            Method::Socket
        } else if kind.is_file() || kind.is_dir() || kind.is_block_device() || is_device {
            Method::File
        } else if let Ok(reopened) = reopen(&file, direction) {
            file = reopened.into();
            Method::Reopened
        } else {
            Method::Polled
        };
        Ok(StandardStream { file, method })
    }

    /// Whether a call would not block now. True at end of file and after an error, which the call then returns.
    fn is_ready(&self, events: PollFlags) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.file, events)];
        Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
    }
}

impl Read for StandardStream {
    /// Reads without blocking; 0 is end of file.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.method {
            Method::Socket => Ok(recv(&self.file, buffer, RecvFlags::DONTWAIT)?.0),
            Method::Polled if !self.is_ready(PollFlags::IN)? => Err(ErrorKind::WouldBlock.into()),
            _ => self.file.read(buffer),
        };
        match read {
            // The other end of a pseudo-terminal was closed: end of file, not an error.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => Ok(0),
            read => read,
        }
    }
}

impl Write for StandardStream {
    /// Writes some of `bytes` without blocking, and returns the number of bytes written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.method {
            Method::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                Ok(send(&self.file, bytes, flags)?)
            }
            Method::Polled if !self.is_ready(PollFlags::OUT)? => Err(ErrorKind::WouldBlock.into()),
            Method::Polled => self.file.write(&bytes[..bytes.len().min(PIPE_BUF)]),
            Method::File | Method::Reopened => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard output is `/dev/null`, as it is in a program that was started with standard output closed.
#[must_use]
pub fn stdout_is_null() -> bool {
    let (Ok(stdout), Ok(null)) = (fstat(io::stdout()), std::fs::metadata("/dev/null")) else {
        return false;
    };
    FileType::from_raw_mode(stdout.st_mode).is_char_device() && stdout.st_rdev == null.rdev()
}

/// Opens the file of `file` a second time, as non-blocking.
fn reopen(file: &File, direction: Direction) -> io::Result<OwnedFd> {
    let access = match direction {
        Direction::In => OFlags::RDONLY,
        Direction::Out => OFlags::WRONLY,
    };
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn is_non_blocking(file: &impl AsFd) -> bool {
        rustix::fs::fcntl_getfl(file)
            .unwrap()
            .contains(OFlags::NONBLOCK)
    }

    fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn pipe_is_reopened_and_the_original_stays_blocking() {
        let (reader, mut writer) = io::pipe().unwrap();
        let shared = reader.try_clone().unwrap();
        let mut input = StandardStream::from_fd(reader.into(), Direction::In).unwrap();
        assert_eq!(input.method, Method::Reopened);
        assert!(!is_non_blocking(&shared));
        let mut buffer = [0; 16];
        assert!(would_block(input.read(&mut buffer)));
        writer.write_all(b"abc").unwrap();
        assert_eq!(input.read(&mut buffer).unwrap(), 3);
        drop(writer);
        assert_eq!(input.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn full_pipe_gives_would_block() {
        let (reader, writer) = io::pipe().unwrap();
        let mut output = StandardStream::from_fd(writer.into(), Direction::Out).unwrap();
        let mut written = 0;
        loop {
            match output.write(&[b'x'; 10_000]) {
                Ok(count) => written += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        assert!(written >= PIPE_BUF);
        drop(reader);
        let error = output.write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn socket_stays_blocking_and_calls_on_it_do_not_block() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let shared = ours.try_clone().unwrap();
        let mut input = StandardStream::from_fd(ours.into(), Direction::In).unwrap();
        assert_eq!(input.method, Method::Socket);
        let mut buffer = [0; 16];
        assert!(would_block(input.read(&mut buffer)));
        assert!(!is_non_blocking(&shared));
        theirs.write_all(b"abc").unwrap();
        assert_eq!(input.read(&mut buffer).unwrap(), 3);
        let mut output = StandardStream::from_fd(shared.into(), Direction::Out).unwrap();
        assert_eq!(output.write(b"defg").unwrap(), 4);
    }

    #[test]
    fn pipe_that_cannot_be_reopened_is_polled_before_reading() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut input = StandardStream {
            file: File::from(OwnedFd::from(reader)),
            method: Method::Polled,
        };
        let mut buffer = [0; 16];
        assert!(would_block(input.read(&mut buffer)));
        writer.write_all(b"abc").unwrap();
        assert_eq!(input.read(&mut buffer).unwrap(), 3);
    }

    #[test]
    fn file_and_device_are_read_directly() {
        for path in ["/dev/null", "/proc/self/status"] {
            let file = File::open(path).unwrap();
            let mut input = StandardStream::from_fd(file.into(), Direction::In).unwrap();
            assert_eq!(input.method, Method::File, "{path}");
            let mut buffer = [0; 4];
            let count = input.read(&mut buffer).unwrap();
            assert_eq!(count, if path == "/dev/null" { 0 } else { 4 });
        }
    }
}
