//! Memory of a connection that is not idle: bytes that it owes, and input that its session has not consumed.

use super::fifo::SMALLEST;
use super::holders::Holders;
use super::pool::Share;
use super::{CloseReason, Connection, Fifo, Pool, Workbench};
use crate::net::{Progress, Time};
use crate::protocol::{Protocol, Session};
use std::mem::MaybeUninit;
use std::time::Duration;

/// What a connection holds only while it must.
///
/// It is made large on purpose, as are the pieces in a [`Fifo`]. Small pieces that are given back stay in caches of the C
/// library, up to 1,032 bytes in glibc's (mallopt(3)), and one of them at the top of the heap keeps all of the heap
/// below it from going back to the kernel.
#[derive(Debug)]
pub(super) struct Held {
    /// What the peer is owed and the kernel has not taken.
    pub(super) owed: Fifo,
    /// Input that the session has not consumed.
    pub(super) input: Fifo,
    /// The input does not wait for more to come: the session stopped because too much was said and is to be called
    /// again, or it is a record.
    pub(super) input_is_held_back: bool,
    /// The part of the pool that is this connection's.
    pub(super) share: Share,
    /// How many bytes the peer had acknowledged, and since when at the latest, as the last passed deadline found it.
    acknowledged: Option<(u64, Time)>,
    _size: [MaybeUninit<u8>; 992],
}

impl Default for Held {
    fn default() -> Held {
        Held {
            owed: Fifo::default(),
            input: Fifo::default(),
            input_is_held_back: false,
            share: Share::default(),
            acknowledged: None,
            _size: [const { MaybeUninit::uninit() }; 992],
        }
    }
}

impl Held {
    /// What a connection costs at least that holds anything, in bytes.
    pub(super) const LEAST: usize = size_of::<Held>() + Holders::COST + SMALLEST;

    /// How many bytes of memory it is.
    pub(super) fn footprint(&self) -> usize {
        self.owed.footprint() + self.input.footprint() + size_of::<Held>() + Holders::COST
    }

    /// Brings the pool up to date.
    pub(super) fn account(&mut self, pool: &mut Pool) {
        let is_unfinished = self.owed.is_empty() && !self.input_is_held_back;
        let footprint = self.footprint();
        if footprint == self.share.held && is_unfinished == self.share.is_unfinished {
            return;
        }
        pool.update(&mut self.share, footprint, is_unfinished);
    }
}

impl<S: Session> Connection<S>
where
    S::Shared: Protocol<Session = S>,
{
    /// Keeps input that the session has not consumed.
    #[inline]
    pub(super) fn keep_input<P>(
        &mut self,
        rest: &[u8],
        bench: &mut Workbench<'_, P>,
    ) -> Result<(), CloseReason> {
        if rest.is_empty() {
            return Ok(());
        }
        let held = hold(&mut self.held, &bench.common.pool)?;
        held.input.push(rest).map_err(|_| CloseReason::NoMemory)?;
        held.account(&mut bench.common.pool);
        Ok(())
    }

    /// Remembers whether the session is to be called again, without new input, once the peer has read.
    #[cold]
    pub(super) fn hold_back<P>(
        &mut self,
        hold_back: bool,
        bench: &mut Workbench<'_, P>,
    ) -> Result<(), CloseReason> {
        if hold_back == self.holds_back() {
            return Ok(());
        }
        let held = hold(&mut self.held, &bench.common.pool)?;
        held.input_is_held_back = hold_back;
        held.account(&mut bench.common.pool);
        Ok(())
    }

    /// How much memory the connection holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.as_deref().map_or(0, |[held]| held.share.held)
    }

    /// How much memory the connection holds, counted here and now.
    pub fn footprint(&self) -> usize {
        self.held.as_deref().map_or(0, |[held]| held.footprint())
    }

    /// Whether there is input that the session has seen and not answered, because too much was owed.
    pub(super) fn holds_back(&self) -> bool {
        let held = self.held.as_deref();
        held.is_some_and(|[held]| held.input_is_held_back)
    }

    /// Brings the pool up to date, and gives memory back that nothing is held in any more.
    pub(super) fn account(&mut self, pool: &mut Pool) {
        let Some([held]) = self.held.as_deref_mut() else {
            return;
        };
        if held.owed.is_empty() && held.input.is_empty() {
            self.release(pool);
        } else {
            held.account(pool);
        }
    }

    /// For how long at least the peer of a connection with pending output has acknowledged no byte.
    ///
    /// The kernel may say less than that: a peer that acknowledges what it has acknowledged before looks alive to it. So
    /// the count is kept from one call to the next.
    pub(super) fn since_acknowledged(&mut self, progress: Progress, now: Time) -> Duration {
        let acknowledged = self.bytes_out.saturating_sub(progress.unacknowledged);
        let latest = now.before(progress.since_acknowledged);
        let Some([held]) = self.held.as_deref_mut() else {
            return progress.since_acknowledged;
        };
        let since = match held.acknowledged {
            Some((before, since)) if before == acknowledged => since.min(latest),
            _ => latest,
        };
        held.acknowledged = Some((acknowledged, since));
        now.since(since)
    }

    /// Gives back what the connection holds of the pool; called once, when it closes.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        if let Some(mut held) = self.held.take() {
            pool.update(&mut held[0].share, 0, false);
        }
    }
}

/// The place for what must be held, made if it is not there yet.
pub(super) fn hold<'a>(
    place: &'a mut Option<Box<[Held; 1]>>,
    pool: &Pool,
) -> Result<&'a mut Held, CloseReason> {
    pool.grants().map_err(|_| CloseReason::NoMemory)?;
    if place.is_none() {
        let mut one = Vec::new();
        one.try_reserve_exact(1)
            .map_err(|_| CloseReason::NoMemory)?;
        one.push(Held::default());
        *place = one.into_boxed_slice().try_into().ok();
    }
    match place {
        Some(held) => Ok(&mut held[0]),
        None => Err(CloseReason::NoMemory),
    }
}
