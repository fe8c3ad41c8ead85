//! The outbox: where a session puts what the peer is owed.
//!
//! One read is to be answered by one write. The first piece is held as a borrow of the input, so that raw echo copies
//! nothing; as soon as there is a second, all are gathered in a buffer that every connection of the loop shares.

use super::frame::write_length;
use std::ops::Range;

/// How many messages a session answers in one call, at most: then the outbox counts as full, however short the answers
/// are. So a call takes a bounded time.
pub(crate) const MESSAGES_PER_CALL: usize = 512;

/// Why a session ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The session has said all that it had to say.
    Done,
    /// A message is larger than allowed.
    TooLong,
    /// The input breaks the protocol's rules.
    Malformed,
    /// What came before the peer's FIN and was not consumed is a record: the connection keeps it until the program has
    /// taken it, and closes then. To be said when the FIN has come ([`Session::end`](super::Session::end)).
    Record,
}

/// What one call of a [`Session`](super::Session) has to say to its peer.
///
/// Invariant: at most one of `borrowed` and `gathered` holds bytes.
#[derive(Debug)]
pub struct Outbox<'a> {
    borrowed: &'a [u8],
    gathered: &'a mut Vec<u8>,
    room: usize,
    messages: usize,
    finish: Option<Finish>,
    out_of_memory: bool,
}

impl<'a> Outbox<'a> {
    /// An empty outbox that counts as full from `room` bytes on and gathers in `gathered`, which it empties first.
    #[inline]
    pub fn new(gathered: &'a mut Vec<u8>, room: usize) -> Self {
        gathered.clear();
        Outbox {
            borrowed: &[],
            gathered,
            room,
            messages: 0,
            finish: None,
            out_of_memory: false,
        }
    }

    /// Sends a piece of the input, without a copy where it is the only thing said.
    #[inline]
    pub fn send(&mut self, piece: &'a [u8]) {
        if self.is_empty() {
            self.borrowed = piece;
        } else {
            self.send_behind(piece);
        }
    }

    /// Apart, so that [`send`](Outbox::send) is small enough to vanish where it is called.
    #[inline(never)]
    fn send_behind(&mut self, piece: &[u8]) {
        self.write(piece);
    }

    /// Sends a part of `input`, which is the whole input of the call. Parts that lie one behind the other there are
    /// one piece, so a run of them is not copied where it is the only thing said.
    #[inline]
    pub fn send_part(&mut self, input: &'a [u8], part: Range<usize>) {
        let run = part.start.wrapping_sub(self.borrowed.len())..part.start;
        let continues = input
            .get(run.clone())
            .is_some_and(|run| std::ptr::eq(run, self.borrowed));
        if continues && self.gathered.is_empty() {
            self.borrowed = &input[run.start..part.end];
        } else {
            self.send(&input[part]);
        }
    }

    /// Sends bytes that the session made.
    #[inline]
    pub fn write(&mut self, piece: &[u8]) {
        if !self.borrowed.is_empty() {
            let first = std::mem::take(&mut self.borrowed);
            self.gather(first);
        }
        self.gather(piece);
    }

    #[inline]
    fn gather(&mut self, piece: &[u8]) {
        if piece.len() > self.gathered.capacity() - self.gathered.len() && !self.grow(piece.len()) {
            return;
        }
        self.gathered.extend_from_slice(piece);
    }

    /// Makes room for so many bytes more; false if there is no memory for them.
    #[cold]
    fn grow(&mut self, more: usize) -> bool {
        let grown = self.gathered.try_reserve(more).is_ok();
        self.out_of_memory |= !grown;
        grown
    }

    /// Begins a message of the session's own: leaves room for a header, which is to be overwritten. Gives back where
    /// the message begins among the bytes gathered.
    pub(super) fn begin(&mut self, header: &[u8]) -> usize {
        if !header.is_empty() || !self.borrowed.is_empty() {
            self.write(header);
        }
        self.gathered.len()
    }

    /// Writes how many bytes were written since `begin` into the `width` bytes before it. If so many bytes cannot say
    /// it, the message is taken back, and this is false.
    pub(super) fn write_length(&mut self, begin: usize, width: usize) -> bool {
        let length = self.gathered.len().saturating_sub(begin);
        let place = begin.saturating_sub(width);
        // Without memory for the header its place is missing, and the outbox is incomplete in any case.
        let header = self.gathered.get_mut(place..begin);
        let fits = header.is_none_or(|header| write_length(header, length));
        if !fits {
            self.gathered.truncate(place);
        }
        fits
    }

    /// Ends the connection once everything said has been sent. Nothing is received any more; the first reason stands.
    pub fn finish(&mut self, finish: Finish) {
        self.finish.get_or_insert(finish);
    }

    /// Counts a message that has been answered. Sessions that answer several in one call count them, so that a flood of
    /// short ones does not hold up other connections.
    #[inline]
    pub fn count_message(&mut self) {
        self.messages += 1;
    }

    /// How many messages have been answered.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Whether the session should stop and return: it is called again once the peer has read some of the output, or
    /// when other connections have been served.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes().len() >= self.room || self.messages >= MESSAGES_PER_CALL
    }

    /// Whether nothing is said yet.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.borrowed.is_empty() && self.gathered.is_empty()
    }

    /// All that is said, in order.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        if self.gathered.is_empty() {
            self.borrowed
        } else {
            self.gathered
        }
    }

    /// Whether the session has ended the connection, and why.
    #[inline]
    #[must_use]
    pub fn finished(&self) -> Option<Finish> {
        self.finish
    }

    /// Whether nothing but words was said: the connection goes on, and none of them was lost.
    #[inline]
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.finish.is_none() && !self.out_of_memory
    }

    /// Whether something could not be gathered for lack of memory: what is said is then incomplete.
    #[inline]
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_borrowed_and_several_are_gathered_in_order() {
        let mut gathered = Vec::new();
        let input = b"abcdef";
        let mut outbox = Outbox::new(&mut gathered, 64);
        outbox.send(&input[..3]);
        assert!(
            std::ptr::eq(outbox.bytes().as_ptr(), input.as_ptr()),
            "the only piece is not copied"
        );
        outbox.send(&input[3..]);
        outbox.write(b"!");
        assert_eq!(outbox.bytes(), b"abcdef!");
    }

    #[test]
    fn a_new_outbox_forgets_what_the_last_one_gathered() {
        let mut gathered = b"left over".to_vec();
        assert!(Outbox::new(&mut gathered, 64).is_empty());
    }

    #[test]
    fn it_is_full_from_its_room_on_and_the_first_reason_to_finish_stands() {
        let mut gathered = Vec::new();
        let mut outbox = Outbox::new(&mut gathered, 4);
        outbox.write(b"abc");
        assert!(!outbox.is_full());
        outbox.send(b"d");
        assert!(outbox.is_full());
        outbox.finish(Finish::TooLong);
        outbox.finish(Finish::Done);
        assert_eq!(outbox.finished(), Some(Finish::TooLong));
    }
}
