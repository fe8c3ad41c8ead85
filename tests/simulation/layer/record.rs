//! The records of the layer: a header with kind, length and checksum, then the payload.
//!
//! The checksum includes the number of the record, so a record that is lost, repeated or moved is detected.

use crate::rng::mix;

/// The length of a header: kind, length (2 bytes), checksum (3 bytes).
pub const HEADER: usize = 6;

/// The largest payload.
pub const MAX_PAYLOAD: usize = 16_384;

/// What a record contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A step of the handshake.
    Handshake = 1,
    /// Bytes of the inner protocol.
    Data = 2,
    /// A message from outside a call of the session.
    Notice = 3,
    /// The end of the sender's output, with the numbers of bytes and notices it has sent.
    Farewell = 4,
}

/// The input is not a record, or not the next one.
#[derive(Debug)]
pub struct Damaged;

/// Numbers and encodes records.
#[derive(Debug, Default)]
pub struct Encoder {
    next: u64,
}

/// Decodes records from input that may be cut at any position.
#[derive(Debug, Default)]
pub struct Decoder {
    next: u64,
    bytes: Vec<u8>,
    begin: usize,
}

fn checksum(number: u64, kind: u8, payload: &[u8]) -> [u8; 3] {
    let mut sum = mix(number ^ u64::from(kind) << 56);
    for chunk in payload.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        sum = mix(sum ^ u64::from_le_bytes(bytes) ^ (chunk.len() as u64) << 60);
    }
    let [first, second, third, ..] = sum.to_le_bytes();
    [first, second, third]
}

impl Encoder {
    /// Appends a record to `wire`.
    pub fn push(&mut self, wire: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
        let length = u16::try_from(payload.len()).unwrap();
        wire.push(kind as u8);
        wire.extend(length.to_be_bytes());
        wire.extend(checksum(self.next, kind as u8, payload));
        wire.extend(payload);
        self.next += 1;
    }
}

impl Decoder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.begin));
        self.bytes.extend(bytes);
    }

    /// The bytes that are not decoded.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.begin
    }

    /// Drops the bytes that are not decoded.
    pub fn clear(&mut self) {
        (self.bytes, self.begin) = (Vec::new(), 0);
    }

    /// The length of the payload of the next record, if all of it is present or its header is wrong.
    fn next_length(&self) -> Option<usize> {
        let rest = &self.bytes[self.begin..];
        let length = usize::from(u16::from_be_bytes([*rest.get(1)?, *rest.get(2)?]));
        (length > MAX_PAYLOAD || rest.len() >= HEADER + length).then_some(length)
    }

    /// Whether [`take`](Self::take) returns a record or an error.
    pub fn has_record(&self) -> bool {
        self.next_length().is_some()
    }

    /// The next record, if it is complete.
    pub fn take(&mut self) -> Result<Option<(Kind, Vec<u8>)>, Damaged> {
        let Some(length) = self.next_length() else {
            return Ok(None);
        };
        let rest = &self.bytes[self.begin..];
        if length > MAX_PAYLOAD {
            return Err(Damaged);
        }
        let kind = match rest[0] {
            1 => Kind::Handshake,
            2 => Kind::Data,
            3 => Kind::Notice,
            4 => Kind::Farewell,
            _ => return Err(Damaged),
        };
        let payload = rest[HEADER..HEADER + length].to_vec();
        if rest[3..HEADER] != checksum(self.next, kind as u8, &payload) {
            return Err(Damaged);
        }
        self.next += 1;
        self.begin += HEADER + length;
        Ok(Some((kind, payload)))
    }
}
