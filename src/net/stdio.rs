//! Standard input and output as things that can be ready, like sockets.
//!
//! What they are is the user's choice, and each kind wants its own way:
//!
//! - A pipe or a terminal is shared with other programs, which must not find it non-blocking all at once. So it is
//!   opened anew by its name below `/proc/self/fd`: that description is ours alone.
//! - A socket cannot be opened anew; the calls on it are told not to wait, one by one.
//! - A file or a device such as `/dev/null` is refused by epoll, and is always ready.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::stat::{Mode, SFlag};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// A pipe that says it takes something takes this much without waiting (pipe(7), `PIPE_BUF`).
const PIPE_BUF: usize = 4096;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From standard input.
    In,
    /// To standard output.
    Out,
}

/// How calls are kept from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Always ready.
    File,
    /// Opened anew, and non-blocking.
    Own,
    /// A socket: each call is told not to wait.
    Socket,
    /// Not ours and not to be had anew: asked before each call whether it would wait.
    Shared,
}

/// Standard input or output, without waiting.
#[derive(Debug)]
pub(super) struct StandardStream {
    file: File,
    manner: Manner,
    direction: Direction,
}

impl StandardStream {
    /// Finds out what the stream is, and takes it accordingly.
    pub(super) fn open(direction: Direction) -> io::Result<StandardStream> {
        let original = match direction {
            Direction::In => io::stdin().as_fd().try_clone_to_owned(),
            Direction::Out => io::stdout().as_fd().try_clone_to_owned(),
        }?;
        StandardStream::of(original, direction)
    }

    fn of(original: OwnedFd, direction: Direction) -> io::Result<StandardStream> {
        let file = File::from(original);
        let kind = file.metadata()?.file_type();
        let is_device = kind.is_char_device() && !io::IsTerminal::is_terminal(&file);
        let (file, manner) = if kind.is_socket() {
            (file, Manner::Socket)
        } else if kind.is_file() || kind.is_dir() || kind.is_block_device() || is_device {
            (file, Manner::File)
        } else {
            match open_anew(file.as_raw_fd(), direction) {
                Ok(own) => (File::from(own), Manner::Own),
                Err(_) => (file, Manner::Shared),
            }
        };
        Ok(StandardStream {
            file,
            manner,
            direction,
        })
    }

    /// Whether it is always ready, and no selector takes it.
    pub(super) fn is_always_ready(&self) -> bool {
        self.manner == Manner::File
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Reads without waiting; 0 is the end of input.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.manner {
            Manner::Socket => Ok(recv(self.descriptor(), buffer, MsgFlags::MSG_DONTWAIT)?),
            Manner::Shared if !self.is_ready()? => Err(ErrorKind::WouldBlock.into()),
            _ => self.file.read(buffer),
        };
        match read {
            // The other end of a pseudo-terminal has been closed: the end of input, and nothing went wrong.
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(0),
            read => read,
        }
    }

    /// Writes some of `bytes` without waiting, and says how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.manner {
            Manner::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                Ok(send(self.descriptor(), bytes, flags)?)
            }
            Manner::Shared if !self.is_ready()? => Err(ErrorKind::WouldBlock.into()),
            Manner::Shared => self.file.write(&bytes[..bytes.len().min(PIPE_BUF)]),
            Manner::File | Manner::Own => self.file.write(bytes),
        }
    }

    /// Whether a call would not wait now. An end or an error counts as ready: the call will tell.
    fn is_ready(&self) -> io::Result<bool> {
        let wanted = match self.direction {
            Direction::In => PollFlags::POLLIN,
            Direction::Out => PollFlags::POLLOUT,
        };
        let mut descriptors = [PollFd::new(self.file.as_fd(), wanted)];
        Ok(poll(&mut descriptors, PollTimeout::ZERO)? > 0)
    }
}

/// Whether standard output is `/dev/null`. A program that is started with it closed finds that in its place.
#[must_use]
pub fn stdout_is_null() -> bool {
    let null = std::fs::metadata("/dev/null").map(|null| null.rdev());
    match (nix::sys::stat::fstat(io::stdout()), null) {
        (Ok(stdout), Ok(null)) => {
            let is_device =
                SFlag::from_bits_truncate(stdout.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
            is_device && stdout.st_rdev == null
        }
        _ => false,
    }
}

/// Opens what `descriptor` refers to once more, non-blocking.
fn open_anew(descriptor: RawFd, direction: Direction) -> io::Result<OwnedFd> {
    let access = match direction {
        Direction::In => OFlag::O_RDONLY,
        Direction::Out => OFlag::O_WRONLY,
    };
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let path = format!("/proc/self/fd/{descriptor}");
    Ok(open(path.as_str(), flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn is_non_blocking(file: &impl AsFd) -> bool {
        let flags = nix::fcntl::fcntl(file.as_fd(), nix::fcntl::FcntlArg::F_GETFL).unwrap();
        OFlag::from_bits_truncate(flags).contains(OFlag::O_NONBLOCK)
    }

    fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn a_pipe_is_opened_anew_so_that_others_still_find_it_blocking() {
        let (reader, mut writer) = io::pipe().unwrap();
        let shared = reader.try_clone().unwrap();
        let mut input = StandardStream::of(reader.into(), Direction::In).unwrap();
        assert_eq!(input.manner, Manner::Own);
        assert!(!is_non_blocking(&shared));
        let mut buffer = [0; 16];
        assert!(would_block(input.read(&mut buffer)));
        writer.write_all(b"abc").unwrap();
        assert_eq!(input.read(&mut buffer).unwrap(), 3);
        drop(writer);
        assert_eq!(input.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_full_pipe_blocks_nobody() {
        let (reader, writer) = io::pipe().unwrap();
        let mut output = StandardStream::of(writer.into(), Direction::Out).unwrap();
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
    fn a_socket_is_left_as_it_is_and_does_not_wait() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let shared = ours.try_clone().unwrap();
        let mut input = StandardStream::of(ours.into(), Direction::In).unwrap();
        assert_eq!(input.manner, Manner::Socket);
        let mut buffer = [0; 16];
        assert!(would_block(input.read(&mut buffer)));
        assert!(!is_non_blocking(&shared));
        theirs.write_all(b"abc").unwrap();
        assert_eq!(input.read(&mut buffer).unwrap(), 3);
        let mut output = StandardStream::of(shared.into(), Direction::Out).unwrap();
        assert_eq!(output.write(b"defg").unwrap(), 4);
    }

    #[test]
    fn a_pipe_that_cannot_be_had_anew_is_asked_before_each_call() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut input = StandardStream {
            file: File::from(OwnedFd::from(reader)),
            manner: Manner::Shared,
            direction: Direction::In,
        };
        let mut buffer = [0; 16];
        assert!(would_block(input.read(&mut buffer)));
        writer.write_all(b"abc").unwrap();
        assert_eq!(input.read(&mut buffer).unwrap(), 3);
    }

    #[test]
    fn a_file_and_a_device_are_always_ready() {
        for path in ["/dev/null", "/proc/self/status"] {
            let file = File::open(path).unwrap();
            let mut input = StandardStream::of(file.into(), Direction::In).unwrap();
            assert!(input.is_always_ready(), "{path}");
            let mut buffer = [0; 4];
            let count = input.read(&mut buffer).unwrap();
            assert_eq!(count, if path == "/dev/null" { 0 } else { 4 });
        }
    }
}
