//! The memory that all connections hold together: pending output, and incomplete messages.
//!
//! A share of the limit is set aside for each connection: `min(16 KiB, limit / (2 * connections))`. A connection that
//! holds less is always read, however much the others hold. Memory is scarce when the rest of the limit is used up. Then
//! connections that hold more than their share are not read, and some are evicted until memory is no longer scarce
//! ([`Driver::next_to_evict`](super::Driver::next_to_evict)):
//!
//! 1. connections with pending output of which the peer has acknowledged nothing for a second, largest first;
//! 2. then connections with an incomplete message, largest first, if these hold most of the memory, or if memory has been
//!    scarce for a second without a connection of the first kind. They are not read, so they never complete their
//!    messages.
//!
//! No connection is evicted that holds less than its share. Memory that an incomplete message does not need is freed before.

use super::buffers::Buffers;
use super::by_size::{BuffersId, BySize, Kind};
use super::{CloseReason, Result};
use crate::memory::OutOfMemory;
use crate::net::Key;
use crate::reactor::KeyQueue;

/// The most that is set aside for one connection, in bytes.
const LARGEST_SHARE: usize = 16 * 1024;

/// The buffers of all connections of a loop, counted against one limit.
///
/// Invariant: `held` is the sum of what was counted for each connection and of `owners`; `incomplete` is the sum for
/// connections that hold only an incomplete message.
#[derive(Debug, Default)]
pub struct Pool {
    limit: usize,
    /// Half of the limit, below which memory is never scarce.
    half: usize,
    /// While less is held, connections are driven as usual: the half, or zero in an iteration that is observed.
    usual_below: usize,
    /// In this iteration, calls are recorded or input is logged.
    is_observed: bool,
    held: usize,
    /// The most that was held.
    most: usize,
    /// The part of `held` that belongs to the owner of the connections.
    owners: usize,
    incomplete: usize,
    /// Connections that are open or connecting.
    connections: usize,
    /// The buffers of each connection that has any; after a change, [`update`](Pool::update) is to follow.
    pub(super) buffers: BySize,
    /// Connections that would read if there were memory.
    pub(super) waiting: KeyQueue,
    /// The number of waiting connections that are driven although there is no memory.
    rechecks: usize,
    refuses: bool,
}

