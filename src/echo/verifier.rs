//! Compares the bytes received on one connection with the messages sent on it.

use super::pattern::{Message, Mismatch, Pattern};

/// A complete reply that differs from its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongReply {
    /// The kind of the difference.
    pub mismatch: Mismatch,
    /// The offset of the first wrong byte.
    pub offset: u32,
    /// The byte received there.
    pub found: u8,
    /// The byte sent there.
    pub expected: u8,
}

/// The position in the stream of replies on one connection. TCP keeps the order, so the next byte always belongs to the
/// oldest message without a complete reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verifier {
    /// The number of the message whose reply comes next.
    sequence: u64,
    /// How many bytes of that reply have been received.
    offset: usize,
    /// The first difference in them.
    wrong: Option<WrongReply>,
}

impl Verifier {
    /// Expects the reply to message `sequence`, from its first byte on.
    #[must_use]
    pub fn from_sequence(sequence: u64) -> Verifier {
        Verifier {
            sequence,
            ..Verifier::default()
        }
    }

    /// How many of `sent` messages have no complete reply.
    #[must_use]
    pub fn missing(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.sequence)
    }

    /// Compares `input` with the replies to messages below `sent` and calls `on_reply` for each reply that it
    /// completes. Returns how many bytes at the end of `input` answer no message.
    #[inline]
    pub fn receive(
        &mut self,
        pattern: &Pattern,
        connection: u32,
        sent: u64,
        input: &[u8],
        mut on_reply: impl FnMut(Result<(), WrongReply>),
    ) -> usize {
        // Nearly every read brings one reply, whole and right.
        if self.offset == 0 && self.sequence < sent && input.len() == pattern.size() {
            let message = pattern.message(connection, self.sequence);
            if message.is(input) {
                self.sequence += 1;
                on_reply(Ok(()));
                return 0;
            }
        }
        self.receive_pieces(pattern, connection, sent, input, on_reply)
    }

    fn receive_pieces(
        &mut self,
        pattern: &Pattern,
        connection: u32,
        sent: u64,
        mut input: &[u8],
        mut on_reply: impl FnMut(Result<(), WrongReply>),
    ) -> usize {
        while !input.is_empty() && self.sequence < sent {
            let (piece, rest) = input.split_at(input.len().min(pattern.size() - self.offset));
            input = rest;
            let message = pattern.message(connection, self.sequence);
            if self.wrong.is_none() && !message.matches(self.offset, piece) {
                self.wrong = self.first_difference(pattern, connection, message, piece);
            }
            self.offset += piece.len();
            if self.offset == pattern.size() {
                on_reply(self.wrong.map_or(Ok(()), Err));
                *self = Verifier::from_sequence(self.sequence + 1);
            }
        }
        input.len()
    }

    #[cold]
    fn first_difference(
        &self,
        pattern: &Pattern,
        connection: u32,
        message: Message<'_>,
        piece: &[u8],
    ) -> Option<WrongReply> {
        let expected = message.bytes().skip(self.offset);
        let mut pairs = piece.iter().zip(expected).enumerate();
        let (at, (found, expected)) = pairs.find(|(_, (found, expected))| **found != *expected)?;
        Some(WrongReply {
            mismatch: match self.offset {
                0 => pattern.diagnose(connection, self.sequence, piece),
                _ => Mismatch::Changed,
            },
            offset: u32::try_from(self.offset + at).unwrap_or(u32::MAX),
            found: *found,
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    type Replies = Vec<Result<(), WrongReply>>;

    fn messages(pattern: &Pattern, connection: u32, count: u64) -> Vec<u8> {
        let messages = (0..count).map(|sequence| pattern.message(connection, sequence));
        messages.flat_map(Message::bytes).collect()
    }

    /// The replies in `pieces`, received on connection 7 after `sent` messages, and the surplus of the last piece.
    fn receive(sent: u64, pieces: &[&[u8]], pattern: &Pattern) -> (Replies, usize) {
        let (mut verifier, mut replies, mut surplus) = (Verifier::default(), Vec::new(), 0);
        for piece in pieces {
            surplus = verifier.receive(pattern, 7, sent, piece, |reply| replies.push(reply));
        }
        (replies, surplus)
    }

    proptest! {
        #[test]
        fn echo_cut_anywhere_is_right(
            size in 1_usize..100, count in 1_u64..20, cuts in proptest::collection::vec(any::<Index>(), 0..10)
        ) {
            let pattern = Pattern::new(size);
            let stream = messages(&pattern, 7, count);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let (replies, surplus) = receive(count, &pieces, &pattern);
            prop_assert_eq!(replies.len() as u64, count);
            prop_assert!(replies.iter().all(Result::is_ok));
            prop_assert_eq!(surplus, 0);
        }

        #[test]
        fn one_changed_byte_is_one_wrong_reply_at_its_offset(
            size in 1_usize..100, count in 1_u64..20, at: Index, cut: Index
        ) {
            let pattern = Pattern::new(size);
            let mut stream = messages(&pattern, 7, count);
            let at = at.index(stream.len());
            let sent = stream[at];
            stream[at] ^= 0x55;
            let (left, right) = stream.split_at(cut.index(stream.len()));
            let (replies, _) = receive(count, &[left, right], &pattern);
            prop_assert_eq!(replies.len() as u64, count);
            for (index, reply) in replies.iter().enumerate() {
                let wrong = reply.err().map(|wrong| (wrong.offset as usize, wrong.found, wrong.expected));
                let expected = (index == at / size).then_some((at % size, sent ^ 0x55, sent));
                prop_assert_eq!(wrong, expected);
            }
        }
    }

    #[test]
    fn repeated_reordered_and_foreign_replies_are_told_apart() {
        let pattern = Pattern::new(64);
        let own = messages(&pattern, 7, 3);
        let (first, rest) = own.split_at(64);
        let foreign = messages(&pattern, 8, 1);
        let mismatches = |pieces: &[&[u8]]| {
            let (replies, surplus) = receive(2, pieces, &pattern);
            let mismatch = |reply: Result<(), WrongReply>| reply.map_err(|wrong| wrong.mismatch);
            let mismatches: Vec<_> = replies.into_iter().map(mismatch).collect();
            (mismatches, surplus)
        };
        let out_of_order = Err(Mismatch::OutOfOrder);
        assert_eq!(mismatches(&[first, first]).0, [Ok(()), out_of_order]);
        assert_eq!(mismatches(&[&rest[..64]]).0, [out_of_order]);
        assert_eq!(mismatches(&[&foreign]).0, [Err(Mismatch::OtherConnection)]);
        let (replies, surplus) = mismatches(&[first, &rest[..64], b"!?"]);
        assert_eq!((replies, surplus), (vec![Ok(()), Ok(())], 2));
    }
}
