//! The outbox: the output of one call of a session.
//!
//! The output for one read is sent with one write. The first piece is borrowed from the input, so raw echo copies
//! nothing. With a second piece, all are copied to a write buffer that the connections of an event loop share.

use super::frame::write_length;
use std::ops::Range;

/// The maximum number of messages that a session processes in one call: then the outbox counts as full, even with
/// little output. This bounds the time of a call.
pub(crate) const MESSAGES_PER_CALL: usize = 512;

/// Why a session closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The conversation is complete.
    Done,
    /// The peer has ended its output by a message of the protocol, as FIN does.
    PeerClosed,
    /// A message exceeds its maximum length.
    TooLong,
    /// The input violates the protocol.
    Malformed,
    /// The unconsumed input before the peer's FIN is a record: the connection holds it until the program has taken it,
    /// and then closes. Valid in [`Session::end`](super::Session::end) only, or if the session holds the record
    /// ([`Session::take_record`](super::Session::take_record)).
    Record,
}

/// The output of one call of a [`Session`](super::Session), and whether the session closes the connection.
///
/// Invariant: at most one of `borrowed` and `write_buffer` holds bytes.
#[derive(Debug)]
pub struct Outbox<'a> {
    borrowed: &'a [u8],
    write_buffer: &'a mut Vec<u8>,
    capacity: usize,
    messages: usize,
    finish: Option<Finish>,
    exceptions: Exceptions,
}

bitflags::bitflags! {
    /// Conditions that end the ordinary case, in one byte since they are tested for every message.
    #[derive(Clone, Copy, Debug)]
    struct Exceptions: u8 {
        /// The session is to be called again without input.
        const DEFERRED = 1;
        /// Output was lost because there was no memory for it.
        const OUT_OF_MEMORY = 2;
    }
}

impl<'a> Outbox<'a> {
    /// An empty outbox that is full at `capacity` bytes. It clears `write_buffer` and copies output to it if necessary.
    #[inline]
    pub fn new(write_buffer: &'a mut Vec<u8>, capacity: usize) -> Self {
        write_buffer.clear();
        Outbox {
            borrowed: &[],
            write_buffer,
            capacity,
            messages: 0,
            finish: None,
            exceptions: Exceptions::empty(),
        }
    }

    /// Sends a piece of the input. If it is the only output, it is not copied.
    #[inline]
    pub fn send(&mut self, piece: &'a [u8]) {
        if self.is_empty() {
            self.borrowed = piece;
        } else {
            self.append(piece);
        }
    }

    /// Not inlined, so that [`send`](Outbox::send) is small enough to be inlined.
    #[inline(never)]
    fn append(&mut self, piece: &[u8]) {
        self.write(piece);
    }

    /// Sends a part of `input`, the whole input of the call. Adjacent parts are joined to one piece, which is not
    /// copied if it is the only output.
    #[inline]
    pub fn send_part(&mut self, input: &'a [u8], part: Range<usize>) {
        let run = part.start.wrapping_sub(self.borrowed.len())..part.start;
        let continues = input
            .get(run.clone())
            .is_some_and(|run| std::ptr::eq(run, self.borrowed));
        if continues && self.write_buffer.is_empty() {
            self.borrowed = &input[run.start..part.end];
        } else {
            self.send(&input[part]);
        }
    }

    /// Sends a copy of `piece`.
    #[inline]
    pub fn write(&mut self, piece: &[u8]) {
        if !self.borrowed.is_empty() {
            let first = std::mem::take(&mut self.borrowed);
            self.copy(first);
        }
        self.copy(piece);
    }

    #[inline]
    fn copy(&mut self, piece: &[u8]) {
        let free = self.write_buffer.capacity() - self.write_buffer.len();
        if piece.len() <= free || self.reserve(piece.len()) {
            self.write_buffer.extend_from_slice(piece);
        }
    }

    /// Reserves space for `more` bytes; false if there is no memory for them.
    #[cold]
    fn reserve(&mut self, more: usize) -> bool {
        let reserved = self.write_buffer.try_reserve(more).is_ok();
        if !reserved {
            self.exceptions.insert(Exceptions::OUT_OF_MEMORY);
        }
        reserved
    }