impl Pool {
    /// A pool of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Pool {
        Pool {
            limit,
            half: limit / 2,
            usual_below: limit / 2,
            ..Pool::default()
        }
    }

    /// Counts a connection that was opened, or is connecting.
    pub(super) fn connection_opened(&mut self) {
        self.connections += 1;
    }

    /// Counts a connection that was closed, and frees its buffers.
    pub(super) fn connection_closed(&mut self, id: BuffersId) {
        self.connections = self.connections.saturating_sub(1);
        self.release(id);
    }

    /// The memory set aside for each connection: one that holds less is read and never evicted.
    pub(super) fn share(&self) -> usize {
        LARGEST_SHARE.min(self.limit / (2 * self.connections.max(1)))
    }

    /// The number of bytes from which on memory is scarce. At least an eighth of the limit stays free, since a read may
    /// add more than was left.
    fn plenty(&self) -> usize {
        let set_aside = self.share().saturating_mul(self.connections);
        self.limit - set_aside.max(self.limit / 8).min(self.limit)
    }

    /// Whether the limit is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held >= self.limit
    }

    /// Whether memory is scarce, so that only connections that hold less than their share are read.
    #[inline]
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        // At most half of the limit is set aside, so the first comparison nearly always decides.
        self.held >= self.half && self.is_scarce_by_shares()
    }

    /// An iteration begins. If it `is_observed`, no connection takes the usual path, on which calls are not recorded and
    /// input is not logged.
    pub(super) fn begin_iteration(&mut self, is_observed: bool) {
        self.usual_below = if is_observed { 0 } else { self.half };
        self.is_observed = is_observed;
    }

    /// Whether memory is not scarce, and nothing is observed: one comparison for nearly every message.
    #[inline]
    pub(super) fn is_usual(&self) -> bool {
        self.held < self.usual_below || self.is_usual_by_shares()
    }

    #[cold]
    fn is_usual_by_shares(&self) -> bool {
        !self.is_observed && !self.is_scarce()
    }

    #[cold]
    fn is_scarce_by_shares(&self) -> bool {
        self.held >= self.plenty()
    }

    /// The number of bytes held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// The most bytes that were held at a time.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether incomplete messages hold most of the memory.
    pub(super) fn is_mostly_incomplete(&self) -> bool {
        self.incomplete > self.held / 2
    }

    /// Sets whether every allocation is refused, as on a machine without free memory. For tests.
    #[doc(hidden)]
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Fails if allocations are [refused](Pool::refuse).
    pub(super) fn grants(&self) -> Result<(), OutOfMemory> {
        if self.refuses {
            Err(OutOfMemory)
        } else {
            Ok(())
        }
    }

    /// Counts memory of the owner of the connections: it held `before` bytes of their input, and now holds `after`. While
    /// that is much, connections are not read.
    pub fn account(&mut self, before: usize, after: usize) {
        debug_assert!(before <= self.owners, "more is freed than is held");
        self.owners = self.owners.saturating_sub(before).saturating_add(after);
        self.held = self.held.saturating_sub(before).saturating_add(after);
        self.most = self.most.max(self.held);
    }

    /// The number of bytes that a connection may still hold within its share: none while the owner holds too much.
    pub(super) fn space_in_share(&self, id: BuffersId) -> usize {
        if self.owners >= self.plenty() {
            return 0;
        }
        let held = self.held_by(id).max(Buffers::LEAST);
        self.share().saturating_sub(held)
    }

    /// The bytes of memory counted for one connection.
    pub(super) fn held_by(&self, id: BuffersId) -> usize {
        self.buffers.get(id).map_or(0, |buffers| buffers.counted)
    }

    /// The buffers of the connection with this key, allocated if it has none; [`update`](Pool::update) is to follow.
    pub(super) fn hold(&mut self, id: &mut BuffersId, key: Key) -> Result<&mut Buffers> {
        self.grants().map_err(|_| CloseReason::NoMemory)?;
        if id.is_none() {
            *id = self.buffers.add(key).map_err(|_| CloseReason::NoMemory)?;
        }
        self.buffers.get_mut(*id).ok_or(CloseReason::NoMemory)
    }

    /// Counts the memory that a connection holds now, and frees its buffers if they are empty.
    pub(super) fn update(&mut self, id: &mut BuffersId, kind: Kind) {
        let Some(buffers) = self.buffers.get_mut(*id) else {
            return;
        };
        if buffers.is_empty() {
            self.release(std::mem::replace(id, BuffersId::NONE));
            return;
        }
        let before = (buffers.link.kind(), buffers.counted);
        let after = (kind, buffers.footprint());
        if before != after {
            buffers.counted = after.1;
            self.count(before, after);
            self.buffers.relist(*id, kind, after.1);
        }
    }

    fn count(&mut self, before: (Kind, usize), after: (Kind, usize)) {
        self.held = self.held.saturating_sub(before.1).saturating_add(after.1);
        self.most = self.most.max(self.held);
        if before.0 == Kind::Incomplete {
            self.incomplete = self.incomplete.saturating_sub(before.1);
        }
        if after.0 == Kind::Incomplete {
            self.incomplete += after.1;
        }
    }

    fn release(&mut self, id: BuffersId) {
        if let Some(buffers) = self.buffers.get(id) {
            let before = (buffers.link.kind(), buffers.counted);
            self.count(before, (Kind::Pending, 0));
            self.buffers.remove(id);
        }
    }

    /// The connection that holds the most memory of this kind of those not found in this round, if that may be more than
    /// its share.
    pub(super) fn largest(&mut self, kind: Kind, round: u32) -> Option<Key> {
        let share = self.share();
        self.buffers.largest(kind, share, round)
    }

    /// Lets [`places`](Pool::places) return `count` more, although there is no memory.
    pub(super) fn recheck(&mut self, count: usize) {
        self.rechecks = count;
    }

    /// The number of waiting connections that may be driven now, if each reads `read_size` bytes.
    pub(super) fn places(&mut self, read_size: usize) -> usize {
        self.space().div_ceil(read_size) + std::mem::take(&mut self.rechecks)
    }

    /// The number of bytes that may still be held before memory is scarce.
    fn space(&self) -> usize {
        self.plenty().saturating_sub(self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(serial: u32) -> Key {
        Key { slot: 0, serial }
    }

    #[test]
    fn pool_is_scarce_an_eighth_before_it_is_full() {
        let mut pool = Pool::new(100);
        pool.account(0, 87);
        assert_eq!(
            (pool.held(), pool.space(), pool.is_scarce()),
            (87, 1, false)
        );
        pool.account(0, 1);
        assert_eq!(
            (pool.space(), pool.is_scarce(), pool.is_full()),
            (0, true, false)
        );
        pool.account(8, 20);
        assert_eq!((pool.space(), pool.is_full()), (0, true));
        pool.account(100, 0);
        assert_eq!((pool.held(), pool.most()), (0, 100));
    }

    #[test]
    fn usual_path_needs_memory_that_is_not_scarce_and_no_observer() {
        let mut pool = Pool::new(100);
        // Nothing is held; more than half; scarce.
        for (held, is_usual) in [(0, true), (60, true), (90, false)] {
            pool.account(pool.held(), held);
            pool.begin_iteration(false);
            assert_eq!(pool.is_usual(), is_usual, "{held} held");
            pool.begin_iteration(true);
            assert!(!pool.is_usual(), "{held} held, observed");
        }
    }

    #[test]
    fn at_most_half_of_the_limit_is_set_aside() {
        let mut pool = Pool::new(1 << 20);
        assert_eq!(pool.share(), LARGEST_SHARE);
        for _ in 0..16 {
            pool.connection_opened();
        }
        assert_eq!(
            (pool.share(), pool.plenty()),
            (16 << 10, (1 << 20) - (256 << 10))
        );
        for _ in 16..100 {
            pool.connection_opened();
        }
        assert_eq!(pool.share(), (1 << 20) / 200);
        assert!(pool.plenty() >= 1 << 19);
        pool.connection_closed(BuffersId::NONE);
        assert_eq!(pool.share(), (1 << 20) / 198);
    }

    #[test]
    fn buffers_are_counted_and_the_largest_is_found() {
        let mut pool = Pool::new(1000);
        pool.connections = 100;
        let mut ids = [BuffersId::NONE; 3];
        for (serial, id) in (1..).zip(&mut ids) {
            let buffers = pool.hold(id, key(serial)).unwrap();
            let bytes = vec![0; 1000 * serial as usize];
            if serial == 3 {
                buffers.input.push(&bytes).unwrap();
                pool.update(id, Kind::Incomplete);
            } else {
                buffers.output.push(&bytes).unwrap();
                pool.update(id, Kind::Pending);
            }
        }
        let entry = Buffers::LEAST - super::super::fifo::SMALLEST;
        assert_eq!(pool.held(), 6000 + 3 * entry);
        assert!(!pool.is_mostly_incomplete());
        assert_eq!(pool.largest(Kind::Pending, 1), Some(key(2)));
        assert_eq!(pool.largest(Kind::Incomplete, 1), Some(key(3)));
        let buffers = pool.buffers.get_mut(ids[1]).unwrap();
        buffers.output = super::super::Fifo::default();
        buffers.input.push(&[0; 10]).unwrap();
        pool.update(&mut ids[1], Kind::Incomplete);
        assert_eq!(pool.held(), 4000 + 3 * entry);
        assert!(pool.is_mostly_incomplete());
        assert_eq!(pool.largest(Kind::Pending, 2), Some(key(1)));
        for id in ids {
            pool.connection_closed(id);
        }
        assert_eq!((pool.held(), pool.incomplete), (0, 0));
        assert_eq!(pool.largest(Kind::Pending, 3), None);
        assert_eq!(pool.largest(Kind::Incomplete, 3), None);
    }

    #[test]
    fn empty_buffers_are_freed() {
        let mut pool = Pool::new(1000);
        let mut id = BuffersId::NONE;
        pool.hold(&mut id, key(1))
            .unwrap()
            .output
            .push(b"abc")
            .unwrap();
        pool.update(&mut id, Kind::Pending);
        assert!(!id.is_none() && pool.held() > 0);
        pool.buffers.get_mut(id).unwrap().output.take(3);
        pool.update(&mut id, Kind::Pending);
        assert_eq!((id, pool.held()), (BuffersId::NONE, 0));
    }
}
