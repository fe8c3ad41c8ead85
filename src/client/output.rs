//! What is to go to standard output and has not been taken yet.

use crate::connection::Fifo;
use crate::net::Net;
use std::io::{self, ErrorKind};

/// A queue in front of standard output. Whoever fills it heeds its length, since the reader may be slow.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Fifo,
    /// Standard output took nothing when it was last asked, and has not said since that it would.
    is_stuck: bool,
    is_out_of_memory: bool,
}

impl Output {
    /// Puts `bytes` at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.is_out_of_memory |= self.bytes.push(bytes).is_err();
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether something could not be kept: what is printed is not all.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.is_out_of_memory
    }

    /// Standard output says that it may take something.
    pub fn heed_event(&mut self) {
        self.is_stuck = false;
    }

    /// Writes until nothing waits or standard output takes no more.
    ///
    /// # Errors
    /// As write(2): `BrokenPipe` when nobody reads any more.
    pub fn flush(&mut self, net: &mut impl Net) -> io::Result<()> {
        while !self.is_stuck && !self.bytes.is_empty() {
            match net.write_stdout(self.bytes.as_slice()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.bytes.take(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_stuck = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
