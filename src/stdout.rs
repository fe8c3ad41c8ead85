//! A queue of bytes in front of standard output, which never blocks the event loop.
//!
//! It takes the function that writes; readiness is reported as [`Source::STDOUT`](crate::net::Source::STDOUT).

use crate::connection::Fifo;
use crate::net::NonBlockingWriter;
use std::io::{self, ErrorKind};

/// A queue of bytes in front of standard output. Its length is the caller's to limit, since the reader may be slow.
#[derive(Debug, Default)]
pub struct StdoutQueue {
    bytes: Fifo<0>,
    writer: NonBlockingWriter,
    is_out_of_memory: bool,
}

impl StdoutQueue {
    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.is_out_of_memory |= self.bytes.push(bytes).is_err();
    }

    /// How many bytes are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether bytes were dropped because there was no memory for them.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.is_out_of_memory
    }

    /// Standard output may accept bytes again.
    pub fn on_writable(&mut self) {
        self.writer.on_writable();
    }

    /// Writes until the queue is empty or standard output accepts no more for now.
    ///
    /// # Errors
    /// As [`NonBlockingWriter::write`], except `WouldBlock`.
    pub fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match self.writer.write(self.bytes.as_slice(), &mut write) {
                Ok(count) => self.bytes.take(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes everything queued, for a writer that may block.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = self.bytes.as_slice().to_vec();
        self.bytes = Fifo::default();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(bytes: &[u8]) -> StdoutQueue {
        let mut queue = StdoutQueue::default();
        queue.push(bytes);
        queue
    }

    #[test]
    fn partial_writes_pass_every_byte_in_order() {
        let mut queue = queue(b"abcdefg");
        let mut written = Vec::new();
        let flushed = queue.flush(|bytes| {
            let count = bytes.len().min(3);
            written.extend_from_slice(&bytes[..count]);
            Ok(count)
        });
        flushed.unwrap();
        assert!(queue.is_empty());
        assert_eq!(written, b"abcdefg");
    }

    #[test]
    fn after_would_block_nothing_is_written_until_the_event() {
        let mut queue = queue(b"abc");
        let mut calls = 0;
        for _ in 0..3 {
            let flushed = queue.flush(|_| {
                calls += 1;
                Err(ErrorKind::WouldBlock.into())
            });
            flushed.unwrap();
        }
        assert_eq!((calls, queue.len()), (1, 3));
        queue.on_writable();
        queue.flush(|bytes| Ok(bytes.len())).unwrap();
        assert!(queue.is_empty());
    }

    #[test]
    fn interrupted_write_is_repeated() {
        let mut queue = queue(b"abc");
        let mut is_interrupted = false;
        let flushed = queue.flush(|bytes| {
            if std::mem::replace(&mut is_interrupted, true) {
                return Ok(bytes.len());
            }
            Err(ErrorKind::Interrupted.into())
        });
        flushed.unwrap();
        assert!(queue.is_empty());
    }

    #[test]
    fn error_or_zero_is_reported_once_and_keeps_the_bytes() {
        let mut queue = queue(b"abc");
        let broken = |_: &[u8]| Err(ErrorKind::BrokenPipe.into());
        let error = queue.flush(broken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        queue.flush(broken).unwrap();
        queue.on_writable();
        let error = queue.flush(|_| Ok(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        assert_eq!(queue.take(), b"abc");
        assert!(queue.is_empty());
    }
}
