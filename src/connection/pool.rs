//! The memory that connections hold, all together: for output that peers do not read, and for messages that are not
//! complete.
//!
//! Each connection has a share of the limit that is set aside for it: `min(16 KiB, limit / (2 * connections))`. A
//! connection that holds less is always read, whatever the others hold. Memory is scarce when the rest of the limit is
//! used up. Then connections that hold more than their share are not read, and some are evicted until it is no longer
//! scarce ([`Driver::next_to_evict`](super::Driver::next_to_evict)):
//!
//! 1. those with pending output of which the peer has acknowledged nothing for a second, largest first;
//! 2. then those with a message that is not complete, largest first, if these hold most of the memory, or if memory has
//!    been scarce for a second in which none of the first kind was found. What they hold is not freed otherwise: they are not read, so no message of theirs is ever
//!    completed.
//!
//! No connection is evicted that holds less than its share.

use super::holders::{Holders, Kind, Place};
use crate::net::Key;
use crate::reactor::OutOfMemory;
use std::collections::VecDeque;

/// The most that is set aside for one connection, in bytes.
const LARGEST_SHARE: usize = 16 * 1024;

/// Counts the bytes of memory that all connections of a loop hold, against one limit.
///
/// Invariant: `held` is the sum of what each connection has reported; `unfinished` is that of the connections that hold
/// nothing but a message that is not complete.
#[derive(Debug)]
pub struct Pool {
    limit: usize,
    held: usize,
    /// The part of `held` that is not any connection's.
    owners: usize,
    unfinished: usize,
    /// Connections that are open or connecting.
    connections: usize,
    /// The connection that is being driven: what is reported next is held for it.
    pub(super) current: Key,
    holders: Holders,
    waiting: VecDeque<Key>,
    /// So many of those that wait are driven although there is no memory.
    rechecks: usize,
    refuses: bool,
}

/// What one connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Bytes of memory.
    pub(super) held: usize,
    /// Whether it is held for a message that is not complete, and for nothing else.
    pub(super) is_unfinished: bool,
    place: Place,
}

impl Default for Share {
    fn default() -> Share {
        Share {
            held: 0,
            is_unfinished: false,
            place: Place::NONE,
        }
    }
}

impl Share {
    fn unfinished(self) -> usize {
        if self.is_unfinished { self.held } else { 0 }
    }

    fn kind(self) -> Kind {
        if self.is_unfinished {
            Kind::Unfinished
        } else {
            Kind::Pending
        }
    }
}

impl Pool {
    /// A pool of `limit` bytes, none of which is held.
    #[must_use]
    pub fn new(limit: usize) -> Pool {
        Pool {
            limit,
            held: 0,
            owners: 0,
            unfinished: 0,
            connections: 0,
            current: Key { slot: 0, serial: 0 },
            holders: Holders::new(),
            waiting: VecDeque::new(),
            rechecks: 0,
            refuses: false,
        }
    }

    /// A connection was opened or begun.
    pub(super) fn connection_opened(&mut self) {
        self.connections += 1;
    }

    /// A connection was closed.
    pub(super) fn connection_closed(&mut self) {
        self.connections = self.connections.saturating_sub(1);
    }

    /// What is set aside for each connection: one that holds less is read and never evicted.
    pub(super) fn share(&self) -> usize {
        LARGEST_SHARE.min(self.limit / (2 * self.connections.max(1)))
    }

    /// What may be held before only those are read that hold less than their share. An eighth of the limit is left for
    /// what a read may bring beyond it.
    fn plenty(&self) -> usize {
        let set_aside = self.share().saturating_mul(self.connections);
        self.limit - set_aside.max(self.limit / 8).min(self.limit)
    }

