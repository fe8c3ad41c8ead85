//! From the session to the socket: one write, and what to do with what it did not take.

use super::held::hold;
use super::{CloseReason, Common, Connection, Pool, State, Workbench};
use crate::net::{Key, Readiness, Stream};
use crate::protocol::{Outbox, Protocol, Session};
use std::io::{self, ErrorKind};

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// Sends what a session has said: to the kernel as much as it takes, the rest is owed.
    pub(super) fn deliver<T: Stream>(
        &mut self,
        bytes: &[u8],
        stream: &mut T,
        common: &mut Common<S::Shared>,
    ) -> Result<(), CloseReason> {
        if matches!(self.state, State::HalfClosed | State::Lingering(_)) {
            // Nothing can be sent behind our FIN.
            return Ok(());
        }
        if self.owes() || self.is_connecting() {
            return self.owe(bytes, &mut common.pool);
        }
        let key = common.pool.current;
        self.deliver_caught_up(bytes, stream, common, key)
            .map(|_| ())
    }

    /// As [`deliver`](Self::deliver), for a connection that stands and owes nothing. True when the kernel has taken all.
    #[expect(clippy::inline_always, reason = "on the way of every byte")]
    #[inline(always)]
    pub(super) fn deliver_caught_up<T: Stream>(
        &mut self,
        bytes: &[u8],
        stream: &mut T,
        common: &mut Common<S::Shared>,
        key: Key,
    ) -> Result<bool, CloseReason> {
        if bytes.is_empty() {
            return Ok(true);
        }
        match stream.write(bytes) {
            Ok(count) if count == bytes.len() => {
                self.bytes_out += count as u64;
                Ok(true)
            }
            taken => {
                common.pool.current = key;
                self.deliver_rest(taken, bytes, stream, common)?;
                Ok(!self.owes())
            }
        }
    }

    /// Goes on with a write that did not take all, until one would block: only then is an edge owed for more room.
    #[cold]
    #[inline(never)]
    fn deliver_rest<T: Stream>(
        &mut self,
        mut taken: io::Result<usize>,
        mut bytes: &[u8],
        stream: &mut T,
        common: &mut Common<S::Shared>,
    ) -> Result<(), CloseReason> {
        loop {
            match taken {
                Ok(count) if count > 0 => {
                    self.bytes_out += count as u64;
                    bytes = &bytes[count..];
                }
                refused => {
                    if common.refusal(refused)? {
                        self.readiness = self.readiness.without(Readiness::WRITABLE);
                        return self.owe(bytes, &mut common.pool);
                    }
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
            taken = stream.write(bytes);
        }
    }

    /// Keeps bytes for the peer until the kernel takes them.
    #[cold]
    #[inline(never)]
    fn owe(&mut self, bytes: &[u8], pool: &mut Pool) -> Result<(), CloseReason> {
        if bytes.is_empty() {
            return Ok(());
        }
        let held = hold(&mut self.held, pool)?;
        held.owed.push(bytes).map_err(|_| CloseReason::NoMemory)?;
        held.account(pool);
        Ok(())
    }

    /// Writes what is owed until it has gone or the kernel takes no more; then lets the session go on.
    pub(super) fn flush<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        if self.owes() {
            self.write_owed(stream, bench.common)?;
            self.account(&mut bench.common.pool);
            if self.owes() {
                return Ok(());
            }
            if self.may_receive() {
                self.consult(&[], stream, bench, |session, _, context, outbox| {
                    session.drained(context, outbox);
                    0
                })?;
            }
        }
        if self.holds_back() && self.may_receive() && !self.owes() {
            self.answer_kept_input(stream, bench)?;
        }
        Ok(())
    }

    fn write_owed<T: Stream>(
        &mut self,
        stream: &mut T,
        common: &mut Common<S::Shared>,
    ) -> Result<(), CloseReason> {
        let Some([held]) = self.held.as_deref_mut() else {
            return Ok(());
        };
        // Without an edge since the last refusal there is nothing to be had: it would be a system call for nothing.
        while !held.owed.is_empty() && self.readiness.contains(Readiness::WRITABLE) {
            match stream.write(held.owed.as_slice()) {
                Ok(count) if count > 0 => {
                    self.bytes_out += count as u64;
                    held.owed.take(count);
                }
                refused => {
                    if common.refusal(refused)? {
                        self.readiness = self.readiness.without(Readiness::WRITABLE);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says something from outside a session's turn, as a client does.
    ///
    /// What is said before the connection stands waits until it does. After our FIN, or when that is the next thing to
    /// be sent, nothing more can be said: then this is false, and `say` is not asked.
    ///
    /// # Errors
    /// Why the connection has ended; its owner is to close it.
    pub fn write<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
        say: impl FnOnce(&mut Outbox<'_>),
    ) -> Result<bool, CloseReason> {
        if !self.may_speak() {
            return Ok(false);
        }
        let said = self.consult(&[], stream, bench, |_, _, _, outbox| {
            say(outbox);
            0
        });
        said.map(|_| true)
    }
}

impl<P> Common<P> {
    /// What a write that took nothing means: true when the kernel has no room now, false when it is to be tried again.
    #[cold]
    fn refusal(&mut self, refused: io::Result<usize>) -> Result<bool, CloseReason> {
        let error = match refused {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(false),
            Err(error) => error,
            // Of a write that was not empty that is unheard of; to try again might go on for ever.
            Ok(_) => ErrorKind::WriteZero.into(),
        };
        let reason = CloseReason::of_write_error(&error);
        self.last_error = Some(error);
        Err(reason)
    }
}
