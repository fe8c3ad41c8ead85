//! From the socket to its connection: how much is read and when, and what a read may bring.

use super::{CloseReason, Connection, Marks, Outcome, Workbench};
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
            if !self.may_receive() || self.owes() && self.owed() + size > limits.max_pending {
                return Ok(Outcome::Event);
            }
            if self.holds_back() {
                // It goes on when the peer has read some of the output, or when others have been served.
                return Ok(if self.owes() {
                    Outcome::Event
                } else {
                    Outcome::Turn
                });
            }
            if !self.readiness.contains(Readiness::READABLE) {
                return Ok(Outcome::Event);
            }
            if bench.budget == 0 {
                return Ok(Outcome::Turn);
            }
            let Some(size) = self.size_of_read(size, stream, bench) else {
                return Ok(Outcome::Memory);
            };
            let asked = size.min(bench.budget);
            match stream.read(&mut scratch[..asked]) {
                Ok(count) if count > 0 => {
                    bench.charge(count);
                    self.take_in(&scratch[..count], count < asked, stream, bench)?;
                }
                found => self.take_rarity(found, stream, bench)?,
            }
        }
    }

    /// How much may be read at once, at most `size`; nothing while that would take memory that there is not.
    ///
    /// While memory is scarce, those are still served whose answers the kernel takes, a little at a time: it is not
    /// they who hold the memory, and nothing of theirs will be held.
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

    /// Heeds what a read brings but rarely: the peer's FIN, nothing, an error.
    #[cold]
    #[inline(never)]
    pub(super) fn take_rarity<T: Stream>(
        &mut self,
        found: io::Result<usize>,
        stream: &mut T,
        bench: &mut Workbench<'_, S::Shared>,
    ) -> Result<(), CloseReason> {
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
