//! The bytes of messages, chosen so that no message can be taken for another.
//!
//! A message begins with eight bytes that encode its connection and its number on it, one to one; the rest is a slice
//! of a table of pseudorandom bytes, at a place that the first eight bytes determine. So a reply is checked by
//! comparing slices, without generating bytes for each message, and a wrong reply reveals which message it is.

use serde::{Deserialize, Serialize};

/// Bits of the first eight bytes that number the connection; the other 40 number its messages.
pub const CONNECTION_BITS: u32 = 24;

const SEQUENCE_BITS: u32 = u64::BITS - CONNECTION_BITS;

/// How many bytes encode connection and number.
const HEAD: usize = 8;

/// How many places of the table a message can begin at: a power of two.
const CUTS: usize = 0x1000;

/// How a reply differs from the message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// It is a message of another connection.
    OtherConnection,
    /// It is an earlier or later message of this connection: repeated or reordered.
    OutOfOrder,
    /// Some bytes are not those that were sent.
    Changed,
    /// It answers no message.
    Unasked,
    /// It ended early: with its connection, or short of what was expected.
    Truncated,
    /// It violates its protocol, as one does that was cut short before others.
    Malformed,
    /// It exceeds the largest size of a reply: it never ends.
    TooLong,
}

impl Mismatch {
    /// The type in a few words, after a count.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mismatch::OtherConnection => "of another connection",
            Mismatch::OutOfOrder => "repeated or out of order",
            Mismatch::Changed => "corrupted",
            Mismatch::Unasked => "unsolicited",
            Mismatch::Truncated => "truncated",
            Mismatch::Malformed => "malformed (cut short, or of another protocol)",
            Mismatch::TooLong => "that did not end within --max-message",
        }
    }
}

/// The messages of all connections, of one size.
#[derive(Debug)]
pub struct Pattern {
    size: usize,
    table: Box<[u8]>,
}

impl Pattern {
    /// Messages of `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Pattern {
        let length = CUTS + size;
        let words = (0..length.div_ceil(8) as u64).flat_map(|word| mix(word).to_le_bytes());
        Pattern {
            size,
            table: words.take(length).collect(),
        }
    }

    /// The size of a message in bytes.
    #[inline]
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The message with this number on a connection.
    #[inline]
    #[must_use]
    pub fn message(&self, connection: u32, sequence: u64) -> Message<'_> {
        let head = mix(u64::from(connection) << SEQUENCE_BITS | sequence);
        let cut = fold(head);
        let body = self.size.saturating_sub(HEAD);
        Message {
            head: head.to_le_bytes(),
            head_length: self.size.min(HEAD),
            body: &self.table[cut..cut + body],
        }
    }

    /// How a reply differs that should be the message with this number on this connection.
    #[cold]
    #[must_use]
    pub fn diagnose(&self, connection: u32, sequence: u64, reply: &[u8]) -> Mismatch {
        let Some(head) = reply.first_chunk::<HEAD>() else {
            return Mismatch::Changed;
        };
        let origin = unmix(u64::from_le_bytes(*head));
        let (sender, number) = (origin >> SEQUENCE_BITS, origin & ((1 << SEQUENCE_BITS) - 1));
        let same_connection = sender == u64::from(connection);
        if same_connection && number == sequence {
            return Mismatch::Changed;
        }
        // Any eight bytes decode to some message; only the bytes after them show whether the reply is that message.
        let Ok(sender) = u32::try_from(sender) else {
            return Mismatch::Changed;
        };
        let is_message = reply.len() >= 2 * HEAD && self.message(sender, number).matches(0, reply);
        match (is_message, same_connection) {
            (false, _) => Mismatch::Changed,
            (true, false) => Mismatch::OtherConnection,
            (true, true) => Mismatch::OutOfOrder,
        }
    }
}

