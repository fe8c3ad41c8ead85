//! Reading from the socket: when, how much, and how the results are handled.

use super::{Common, Connection, Cx, Flags, Outcome, Pool, Result};
use crate::net::{Readiness, Stream};
use crate::protocol::Session;
use std::io::{self, ErrorKind};

/// The size of a read while memory is scarce, in bytes.
pub(super) const SMALL_READ: usize = 4096;

impl<S: Session> Connection<S> {
    /// Reads and answers until there is no more input, the limit of pending output is reached, or the budget is used up.
    pub(super) fn read<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        cx: &mut Cx<'_, S>,
    ) -> Result<Outcome> {
        let size = cx.common.read_size.min(scratch.len());
        loop {
            if !self.state.can_receive() {
                return Ok(Outcome::Event);
            }
            let is_full = self.is_output_full(cx.common);
            if self.is_input_blocked() && !is_full {
                return Ok(Outcome::Again);
            }
            if self.is_input_blocked() || is_full || !self.readiness.contains(Readiness::READABLE) {
                return Ok(Outcome::Event);
            }
            if cx.budget() == 0 {
                return Ok(Outcome::Again);
            }
            let Some(size) = self.size_of_read(size, stream, cx) else {
                return self.wait_for_memory(stream, cx);
            };
            let size = size.min(cx.budget());
            match stream.read(&mut scratch[..size]) {
                Ok(count) if count > 0 => {
                    cx.charge(count);
                    self.on_input(&scratch[..count], count < size, stream, cx)?;
                }
                result => self.on_eof_or_error(result, stream, cx)?,
            }
        }
    }

    /// Whether so much output is pending that the reply to a whole read would exceed the limit.
    pub(super) fn is_output_full(&self, common: &Common<S::Shared>) -> bool {
        let pending = || self.pending_output(&common.pool);
        self.has_pending_output() && pending() + common.read_size > common.limits.max_pending
    }

    /// The number of bytes to read, at most `size`; `None` while there is no memory for them.
    ///
    /// While memory is scarce, a connection is read as far as its share has space. If the share is too small to hold
    /// anything, the connection is read in small steps while it holds nothing and the kernel accepts its output.
    fn size_of_read<T: Stream>(
        &mut self,
        size: usize,
        stream: &mut T,
        cx: &Cx<'_, S>,
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

    /// The number of bytes that a session may write in one call. While memory is scarce, they fit into the connection's
    /// share, since the kernel may accept none of them.
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

    /// Waits for memory without reading. A reset, and a FIN without unread input before it, are still detected.
    fn wait_for_memory<T: Stream>(
        &mut self,
        stream: &mut T,
        cx: &mut Cx<'_, S>,
    ) -> Result<Outcome> {
        let error = stream.take_error();
        if let Some(error) = error.unwrap_or_else(Some) {
            return Err(cx.close_on_read_error(error));
        }
        if stream.is_at_fin() {
            self.on_eof(stream, cx)?;
            return Ok(Outcome::Event);
        }
        Ok(Outcome::Memory)
    }

    /// Handles the rare results of a read: the peer's FIN, no input, an error.
    #[cold]
    #[inline(never)]
    pub(super) fn on_eof_or_error<T: Stream>(
        &mut self,
        result: io::Result<usize>,
        stream: &mut T,
        cx: &mut Cx<'_, S>,
    ) -> Result {
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

    fn on_read_error(&mut self, error: io::Error, cx: &mut Cx<'_, S>) -> Result {
        match error.kind() {
            ErrorKind::WouldBlock => self
                .readiness
                .remove(Readiness::READABLE | Readiness::DRAIN),
            ErrorKind::Interrupted => {}
            _ => return Err(cx.close_on_read_error(error)),
        }
        Ok(())
    }

    /// After our FIN: reads and drops input until the peer's FIN or an error ends the connection.
    pub(super) fn linger<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        cx: &mut Cx<'_, S>,
    ) -> Result<Outcome> {
        let mut budget = cx.common.limits.budget;
        while self.readiness.contains(Readiness::READABLE) {
            if budget == 0 {
                return Ok(Outcome::Again);
            }
            let size = scratch.len().min(budget);
            match stream.read(&mut scratch[..size]) {
                Ok(0) => return Err(self.reason),
                Ok(count) => {
                    budget -= count;
                    cx.common.bytes_dropped += count as u64;
                    self.on_short_read::<T>(count < size);
                }
                Err(error) => self.on_read_error(error, cx).map_err(|_| self.reason)?,
            }
        }
        Ok(Outcome::Event)
    }
}

/// Whether a short read has emptied the socket: the network guarantees that, and no event requires a drain.
#[inline]
pub(super) fn short_read_drains<T: Stream>(readiness: Readiness) -> bool {
    T::SHORT_READ_DRAINS && !readiness.contains(Readiness::DRAIN)
}
