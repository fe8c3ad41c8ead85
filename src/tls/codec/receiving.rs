//! Ciphertext of the peer: record by record to the library, which decrypts it; what it has not released is kept.

use super::failing::failed_before;
use super::pump::Failure;
use super::record::{APPLICATION_DATA, HANDSHAKE, Record};
use super::{Codec, Progress};
use crate::tls::error::{TlsError, TlsErrorKind};

/// The cost of a record without data, in bytes of data: it takes a decryption, and a `KeyUpdate` also a key derivation.
const EMPTY_RECORD_COST: u32 = 16 << 10;

/// At most this credit is kept: 64 records without data in a row.
pub(super) const MAX_CREDIT: u32 = 64 * EMPTY_RECORD_COST;

/// The most ciphertext that waits for the rest of a message: a handshake message has at most 64 KiB (a limit of the
/// TLS library), in records that may each hold a part of it, and behind them is what was read with them.
const MAX_HELD: usize = 256 << 10;

/// What remains of the ciphertext of a call.
struct Kept {
    begin: usize,
    deferred: bool,
}

impl Codec {
    /// Consumes all of `ciphertext`, and appends its plaintext. `scratch` is memory that all sessions share; it holds
    /// nothing between calls.
    ///
    /// A step is a message of the handshake that costs a signature, a verification or a key exchange. Each takes one
    /// of `steps`; if there is none, the rest of the ciphertext is kept ([`Progress::deferred`]).
    ///
    /// # Errors
    ///
    /// The peer's ciphertext is not valid, or its handshake fails. Plaintext that was valid before it is appended.
    pub fn receive(
        &mut self,
        ciphertext: &[u8],
        scratch: &mut Vec<u8>,
        plaintext: &mut Vec<u8>,
        output: &mut Vec<u8>,
        steps: &mut u32,
    ) -> Result<Progress, TlsError> {
        if self.flags.failed {
            return Err(failed_before());
        }
        if self.flags.peer_closed {
            // What follows close_notify is ignored (RFC 8446, 6.1).
            return Ok(self.progress(false, false));
        }
        self.join(ciphertext, scratch)?;
        let was_handshaking = self.is_handshaking();
        let result = self.process(scratch, plaintext, output, steps);
        let established = was_handshaking && !self.is_handshaking();
        self.take_requested_name();
        let kept = result.and_then(|kept| {
            if established {
                self.send_early(&mut scratch[kept.begin..], output)?;
            }
            self.keep(&scratch[kept.begin..])?;
            Ok(kept.deferred)
        });
        scratch.clear();
        kept.map(|deferred| self.progress(established, deferred))
    }

    fn progress(&self, established: bool, deferred: bool) -> Progress {
        Progress {
            established,
            peer_closed: self.flags.peer_closed,
            deferred,
        }
    }

    /// Moves the held ciphertext and the new one to `scratch`.
    fn join(&mut self, ciphertext: &[u8], scratch: &mut Vec<u8>) -> Result<(), TlsError> {
        let length = self.held.len() + ciphertext.len();
        if length > MAX_HELD {
            return Err(self.refuse(TlsErrorKind::Flood, "sends a message that is too long"));
        }
        scratch.clear();
        if scratch.try_reserve(length).is_err() {
            return Err(self.fail(Failure::OutOfMemory, &[]));
        }
        scratch.extend_from_slice(&self.held);
        scratch.extend_from_slice(ciphertext);
        self.held = Vec::new();
        Ok(())
    }

    /// Keeps ciphertext for the next call, in exactly as much memory.
    fn keep(&mut self, rest: &[u8]) -> Result<(), TlsError> {
        if rest.is_empty() || self.flags.peer_closed {
            self.seen = 0;
            return Ok(());
        }
        if self.held.try_reserve_exact(rest.len()).is_err() {
            return Err(self.fail(Failure::OutOfMemory, &[]));
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Processes ciphertext record by record.
    fn process(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut Vec<u8>,
        output: &mut Vec<u8>,
        steps: &mut u32,
    ) -> Result<Kept, TlsError> {
        let mut begin = 0;
        let mut next = self.seen;
        loop {
            let record = Record::at(ciphertext, next);
            let is_step = record.is_complete && self.is_step(&record);
            if is_step && *steps == 0 {
                self.seen = next - begin;
                let deferred = true;
                return Ok(Kept { begin, deferred });
            }
            let before = plaintext.len();
            let was_established = !self.is_handshaking();
            let shown = &mut ciphertext[begin..record.end];
            let pumped = match self.side.pump(shown, plaintext, output, None) {
                Ok(pumped) => pumped,
                Err(failure) => return Err(self.fail(failure, shown)),
            };
            begin += pumped.discard.min(record.end - begin);
            self.flags.peer_closed |= pumped.peer_closed;
            if record.is_complete {
                next = record.end;
                // A fragment is not released before its message is complete.
                *steps -= u32::from(is_step && pumped.discard > 0);
                self.flags.has_record = true;
                if was_established && !pumped.peer_closed {
                    self.count_data(plaintext.len() - before)?;
                }
            }
            if !record.is_complete || pumped.peer_closed || next == ciphertext.len() {
                self.seen = next - begin;
                let deferred = false;
                return Ok(Kept { begin, deferred });
            }
        }
    }

    fn is_step(&self, record: &Record) -> bool {
        let is_costly = match record.kind {
            HANDSHAKE => true,
            APPLICATION_DATA => self.flags.encrypted_steps,
            _ => false,
        };
        is_costly && self.side.state().is_handshaking()
    }

    /// Counts a record with `length` bytes of data after the handshake.
    fn count_data(&mut self, length: usize) -> Result<(), TlsError> {
        if length > 0 {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.credit = self.credit.saturating_add(length).min(MAX_CREDIT);
            return Ok(());
        }
        match self.credit.checked_sub(EMPTY_RECORD_COST) {
            Some(credit) => {
                self.credit = credit;
                Ok(())
            }
            None => Err(self.refuse(TlsErrorKind::Flood, "sends too many records without data")),
        }
    }
}