    /// The buffer of the output, for a session that appends to it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if !self.borrowed.is_empty() {
            let first = std::mem::take(&mut self.borrowed);
            self.copy(first);
        }
        self.write_buffer
    }

    /// Closes the connection, since there was no memory for a part of the output.
    pub fn set_out_of_memory(&mut self) {
        self.exceptions.insert(Exceptions::OUT_OF_MEMORY);
    }

    /// The number of bytes of output before the outbox is full.
    #[must_use]
    pub fn space(&self) -> usize {
        self.capacity.saturating_sub(self.bytes().len())
    }

    /// Begins a message that is written piece by piece, with `header` as space for its length. Returns the index in the
    /// write buffer at which the message starts.
    pub(super) fn begin_message(&mut self, header: &[u8]) -> usize {
        if !header.is_empty() || !self.borrowed.is_empty() {
            self.write(header);
        }
        self.write_buffer.len()
    }

    /// Encodes the length of the message that starts at `begin` in the `width` bytes before it. If the length does not
    /// fit, removes the message and returns false.
    pub(super) fn end_message(&mut self, begin: usize, width: usize) -> bool {
        let length = self.write_buffer.len().saturating_sub(begin);
        let start = begin.saturating_sub(width);
        // The header is missing if there was no memory for it; the outbox is incomplete then in any case.
        let header = self.write_buffer.get_mut(start..begin);
        let fits = header.is_none_or(|header| write_length(header, length));
        if !fits {
            self.write_buffer.truncate(start);
        }
        fits
    }

    /// Closes the connection after the output has been sent. No further input is passed to the session. Only the first
    /// call has an effect.
    pub fn finish(&mut self, finish: Finish) {
        self.finish.get_or_insert(finish);
    }

    /// Has [`Session::receive`](super::Session::receive) called again in a later iteration of the event loop, after the
    /// output has been sent, even without input. Nothing is read before that call.
    pub fn defer(&mut self) {
        self.exceptions.insert(Exceptions::DEFERRED);
    }

    /// Whether the session is to be called again without input.
    #[inline]
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        self.exceptions.contains(Exceptions::DEFERRED)
    }

    /// Counts a processed message. A session that processes several messages in one call counts them, so that many
    /// short ones do not delay other connections.
    #[inline]
    pub fn count_message(&mut self) {
        self.messages += 1;
    }

    /// The number of processed messages.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Whether the session should return: it is called again when the peer has read some of the output, or when other
    /// connections have been served.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes().len() >= self.capacity || self.messages >= MESSAGES_PER_CALL
    }

    /// Whether there is no output.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.borrowed.is_empty() && self.write_buffer.is_empty()
    }

    /// The output, in order.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        if self.write_buffer.is_empty() {
            self.borrowed
        } else {
            self.write_buffer
        }
    }

    /// Why the session closes the connection; `None` if it stays open.
    #[inline]
    #[must_use]
    pub fn finished(&self) -> Option<Finish> {
        self.finish
    }

    /// Whether the connection stays open, the output is complete, and the session waits for input.
    #[inline]
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.finish.is_none() && self.exceptions.is_empty()
    }

    /// Whether output was lost because there was no memory for it.
    #[inline]
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.exceptions.contains(Exceptions::OUT_OF_MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_piece_is_borrowed_and_several_are_copied_in_order() {
        let mut write_buffer = Vec::new();
        let input = b"abcdef";
        let mut outbox = Outbox::new(&mut write_buffer, 64);
        outbox.send(&input[..3]);
        let is_borrowed = std::ptr::eq(outbox.bytes().as_ptr(), input.as_ptr());
        assert!(is_borrowed, "the only piece is not copied");
        outbox.send(&input[3..]);
        outbox.write(b"!");
        assert_eq!(outbox.bytes(), b"abcdef!");
    }

    #[test]
    fn new_outbox_clears_the_write_buffer() {
        let mut write_buffer = b"left over".to_vec();
        assert!(Outbox::new(&mut write_buffer, 64).is_empty());
    }

    #[test]
    fn outbox_is_full_at_its_capacity() {
        let mut write_buffer = Vec::new();
        let mut outbox = Outbox::new(&mut write_buffer, 4);
        outbox.write(b"abc");
        assert!(!outbox.is_full());
        outbox.send(b"d");
        assert!(outbox.is_full());
    }

    #[test]
    fn first_finish_has_precedence() {
        let mut write_buffer = Vec::new();
        let mut outbox = Outbox::new(&mut write_buffer, 4);
        outbox.finish(Finish::TooLong);
        outbox.finish(Finish::Done);
        assert_eq!(outbox.finished(), Some(Finish::TooLong));
    }
}