    /// Whether the limit is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held >= self.limit
    }

    /// Whether so much is held that only those connections are read that hold less than their share.
    #[inline]
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        // Half of the limit is never set aside, so the first comparison decides it nearly always.
        self.held >= self.limit / 2 && self.is_scarce_by_shares()
    }

    #[cold]
    fn is_scarce_by_shares(&self) -> bool {
        self.held >= self.plenty()
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether messages that are not complete hold most of the memory.
    pub(super) fn is_mostly_unfinished(&self) -> bool {
        self.unfinished > self.held / 2
    }

    /// From now on grants no memory, as if the machine had none left, or does again. For tests, which cannot make a
    /// machine run out of it.
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Whether memory may be asked for.
    pub(super) fn grants(&self) -> Result<(), OutOfMemory> {
        if self.refuses {
            Err(OutOfMemory)
        } else {
            Ok(())
        }
    }

    /// The owner of the connections held `before` bytes and holds `after` now, of what they have brought and what could
    /// not be passed on. So what cannot be passed on keeps connections from being read.
    pub fn account(&mut self, before: usize, after: usize) {
        debug_assert!(before <= self.owners, "more is given back than is held");
        self.owners = self.owners.saturating_sub(before).saturating_add(after);
        self.held = self.held.saturating_sub(before).saturating_add(after);
    }

    /// Whether each connection may use up its share. The owner's memory has none, so that it slows down all of them.
    pub(super) fn grants_shares(&self) -> bool {
        self.owners < self.plenty()
    }

    /// The current connection, which held `share`, holds `after` bytes now.
    pub(super) fn update(&mut self, share: &mut Share, after: usize, is_unfinished: bool) {
        debug_assert!(share.unfinished() <= self.unfinished, "it was counted");
        let before = *share;
        share.held = after;
        share.is_unfinished = is_unfinished && after > 0;
        self.held = self.held.saturating_sub(before.held).saturating_add(after);
        self.unfinished = self.unfinished.saturating_sub(before.unfinished()) + share.unfinished();
        if after == 0 {
            self.holders
                .remove(std::mem::replace(&mut share.place, Place::NONE));
        } else if share.place == Place::NONE {
            // Without memory to list it, it is not evicted.
            let place = self.holders.add(self.current, share.kind(), after);
            share.place = place.unwrap_or(Place::NONE);
        } else {
            self.holders.change(share.place, share.kind(), after);
        }
    }

    /// The connection that holds most pending output of those not found in this round, if it may be more than its share.
    pub(super) fn largest_pending(&mut self, round: u32) -> Option<Key> {
        let share = self.share();
        self.holders.largest(Kind::Pending, share, round)
    }

    /// The same of messages that are not complete.
    pub(super) fn largest_unfinished(&mut self, round: u32) -> Option<Key> {
        let share = self.share();
        self.holders.largest(Kind::Unfinished, share, round)
    }

    /// Has so many connections driven that wait for memory, even if there is none.
    pub(super) fn recheck(&mut self, count: usize) {
        self.rechecks = count;
    }

    /// How many connections that wait may be driven now, if each reads so many bytes.
    pub(super) fn places(&mut self, read_size: usize) -> usize {
        self.room().div_ceil(read_size) + std::mem::take(&mut self.rechecks)
    }

    /// How many more bytes may be held before memory is scarce.
    pub(super) fn room(&self) -> usize {
        self.plenty().saturating_sub(self.held)
    }

    /// Remembers who would read if there were room.
    pub(super) fn wait(&mut self, key: Key) -> Result<(), OutOfMemory> {
        self.grants()?;
        self.waiting.try_reserve(1).map_err(|_| OutOfMemory)?;
        self.waiting.push_back(key);
        Ok(())
    }

    /// Whether anybody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so many wait that some of them must be gone, when there are `live` connections in all.
    pub(super) fn is_overgrown(&self, live: usize) -> bool {
        self.waiting.len() > 2 * live + 64
    }

    /// Forgets those who do not wait any more.
    pub(super) fn keep_waiting(&mut self, still_waits: impl FnMut(&Key) -> bool) {
        self.waiting.retain(still_waits);
    }

    /// The one that has waited longest.
    pub(super) fn next_waiting(&mut self) -> Option<Key> {
        let next = self.waiting.pop_front();
        if self.waiting.is_empty() {
            // It has grown behind what connections hold, and would keep all of that from the kernel when it is free.
            self.waiting = VecDeque::new();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(serial: u32) -> Key {
        Key { slot: 0, serial }
    }

    #[test]
    fn it_is_full_at_its_limit_and_scarce_an_eighth_before() {
        let mut pool = Pool::new(100);
        pool.account(0, 87);
        assert_eq!((pool.held(), pool.room(), pool.is_scarce()), (87, 1, false));
        pool.account(0, 1);
        assert_eq!(
            (pool.room(), pool.is_scarce(), pool.is_full()),
            (0, true, false)
        );
        pool.account(8, 20);
        assert_eq!((pool.room(), pool.is_full()), (0, true));
    }

    #[test]
    fn half_of_the_limit_at_most_is_set_aside_in_shares() {
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
        pool.connection_closed();
        assert_eq!(pool.share(), (1 << 20) / 198);
    }

    #[test]
    fn what_a_connection_holds_is_counted_and_the_largest_found() {
        let mut pool = Pool::new(1000);
        pool.connections = 100;
        let mut shares = [Share::default(); 3];
        for (serial, share) in (1..).zip(&mut shares) {
            pool.current = key(serial);
            pool.update(share, 100 * serial as usize, serial == 3);
        }
        assert_eq!((pool.held(), pool.is_mostly_unfinished()), (600, false));
        assert_eq!(pool.largest_pending(1), Some(key(2)));
        assert_eq!(pool.largest_unfinished(1), Some(key(3)));
        pool.update(&mut shares[1], 150, true);
        assert_eq!((pool.held(), pool.is_mostly_unfinished()), (550, true));
        assert_eq!(pool.largest_pending(2), Some(key(1)));
        for share in &mut shares {
            pool.update(share, 0, false);
            assert_eq!(*share, Share::default());
        }
        assert_eq!((pool.held(), pool.unfinished), (0, 0));
        assert_eq!(
            (pool.largest_pending(3), pool.largest_unfinished(3)),
            (None, None)
        );
    }

    #[test]
    fn who_waits_stands_in_line_and_the_gone_are_forgotten_when_they_are_many() {
        let mut pool = Pool::new(1);
        assert!(!pool.is_waited_for());
        for serial in 1..=65 {
            assert!(!pool.is_overgrown(0), "{serial}");
            pool.wait(key(serial)).unwrap();
        }
        assert!(pool.is_waited_for() && pool.is_overgrown(0));
        assert!(!pool.is_overgrown(1), "some may wait");
        pool.keep_waiting(|key| key.serial > 63);
        let line: Vec<u32> =
            std::iter::from_fn(|| pool.next_waiting().map(|key| key.serial)).collect();
        assert_eq!(line, [64, 65]);
    }
}
