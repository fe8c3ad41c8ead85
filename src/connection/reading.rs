//! From the socket to its connection: how much is read and when, and what a read may bring.

use super::held::Held;
use super::{CloseReason, Connection, Marks, Outcome, Pool, Workbench};
use crate::net::{Readiness, Stream};
use crate::protocol::{Protocol, Session};
use std::io::{self, ErrorKind};

/// How many bytes are read at once while memory is scarce.
pub(super) const SMALL_READ: usize = 4096;

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// Reads and answers until there is no more input, the peer is owed too much, or the budget is used up.
    pub(super) fn read<T: Stream>(
        &mut self,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let limits = bench.common.limits;
        let size = bench.common.read_size.min(scratch.len());
        loop {
            if !self.may_receive() {
                return Ok(Outcome::Event);
            }
            if let Some([held]) = self.held.as_deref() {
                let owes = !held.owed.is_empty();
                if held.input_is_held_back {
                    // It goes on when the peer has read some of the output, or when others have been served.
                    return Ok(if owes { Outcome::Event } else { Outcome::Turn });
                }
                if owes && held.owed.len() + size > limits.max_pending {
                    return Ok(Outcome::Event);
                }
            }
            if !self.readiness.contains(Readiness::READABLE) {
                return Ok(Outcome::Event);
            }
            if bench.budget() == 0 {
                return Ok(Outcome::Turn);
            }
            let Some(size) = self.size_of_read(size, stream, bench) else {
                return self.wait_for_memory(stream, bench);
            };
            let asked = size.min(bench.budget());
            match stream.read(&mut scratch[..asked]) {
                Ok(count) if count > 0 => {
                    bench.charge(count);
                    self.take_in(&scratch[..count], count < asked, stream, bench)?;
                }
                found => self.take_rarity(found, stream, bench)?,
            }
        }
    }

    /// How much may be read at once, at most `size`; `None` while there is no memory to hold it.
    ///
    /// While memory is scarce, a connection is read as long as it holds less than its share, and no more than fits into
    /// that. If a share is too small to hold anything, it is read a little at a time as long as it holds nothing and the
    /// kernel takes its output.
    fn size_of_read<T: Stream, P>(
        &mut self,
        size: usize,
        stream: &mut T,
        bench: &Workbench<'_, P>,
    ) -> Option<usize> {
        self.marks.clear(Marks::WAITS_FOR_ROOM);
        if bench.may_read() {
            return Some(size);
        }
        let space = self.space_in_share(&bench.common.pool);
        if space > 0 {
            return Some(size.min(space));
        }
        if self.held.is_some() || bench.common.pool.is_full() {
            return None;
        }
        if stream.takes_output() {
            return Some(size.min(SMALL_READ));
        }
        self.readiness = self.readiness.without(Readiness::WRITABLE);
        self.marks.set(Marks::WAITS_FOR_ROOM);
        None
    }

    /// How many bytes a connection may still hold within its share.
    fn space_in_share(&self, pool: &Pool) -> usize {
        if !pool.grants_shares() {
            return 0;
        }
        let held = self.held_bytes().max(Held::LEAST);
        pool.share().saturating_sub(held)
    }

    /// How much output a session may produce in one call. While memory is scarce that is no more than fits into the
    /// connection's share, since the kernel may take none of it.
    pub(super) fn output_space(&self, max_pending: usize, pool: &Pool) -> usize {
        let space = max_pending.saturating_sub(self.owed());
        if !pool.is_scarce() {
            return space;
        }
        match self.space_in_share(pool) {
            0 => space.min(SMALL_READ),
            within_share => space.min(within_share),
        }
    }

    /// A connection that waits for memory is not read. But a peer that has reset it, or has closed it with nothing left
    /// to read, is noticed.
    fn wait_for_memory<T: Stream>(
        &mut self,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let error = stream.take_error();
        if let Some(error) = error.unwrap_or_else(Some) {
            let reason = CloseReason::of_read_error(&error);
            bench.common.last_error = Some(error);
            return Err(reason);
        }
        if stream.is_at_fin() {
            self.peer_ended(stream, bench)?;
            return Ok(Outcome::Event);
        }
        Ok(Outcome::Memory)
    }

    /// Heeds what a read brings but rarely: the peer's FIN, nothing, an error.
    #[cold]
    #[inline(never)]
    pub(super) fn take_rarity<T: Stream>(
        &mut self,
        found: io::Result<usize>,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        bench.becomes_holder();
        match found {
            Ok(_) => self.peer_ended(stream, bench),
            Err(error) => self.heed_read_error(error, bench),
        }
    }

    pub(super) fn heed_short_read<T: Stream>(&mut self, short: bool) {
        if short && short_read_drains::<T>(self.readiness) {
            self.readiness = self.readiness.without(Readiness::READABLE);
        }
    }

    fn heed_read_error(
        &mut self,
        error: io::Error,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
        match error.kind() {
            ErrorKind::WouldBlock => {
                let drained = Readiness::READABLE | Readiness::DRAIN;
                self.readiness = self.readiness.without(drained);
                Ok(())
            }
            ErrorKind::Interrupted => Ok(()),
            _ => {
                let reason = CloseReason::of_read_error(&error);
                bench.common.last_error = Some(error);
                Err(reason)
            }
        }
    }

    /// After our FIN: reads and drops until the peer's FIN, or an error, which comes to the same.
    pub(super) fn linger<T: Stream>(
        &mut self,
        reason: CloseReason,
        stream: &mut T,
        scratch: &mut [u8],
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<Outcome, CloseReason> {
        let mut budget = bench.common.limits.budget;
        while self.readiness.contains(Readiness::READABLE) {
            if budget == 0 {
                return Ok(Outcome::Turn);
            }
            match stream.read(scratch) {
                Ok(0) => return Err(reason),
                Ok(count) => {
                    budget = budget.saturating_sub(count);
                    bench.common.bytes_dropped += count as u64;
                    self.heed_short_read::<T>(count < scratch.len());
                }
                Err(error) => self.heed_read_error(error, bench).map_err(|_| reason)?,
            }
        }
        Ok(Outcome::Event)
    }
}

/// Whether a short read has emptied the socket: where the world promises that, and no event says otherwise.
#[inline]
pub(super) fn short_read_drains<T: Stream>(readiness: Readiness) -> bool {
    T::SHORT_READ_DRAINS && !readiness.contains(Readiness::DRAIN)
}
