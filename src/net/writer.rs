//! A non-blocking writer beside the connections.

use std::io::{self, ErrorKind};

/// Writes without blocking, and only while the output may accept bytes: for standard output and the like.
#[derive(Debug, Default)]
pub struct NonBlockingWriter {
    /// The last write failed, and no event has come since.
    is_blocked: bool,
}

impl NonBlockingWriter {
    /// Whether the next [`write`](NonBlockingWriter::write) fails without a call, as it does until the event that reports
    /// output space, such as [`Source::STDOUT`](crate::net::Source::STDOUT).
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// The output may accept bytes again.
    pub fn on_writable(&mut self) {
        self.is_blocked = false;
    }

    /// Writes some of `bytes`, which are not empty; returns how many.
    ///
    /// # Errors
    /// As write(2): `WouldBlock` until the next event, `BrokenPipe` when the reader has closed. An interrupted call is
    /// repeated; `WriteZero` if the call accepts nothing without an error.
    pub fn write(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        while !self.is_blocked {
            match write(bytes) {
                Ok(count) if count > 0 => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    self.is_blocked = true;
                    return result.and(Err(ErrorKind::WriteZero.into()));
                }
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }
}
