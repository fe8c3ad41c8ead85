//! The memory that connections hold for what they owe and for messages that are not whole yet, all together, and who
//! waits for it.
//!
//! While it is scarce, who holds some of it reads no more. Memory that is held for debts comes free by itself: peers take
//! what they are owed, or are reset when they stall. Memory that is held for unfinished messages would not: their senders
//! are not read, and so none of them is ever finished. Hence one rule more.
//!
//! **While memory is scarce and more than half of what makes it so is held for unfinished messages, connections give way:
//! one after another, those that hold at least the mean of it are closed, for lack of memory.**
//!
//! There is always one that holds the mean, so there is room again at the end of the same turn. Who sends short messages
//! does not pay for those who send long ones. And if no more than half is held so, the rest is debts, and they end. A
//! message that is too large for all memory together is the one that gives way.

use crate::net::Key;
use crate::reactor::OutOfMemory;
use std::collections::VecDeque;

/// Counts the bytes of memory that all connections of a loop hold, against one limit.
///
/// Invariant: `held` is the sum of what each connection has reported; `unfinished` and `unfinished_count` are those of
/// the connections that have said so of theirs.
#[derive(Debug)]
pub struct Pool {
    limit: usize,
    /// Below this there is memory for everybody.
    plenty: usize,
    held: usize,
    /// The part of `held` that nothing but input could free.
    unfinished: usize,
    unfinished_count: usize,
    waiting: VecDeque<Key>,
    refuses: bool,
}

/// What one connection holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Bytes of memory.
    pub(super) held: usize,
    /// Whether it is held for a message that is not whole, and for nothing else.
    pub(super) is_unfinished: bool,
}

impl Share {
    fn unfinished(self) -> usize {
        if self.is_unfinished { self.held } else { 0 }
    }
}

impl Pool {
    /// A pool of `limit` bytes, none of which is held.
    #[must_use]
    pub fn new(limit: usize) -> Pool {
        Pool {
            limit,
            plenty: limit - limit / 8,
            held: 0,
            unfinished: 0,
            unfinished_count: 0,
            waiting: VecDeque::new(),
            refuses: false,
        }
    }

    /// Whether so much is held that nobody may read, since what is read may have to be held too.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held >= self.limit
    }

    /// Whether so much is held that only those may read who will hardly have to hold anything of it. They have the last
    /// eighth, because the kernel's word that it will take an answer is not a promise.
    #[inline]
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.held >= self.plenty
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
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

    /// Who held `before` bytes holds `after` now: a connection, or its owner, who keeps what connections have brought
    /// until it can be handed on. So what cannot be handed on keeps connections from being read.
    pub fn account(&mut self, before: usize, after: usize) {
        let debt = |held| Share {
            held,
            is_unfinished: false,
        };
        self.account_share(debt(before), debt(after));
    }

    /// A connection that held `before` holds `after` now.
    pub(super) fn account_share(&mut self, before: Share, after: Share) {
        debug_assert!(
            before.held <= self.held && before.unfinished() <= self.unfinished,
            "nobody gives back what he has not got"
        );
        let change = |sum: usize, before, after| sum.saturating_sub(before).saturating_add(after);
        self.held = change(self.held, before.held, after.held);
        self.unfinished = change(self.unfinished, before.unfinished(), after.unfinished());
        let count = |share: Share| usize::from(share.is_unfinished);
        self.unfinished_count = change(self.unfinished_count, count(before), count(after));
    }

    /// How much a connection holds for an unfinished message that is to give way now, at least; `None` if nobody is to.
    pub(super) fn gives_way_from(&self) -> Option<usize> {
        let is_stuck = self.is_scarce() && self.unfinished > self.plenty / 2;
        is_stuck.then(|| self.unfinished / self.unfinished_count.max(1))
    }

    /// How many more bytes may be held before memory is scarce.
    pub(super) fn room(&self) -> usize {
        self.plenty.saturating_sub(self.held)
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
    fn it_is_full_from_its_limit_on_and_has_room_below() {
        let mut pool = Pool::new(100);
        assert!(!pool.is_full());
        pool.account(0, 99);
        assert_eq!((pool.held(), pool.room(), pool.is_full()), (99, 0, false));
        pool.account(9, 60);
        assert_eq!((pool.held(), pool.room(), pool.is_full()), (150, 0, true));
        pool.account(150, 87);
        assert_eq!((pool.room(), pool.is_scarce()), (1, false));
        pool.account(0, 1);
        assert_eq!((pool.room(), pool.is_scarce()), (0, true));
        pool.account(0, 62);
        pool.account(50, 0);
        assert!(pool.is_full(), "at its limit");
    }

    fn unfinished(held: usize) -> Share {
        Share {
            held,
            is_unfinished: true,
        }
    }

    #[test]
    fn who_holds_the_mean_of_unfinished_messages_gives_way_when_they_are_most_of_what_is_held() {
        let mut pool = Pool::new(800);
        pool.account_share(Share::default(), unfinished(100));
        pool.account_share(Share::default(), unfinished(251));
        assert_eq!(pool.gives_way_from(), None, "there is memory enough");
        pool.account(0, 349);
        assert_eq!(pool.gives_way_from(), Some(175));
        pool.account_share(unfinished(251), unfinished(250));
        pool.account(0, 1);
        assert!(pool.is_scarce());
        assert_eq!(pool.gives_way_from(), None, "half of it is debts");
        pool.account_share(unfinished(250), unfinished(700));
        assert_eq!(pool.gives_way_from(), Some(400));
        pool.account_share(unfinished(700), Share::default());
        pool.account_share(unfinished(100), Share::default());
        pool.account(350, 0);
        let left = (pool.held(), pool.unfinished, pool.unfinished_count);
        assert_eq!(left, (0, 0, 0));
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
