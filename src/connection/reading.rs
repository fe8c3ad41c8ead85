//! From the socket to its connection: how much is read and when, and what a read returns.

use super::{CloseReason, Connection, DriveContext, Flags, Outcome, Pool};
use crate::net::{Readiness, Stream};
use crate::protocol::{Protocol, Session};
use std::io::{self, ErrorKind};

/// How many bytes are read at once while memory is scarce.
pub(super) const SMALL_READ: usize = 4096;

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// Reads and answers until there is no more input, the limit of pending output is reached, or the budget is used up.
    pub(super) fn read<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        cx: &mut DriveContext<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let limits = cx.common.limits;
        let size = cx.common.read_size.min(scratch.len());
        loop {
            if !self.state.can_receive() {
                return Ok(Outcome::Event);
            }
            if self.is_input_blocked() {
                let is_pending = self.has_pending_output();
                return Ok(if is_pending {
                    Outcome::Event
                } else {
                    Outcome::Again
                });
            }
            if self.has_pending_output()
                && self.pending_output(&cx.common.pool) + size > limits.max_pending
            {
                return Ok(Outcome::Event);
            }
            if !self.readiness.contains(Readiness::READABLE) {
                return Ok(Outcome::Event);
            }
            if cx.budget() == 0 {
                return Ok(Outcome::Again);
            }
            let Some(size) = self.size_of_read(size, stream, cx) else {
                return self.wait_for_memory(stream, cx);
            };
            let asked = size.min(cx.budget());
            match stream.read(&mut scratch[..asked]) {
                Ok(count) if count > 0 => {
                    cx.charge(count);
                    self.on_input(&scratch[..count], count < asked, stream, cx)?;
                }
                result => self.on_eof_or_error(result, stream, cx)?,
            }
        }
    }

    /// How much may be read at once, at most `size`; `None` while there is no memory for it.
    ///
    /// While memory is scarce, a connection is read as long as it holds less than its share, and no more than fits into
    /// that. If a share is too small to hold anything, it is read a little at a time as long as it holds nothing and the
    /// kernel accepts its output.
    fn size_of_read<T: Stream, P>(
        &mut self,
        size: usize,
        stream: &mut T,
        cx: &DriveContext<'_, P>,
    ) -> Option<usize> {
        self.flags.remove(Flags::WAITS_FOR_OUTPUT_SPACE);
        if cx.has_memory() {
            return Some(size);
        }
        let pool = &cx.common.pool;
        let space = pool.space_in_share(self.buffers);
        if space > 0 {
            return Some(size.min(space));
        }
        if !self.buffers.is_none() || pool.is_full() {
            return None;
        }
        if stream.takes_output() {
            return Some(size.min(SMALL_READ));
        }
        self.readiness.remove(Readiness::WRITABLE);
        self.flags.insert(Flags::WAITS_FOR_OUTPUT_SPACE);
        None
    }

    /// How much output a session may produce in one call. While memory is scarce that is no more than fits into the
    /// connection's share, since the kernel may accept none of it.
    #[inline]
    pub(super) fn output_space(&self, max_pending: usize, pool: &Pool) -> usize {
        let space = if self.has_pending_output() {
            max_pending.saturating_sub(self.pending_output(pool))
        } else {
            max_pending
        };
        if !pool.is_scarce() {
            return space;
        }
        match pool.space_in_share(self.buffers) {
            0 => space.min(SMALL_READ),
            within_share => space.min(within_share),
        }
    }

    /// A connection that waits for memory is not read, but a peer that has reset it, or closed it with no input left, is
    /// noticed.
    fn wait_for_memory<T: Stream>(
        &mut self,
        stream: &mut T,
        cx: &mut DriveContext<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let error = stream.take_error();
        if let Some(error) = error.unwrap_or_else(Some) {
            let reason = CloseReason::of_read_error(&error);
            return Err(cx.close_with(error, reason));
        }
        if stream.is_at_fin() {
            self.on_eof(stream, cx)?;
            return Ok(Outcome::Event);
        }
        Ok(Outcome::Memory)
    }

    /// Handles what a read returns rarely: the peer's FIN, no input, an error.
    #[cold]
    #[inline(never)]
    pub(super) fn on_eof_or_error<T: Stream>(
        &mut self,
        result: io::Result<usize>,
        stream: &mut T,
        cx: &mut DriveContext<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        match result {
            Ok(_) => self.on_eof(stream, cx),
            Err(error) => self.on_read_error(error, cx),
        }
    }

    pub(super) fn on_short_read<T: Stream>(&mut self, short: bool) {
        if short && short_read_drains::<T>(self.readiness) {
            self.readiness.remove(Readiness::READABLE);
        }
    }

    fn on_read_error(
        &mut self,
        error: io::Error,
        cx: &mut DriveContext<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        match error.kind() {
            ErrorKind::WouldBlock => {
                self.readiness
                    .remove(Readiness::READABLE | Readiness::DRAIN);
                Ok(())
            }
            ErrorKind::Interrupted => Ok(()),
            _ => {
                let reason = CloseReason::of_read_error(&error);
                Err(cx.close_with(error, reason))
            }
        }
    }

    /// After our FIN: reads and drops input until the peer's FIN, or an error, which ends the connection as well.
    pub(super) fn linger<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        cx: &mut DriveContext<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let mut budget = cx.common.limits.budget;
        while self.readiness.contains(Readiness::READABLE) {
            if budget == 0 {
                return Ok(Outcome::Again);
            }
            match stream.read(scratch) {
                Ok(0) => return Err(self.reason),
                Ok(count) => {
                    budget = budget.saturating_sub(count);
                    cx.common.bytes_dropped += count as u64;
                    self.on_short_read::<T>(count < scratch.len());
                }
                Err(error) => self.on_read_error(error, cx).map_err(|_| self.reason)?,
            }
        }
        Ok(Outcome::Event)
    }
}

/// Whether a short read has emptied the socket: where the network promises that, and no event says otherwise.
#[inline]
pub(super) fn short_read_drains<T: Stream>(readiness: Readiness) -> bool {
    T::SHORT_READ_DRAINS && !readiness.contains(Readiness::DRAIN)
}
