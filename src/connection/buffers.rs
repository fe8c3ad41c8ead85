//! Memory of a connection that is not idle: pending output, and input that its session has not consumed.

use super::by_size::{Kind, Link};
use super::fifo::SMALLEST;
use super::{CloseReason, Connection, Cx, Fifo, Flags, Pool, Result};
use crate::memory::slab_entry_size;
use crate::net::{Key, Progress, Time};
use crate::protocol::Session;
use std::time::Duration;

/// The buffers of a connection, kept in the [`Pool`] while they are not empty.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Output that the kernel has not accepted.
    pub(super) output: Fifo<0>,
    /// Input that the session has not consumed.
    pub(super) input: Fifo<64>,
    /// The bytes that the peer had acknowledged at the last check, and a time since which that has not changed.
    pub(super) acknowledged: Option<(u64, Time)>,
    /// The bytes that the session holds.
    pub(super) session: usize,
    /// The bytes of memory that the pool has counted, as the kind of the link.
    pub(super) counted: usize,
    pub(super) link: Link,
}

/// The cost of a connection in the middle of a short message, beside its slot.
const _: () = assert!(slab_entry_size::<Buffers>() <= 176);

impl Buffers {
    /// The least memory of a connection that holds bytes outside its buffers' inline storage.
    pub(super) const LEAST: usize = slab_entry_size::<Buffers>() + SMALLEST;

    /// Empty buffers of the connection with this key.
    pub(super) fn of(key: Key) -> Buffers {
        Buffers {
            output: Fifo::default(),
            input: Fifo::default(),
            acknowledged: None,
            session: 0,
            counted: 0,
            link: Link::of(key),
        }
    }

    /// The bytes of memory that the buffers take.
    pub(super) fn footprint(&self) -> usize {
        let allocated = self.output.allocated() + self.input.allocated();
        slab_entry_size::<Buffers>() + allocated + self.session
    }

    /// Whether there is nothing to hold.
    pub(super) fn is_empty(&self) -> bool {
        self.output.is_empty() && self.input.is_empty() && self.session == 0
    }
}

impl<S: Session> Connection<S> {
    /// The number of bytes of pending output. During a handshake, what the session holds counts as well, since it may be
    /// output that is to follow.
    pub fn pending_output(&self, pool: &Pool) -> usize {
        let buffers = pool.buffers.get(self.buffers);
        let output = buffers.map_or(0, |buffers| buffers.output.len());
        if self.session.is_handshaking() {
            return output + self.session.held_bytes();
        }
        output
    }

    /// Whether there is output that the kernel has not accepted.
    #[inline]
    pub(super) fn has_pending_output(&self) -> bool {
        self.flags.contains(Flags::PENDING_OUTPUT)
    }

    /// Whether the session is to be called again without new input.
    #[inline]
    pub(super) fn is_input_blocked(&self) -> bool {
        self.flags.contains(Flags::INPUT_BLOCKED)
    }

    /// Counts the memory that the connection holds now, and frees its buffers if they are empty.
    pub(super) fn account(&mut self, pool: &mut Pool) {
        let is_waiting = Flags::PENDING_OUTPUT | Flags::INPUT_BLOCKED;
        let kind = if self.flags.intersects(is_waiting) {
            Kind::Pending
        } else {
            Kind::Incomplete
        };
        if S::HOLDS_BYTES
            && let Some(buffers) = pool.buffers.get_mut(self.buffers)
        {
            buffers.session = self.session.held_bytes();
        }
        pool.update(&mut self.buffers, kind);
        self.update_caught_up();
    }

    /// The bytes of memory that the connection takes beside its slot, counted now.
    pub fn footprint(&self, pool: &Pool) -> usize {
        pool.buffers.get(self.buffers).map_or(0, Buffers::footprint)
    }

    /// Keeps output until the kernel accepts it.
    #[cold]
    #[inline(never)]
    pub(super) fn keep_output(&mut self, bytes: &[u8], pool: &mut Pool, key: Key) -> Result {
        if bytes.is_empty() {
            return Ok(());
        }
        let kept = pool.hold(&mut self.buffers, key)?.output.push(bytes);
        self.flags.insert(Flags::PENDING_OUTPUT);
        self.account(pool);
        kept.map_err(|_| CloseReason::NoMemory)
    }

    /// Takes `count` bytes of the pending output, which the kernel has accepted.
    pub(super) fn take_output(&mut self, output: Fifo<0>, count: usize, pool: &mut Pool) {
        if let Some(buffers) = pool.buffers.get_mut(self.buffers) {
            buffers.output = output;
            buffers.output.take(count);
            let is_pending = !buffers.output.is_empty();
            self.flags.set(Flags::PENDING_OUTPUT, is_pending);
        }
        self.account(pool);
    }

    /// Keeps input that the session has not consumed.
    #[inline]
    pub(super) fn keep_input(&mut self, rest: &[u8], cx: &mut Cx<'_, S>) -> Result {
        if rest.is_empty() {
            return Ok(());
        }
        let pool = &mut cx.common.pool;
        let kept = pool.hold(&mut self.buffers, cx.key)?.input.push(rest);
        self.account(pool);
        kept.map_err(|_| CloseReason::NoMemory)
    }

    /// Removes the input that the session has not consumed.
    pub(super) fn take_input(&mut self, pool: &mut Pool) -> Fifo<64> {
        self.flags.remove(Flags::INPUT_BLOCKED);
        let buffers = pool.buffers.get_mut(self.buffers);
        buffers.map_or_else(Fifo::default, |buffers| std::mem::take(&mut buffers.input))
    }

    /// Puts back input that was [taken](Self::take_input), and counts it.
    pub(super) fn restore_input(&mut self, input: Fifo<64>, cx: &mut Cx<'_, S>) -> Result {
        let pool = &mut cx.common.pool;
        match pool.buffers.get_mut(self.buffers) {
            // A record that the session has held.
            Some(buffers) if S::HOLDS_BYTES && !buffers.input.is_empty() => {}
            Some(buffers) => buffers.input = input,
            None if input.is_empty() => {}
            None => pool.hold(&mut self.buffers, cx.key)?.input = input,
        }
        self.account(pool);
        Ok(())
    }

    /// Frees the memory of the buffers that is not in use.
    pub(super) fn free_unused(&mut self, pool: &mut Pool) {
        if let Some(buffers) = pool.buffers.get_mut(self.buffers) {
            buffers.output.free_unused();
            buffers.input.free_unused();
        }
        self.account(pool);
    }

    /// Drops the input that the session has not consumed: no more input follows.
    pub(super) fn drop_input(&mut self, pool: &mut Pool) {
        self.take_input(pool).shrink_before_drop();
        self.account(pool);
    }

    /// The least time for which the peer of a connection with pending output has acknowledged no byte.
    ///
    /// The kernel may report less, since it counts repeated acknowledgements as well. So the number of acknowledged bytes
    /// is kept from one call to the next.
    pub(super) fn since_acknowledged(
        &mut self,
        pool: &mut Pool,
        progress: Progress,
        now: Time,
    ) -> Duration {
        let Some(buffers) = pool.buffers.get_mut(self.buffers) else {
            return progress.since_acknowledged;
        };
        let acknowledged = self.bytes_out.saturating_sub(progress.unacknowledged);
        let latest = now.before(progress.since_acknowledged);
        let since = match buffers.acknowledged {
            Some((before, since)) if before == acknowledged => since.min(latest),
            _ => latest,
        };
        buffers.acknowledged = Some((acknowledged, since));
        now.since(since)
    }
}
