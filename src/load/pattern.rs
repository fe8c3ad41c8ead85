//! What messages consist of, so that none can be taken for another.
//!
//! A message begins with eight bytes that stand for its connection and its number on it, one to one; the rest is a
//! piece of a table of noise, cut where those bytes say. So a reply is checked by comparing slices, without making
//! noise anew for each; and of a wrong one it can be said whose it was.

use serde::{Deserialize, Serialize};

/// Connections are told apart by as many bits; the other 40 number a connection's messages.
pub const CONNECTION_BITS: u32 = 24;

const SEQUENCE_BITS: u32 = u64::BITS - CONNECTION_BITS;

/// How many bytes stand for connection and number.
const HEAD: usize = 8;

/// In how many places the table can be cut: a power of two.
const CUTS: usize = 0x1000;

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// It is what another connection sent.
    OtherConnection,
    /// It is what this connection sent earlier or later: twice, or out of order.
    OutOfOrder,
    /// Bytes are not those that were sent.
    Changed,
    /// Nothing was sent that it could answer.
    Unasked,
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

    /// How many bytes a message has.
    #[inline]
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The message of this number on a connection.
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

    /// What is wrong with a reply that is not the message of this number on this connection.
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
        // A head that is noise names somebody too; that it is a message shows in what follows it, if that is enough.
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

/// One message, in its two parts.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    head: [u8; HEAD],
    head_length: usize,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The bytes that stand for connection and number; of a message that is shorter, as many as it has.
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

    /// Whether `whole`, which is as long as the message, is the message.
    #[inline]
    #[must_use]
    pub fn is(&self, whole: &[u8]) -> bool {
        match whole.split_first_chunk::<HEAD>() {
            Some((head, body)) => *head == self.head && body == self.body,
            None => self.matches(0, whole),
        }
    }

    /// Whether `piece` is what the message has from `offset` on; it does not reach beyond the message's end.
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

/// Where the table is cut: the exclusive or of the head's pieces of twelve bits. So a head in which less than that has
/// changed asks for another cut, and is not taken for the head of another message.
#[inline]
fn fold(head: u64) -> usize {
    let twice = head ^ (head >> 24) ^ (head >> 48);
    let once = twice ^ (twice >> 12);
    (once & 0xfff) as usize
}

/// Mixes the bits of a number, one to one: the finalizer of `SplitMix64` (Steele, Lea and Flood, 2014), Stafford's variant
/// 13.
#[inline]
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// What [`mix`] made this of: its steps backwards, with the inverses of its factors modulo 2^64.
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
        let message = pattern.message(connection, sequence);
        [message.head(), message.body()].concat()
    }

    proptest! {
        #[test]
        fn mixing_can_be_undone(bits: u64) {
            prop_assert_eq!(unmix(mix(bits)), bits);
        }

        #[test]
        fn a_message_matches_itself_however_it_is_cut(
            size in 1_usize..300, connection in 0_u32..1 << CONNECTION_BITS, sequence in 0_u64..1 << SEQUENCE_BITS, at: Index, length: Index,
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
        fn no_changed_bit_goes_unnoticed(size in 1_usize..300, connection in 0_u32..1 << CONNECTION_BITS, sequence in 0_u64..1000, at: Index, bit in 0_u8..8) {
            let pattern = Pattern::new(size);
            let mut reply = bytes(&pattern, connection, sequence);
            reply[at.index(size)] ^= 1 << bit;
            prop_assert!(!pattern.message(connection, sequence).matches(0, &reply));
            prop_assert!(!pattern.message(connection, sequence).is(&reply));
            prop_assert_eq!(pattern.diagnose(connection, sequence, &reply), Mismatch::Changed);
        }

        #[test]
        fn another_message_is_told_by_whose_it_is(size in 16_usize..300, one in 0_u32..1 << CONNECTION_BITS, other in 0_u32..1 << CONNECTION_BITS, sequence in 0_u64..1000, number in 0_u64..1000) {
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
    fn short_messages_of_neighbours_differ() {
        let pattern = Pattern::new(4);
        let mut seen = std::collections::HashSet::new();
        for connection in 0..50 {
            for sequence in 0..50 {
                assert!(seen.insert(bytes(&pattern, connection, sequence)));
            }
        }
    }
}
