//! Plaintext of this side: encrypted at once, or kept until the handshake has completed; and `close_notify`.

use super::Codec;
use super::failing::failed_before;
use super::pump::{Failure, Write};
use crate::tls::error::{TlsError, TlsErrorKind};

impl Codec {
    /// Encrypts `plaintext` to records in `output`. Before the end of the handshake the plaintext is kept, in
    /// [`held_bytes`](Codec::held_bytes), and sent after it.
    ///
    /// # Errors
    ///
    /// `close_notify` was sent, the session has failed, or there is no memory.
    pub fn encrypt(&mut self, plaintext: &[u8], output: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.flags.failed {
            return Err(failed_before());
        }
        if self.flags.closed {
            let text = "data was to be sent after close_notify";
            return Err(TlsError::new(TlsErrorKind::Exhausted, text));
        }
        if self.is_handshaking() {
            if self.early.try_reserve(plaintext.len()).is_err() {
                return Err(self.fail(Failure::OutOfMemory, &[]));
            }
            self.early.extend_from_slice(plaintext);
            return Ok(());
        }
        self.write(Write::Data(plaintext), output)
    }

    /// Sends `close_notify`, once. Before the end of the handshake there is no key for it, and nothing is sent.
    ///
    /// # Errors
    ///
    /// There is no memory.
    pub fn close_notify(&mut self, output: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.flags.failed || self.flags.closed || self.is_handshaking() {
            return Ok(());
        }
        self.flags.closed = true;
        self.write(Write::CloseNotify, output)
    }

    fn write(&mut self, write: Write<'_>, output: &mut Vec<u8>) -> Result<(), TlsError> {
        let mut none = Vec::new();
        let seen = self.seen.min(self.held.len());
        let shown = &mut self.held[..seen];
        let result = self.side.pump(shown, &mut none, output, Some(write));
        match result {
            Ok(pumped) if pumped.written => Ok(()),
            Ok(_) => Err(self.fail(Failure::Unexpected("no write"), &[])),
            Err(failure) => Err(self.fail(failure, &[])),
        }
    }

    /// Encrypts what was written before the end of the handshake.
    pub(super) fn send_early(
        &mut self,
        rest: &mut [u8],
        output: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        let early = std::mem::take(&mut self.early);
        if early.is_empty() {
            return Ok(());
        }
        let mut none = Vec::new();
        let seen = self.seen.min(rest.len());
        let write = Some(Write::Data(&early));
        let result = self.side.pump(&mut rest[..seen], &mut none, output, write);
        result.map_err(|failure| self.fail(failure, &[]))?;
        Ok(())
    }
}
