//! From the session to the socket: writes output, and keeps what the kernel does not accept.

use super::{CloseReason, Common, Connection, Cx, DriveContext, Outcome, Result};
use crate::net::{Key, Readiness, Stream};
use crate::protocol::{Outbox, Session};
use std::io::{self, ErrorKind};

impl<S: Session> Connection<S> {
    /// Sends as much output as the kernel accepts; the rest becomes pending.
    pub(super) fn deliver<T: Stream>(
        &mut self,
        output: &[u8],
        stream: &mut T,
        common: &mut Common<S::Shared>,
        key: Key,
    ) -> Result {
        if self.state.is_fin_sent() {
            return Ok(());
        }
        if self.state.is_connecting() || self.has_pending_output() {
            return self.keep_output(output, &mut common.pool, key);
        }
        match self.deliver_caught_up::<T, false>(output, stream, common, key) {
            Outcome::Closed(reason) => Err(reason),
            _ => Ok(()),
        }
    }

    /// As [`deliver`](Self::deliver), for an established connection without pending output. The outcome is `Input` if the
    /// kernel has accepted all output, else `Event` or `Closed`: one byte, which is cheaper to test than a `Result`. With
    /// `UNRECORDED`, the network does [not record](crate::net::Net::is_recording).
    #[expect(clippy::inline_always, reason = "on the path of every byte")]
    #[inline(always)]
    pub(super) fn deliver_caught_up<T: Stream, const UNRECORDED: bool>(
        &mut self,
        output: &[u8],
        stream: &mut T,
        common: &mut Common<S::Shared>,
        key: Key,
    ) -> Outcome {
        if output.is_empty() {
            return Outcome::Input;
        }
        let written = if UNRECORDED {
            stream.write_unrecorded(output)
        } else {
            stream.write(output)
        };
        match written {
            Ok(count) if count == output.len() => {
                self.bytes_out += count as u64;
                common.bytes_out += count as u64;
                Outcome::Input
            }
            first => match self.write_until_blocked(Some(first), output, stream, common) {
                Ok(sent) if sent == output.len() => Outcome::Input,
                Ok(sent) => match self.keep_output(&output[sent..], &mut common.pool, key) {
                    Ok(()) => Outcome::Event,
                    Err(reason) => Outcome::Closed(reason),
                },
                Err(reason) => Outcome::Closed(reason),
            },
        }
    }

    /// Writes until all output is sent or a write would block; no event reports more space before that. `first` is the
    /// result of a write of all the output, if there was one. Returns the number of bytes sent.
    #[cold]
    #[inline(never)]
    fn write_until_blocked<T: Stream>(
        &mut self,
        mut first: Option<io::Result<usize>>,
        output: &[u8],
        stream: &mut T,
        common: &mut Common<S::Shared>,
    ) -> Result<usize> {
        let mut sent = 0;
        while sent < output.len() {
            let result = first.take();
            match result.unwrap_or_else(|| stream.write(&output[sent..])) {
                Ok(count) if count > 0 => {
                    self.bytes_out += count as u64;
                    common.bytes_out += count as u64;
                    sent += count;
                }
                refused => {
                    if common.is_blocked(refused)? {
                        self.readiness.remove(Readiness::WRITABLE);
                        break;
                    }
                }
            }
        }
        Ok(sent)
    }

    /// Writes pending output until it is sent or the kernel accepts no more. After all is sent, the session continues.
    pub(super) fn flush<T: Stream>(&mut self, stream: &mut T, cx: &mut Cx<'_, S>) -> Result {
        if self.has_pending_output() {
            let before = self.bytes_out;
            self.write_pending(stream, cx.common)?;
            cx.moved.sent |= self.bytes_out != before;
            if !self.has_pending_output() && self.state.can_receive() {
                self.call_session(&[], stream, cx, |session, _, context, outbox| {
                    session.drained(context, outbox);
                    0
                })?;
            }
        }
        if self.is_input_blocked() && !self.is_output_full(cx.common) && self.state.can_receive() {
            self.answer_kept_input(stream, cx)?;
        }
        Ok(())
    }

    fn write_pending<T: Stream>(
        &mut self,
        stream: &mut T,
        common: &mut Common<S::Shared>,
    ) -> Result {
        // Without an event since the last write that would block, another write only costs a system call.
        if !self.readiness.contains(Readiness::WRITABLE) {
            return Ok(());
        }
        let Some(buffers) = common.pool.buffers.get_mut(self.buffers) else {
            return Ok(());
        };
        let output = std::mem::take(&mut buffers.output);
        let sent = self.write_until_blocked(None, output.as_slice(), stream, common);
        self.take_output(output, *sent.as_ref().unwrap_or(&0), &mut common.pool);
        sent.map(|_| ())
    }

    /// Writes from outside a call of the session, as a client does.
    ///
    /// Output written before the connection is established is sent afterwards. After FIN was sent or queued, nothing more
    /// can be written: then the result is false, and `write` is not called.
    ///
    /// # Errors
    /// Why the connection has ended; its owner is to close it.
    pub fn write<T: Stream>(
        &mut self,
        stream: &mut T,
        cx: &mut DriveContext<'_, S::Shared>,
        write: impl FnOnce(&mut Outbox<'_>),
    ) -> Result<bool, CloseReason> {
        if !self.state.can_send() {
            return Ok(false);
        }
        self.call_session(&[], stream, cx, |session, _, context, outbox| {
            session.write(context, outbox, write);
            0
        })?;
        Ok(true)
    }
}

impl<P> Common<P> {
    /// Whether a write that sent nothing would block; false if it is to be repeated.
    #[cold]
    fn is_blocked(&mut self, refused: io::Result<usize>) -> Result<bool> {
        let error = match refused {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(false),
            Err(error) => error,
            // The kernel does not return this for output that is not empty; repeating the write might never end.
            Ok(_) => ErrorKind::WriteZero.into(),
        };
        let reason = CloseReason::of_error(&error, CloseReason::WriteFailed);
        self.last_error = Some(error);
        Err(reason)
    }
}