/// One message, as two slices.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    head: [u8; HEAD],
    head_length: usize,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The bytes that encode connection and number; fewer if the message is shorter.
    #[inline]
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..self.head_length]
    }

    /// The rest.
    #[inline]
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// All bytes, one by one.
    pub fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let head = self.head.into_iter().take(self.head_length);
        head.chain(self.body.iter().copied())
    }

    /// Whether `whole`, which is as long as the message, is the message.
    #[inline]
    #[must_use]
    pub fn is(&self, whole: &[u8]) -> bool {
        match whole.split_first_chunk::<HEAD>() {
            Some((head, body)) => *head == self.head && body == self.body,
            None => self.matches(0, whole),
        }
    }

    /// Whether the bytes of the message from `offset` on begin with `piece`, which does not reach beyond its end.
    #[inline]
    #[must_use]
    pub fn matches(&self, offset: usize, piece: &[u8]) -> bool {
        let of_head = self.head_length.saturating_sub(offset).min(piece.len());
        let (in_head, in_body) = piece.split_at(of_head);
        let from = (offset + of_head).saturating_sub(HEAD);
        (of_head == 0 || self.head[offset..offset + of_head] == *in_head)
            && self.body.get(from..from + in_body.len()) == Some(in_body)
    }
}

/// The place in the table: the exclusive or of the 12-bit groups of the first eight bytes. A change within
/// twelve adjacent bits therefore moves the place, so that the reply does not match another message.
#[inline]
fn fold(head: u64) -> usize {
    let twice = head ^ (head >> 24) ^ (head >> 48);
    let once = twice ^ (twice >> 12);
    (once & 0xfff) as usize
}

/// Mixes the bits of a number, one to one: `SplitMix64` (Steele, Lea and Flood, 2014), with Stafford's variant 13.
#[inline]
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The inverse of [`mix`]: its steps backwards, with the inverses of its factors modulo 2^64.
fn unmix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 31) ^ (bits >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    bits = (bits ^ (bits >> 27) ^ (bits >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    bits = bits ^ (bits >> 30) ^ (bits >> 60);
    bits.wrapping_sub(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn bytes(pattern: &Pattern, connection: u32, sequence: u64) -> Vec<u8> {
        pattern.message(connection, sequence).bytes().collect()
    }

    proptest! {
        #[test]
        fn unmix_inverts_mix(bits: u64) {
            prop_assert_eq!(unmix(mix(bits)), bits);
        }

        #[test]
        fn message_cut_anywhere_matches_itself(
            size in 1_usize..300, connection in 0_u32..1 << CONNECTION_BITS, sequence in 0_u64..1 << SEQUENCE_BITS,
            at: Index, length: Index,
        ) {
            let pattern = Pattern::new(size);
            let whole = bytes(&pattern, connection, sequence);
            prop_assert_eq!(whole.len(), size);
            let from = at.index(size);
            let to = from + length.index(size - from + 1);
            prop_assert!(pattern.message(connection, sequence).matches(from, &whole[from..to]));
            prop_assert!(pattern.message(connection, sequence).is(&whole));
        }

        #[test]
        fn one_changed_bit_is_a_mismatch(
            size in 1_usize..300, connection in 0_u32..1 << CONNECTION_BITS, sequence in 0_u64..1000,
            at: Index, bit in 0_u8..8,
        ) {
            let pattern = Pattern::new(size);
            let mut reply = bytes(&pattern, connection, sequence);
            reply[at.index(size)] ^= 1 << bit;
            prop_assert!(!pattern.message(connection, sequence).matches(0, &reply));
            prop_assert!(!pattern.message(connection, sequence).is(&reply));
            prop_assert_eq!(pattern.diagnose(connection, sequence, &reply), Mismatch::Changed);
        }

        #[test]
        fn another_message_is_diagnosed_by_its_origin(
            size in 16_usize..300, one in 0_u32..1 << CONNECTION_BITS, other in 0_u32..1 << CONNECTION_BITS,
            sequence in 0_u64..1000, number in 0_u64..1000,
        ) {
            let pattern = Pattern::new(size);
            let reply = bytes(&pattern, other, number);
            let matches = pattern.message(one, sequence).matches(0, &reply);
            prop_assert_eq!(matches, (one, sequence) == (other, number));
            if !matches {
                let expected = if one == other { Mismatch::OutOfOrder } else { Mismatch::OtherConnection };
                prop_assert_eq!(pattern.diagnose(one, sequence, &reply), expected);
            }
        }
    }

    #[test]
    fn short_messages_with_close_numbers_differ() {
        let pattern = Pattern::new(4);
        let mut seen = std::collections::HashSet::new();
        for connection in 0..50 {
            for sequence in 0..50 {
                assert!(seen.insert(bytes(&pattern, connection, sequence)));
            }
        }
    }
}
