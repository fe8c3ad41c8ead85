//! Where a record ends.

/// Type, version and length of a record (RFC 8446, 5.1).
const HEADER: usize = 5;

/// The content types that a handshake step can have. Alerts and `change_cipher_spec` cost little.
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// A record, or the part of it that was received.
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) end: usize,
    pub(super) is_complete: bool,
}

impl Record {
    /// The record at `begin`.
    pub(super) fn at(ciphertext: &[u8], begin: usize) -> Record {
        let rest = ciphertext.get(begin..).unwrap_or_default();
        let length = match rest {
            [_, _, _, high, low, ..] => {
                Some(HEADER + usize::from(u16::from_be_bytes([*high, *low])))
            }
            _ => None,
        };
        let is_complete = length.is_some_and(|length| length <= rest.len());
        let shown = length.unwrap_or(rest.len()).min(rest.len());
        Record {
            kind: rest.first().copied().unwrap_or_default(),
            end: begin + shown,
            is_complete,
        }
    }
}
