//! A queue of connections, by key.

use crate::memory::OutOfMemory;
use crate::net::Key;
use std::collections::VecDeque;

/// The largest capacity that an empty queue keeps. A larger queue was allocated above the buffers of connections, and
/// would stop the allocator from returning their memory to the kernel.
const KEPT_CAPACITY: usize = 256;

/// Keys in the order in which they were queued.
///
/// The key of a connection that has closed stays in the queue, and finds no connection when it is popped. When such
/// keys are the larger part of the queue, they are removed.
#[derive(Debug, Default)]
pub(crate) struct KeyQueue {
    keys: VecDeque<Key>,
}

impl KeyQueue {
    /// Whether no key is queued.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The number of keys, including those of closed connections.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().copied()
    }

    /// The key that was queued first.
    pub(crate) fn front(&self) -> Option<Key> {
        self.keys.front().copied()
    }

    /// Appends a key. `live` is the number of open connections; `is_live` checks whether a key names one.
    ///
    /// # Errors
    /// [`OutOfMemory`] if the queue cannot grow.
    pub(super) fn push(
        &mut self,
        key: Key,
        live: usize,
        is_live: impl Fn(Key) -> bool,
    ) -> Result<(), OutOfMemory> {
        if self.keys.len() > 2 * live + KEPT_CAPACITY {
            self.keys.retain(|key| is_live(*key));
        }
        self.keys.try_reserve(1).map_err(|_| OutOfMemory)?;
        self.keys.push_back(key);
        Ok(())
    }

    /// Removes the key that was queued first.
    pub(crate) fn pop(&mut self) -> Option<Key> {
        let key = self.keys.pop_front();
        if self.keys.is_empty() && self.keys.capacity() > KEPT_CAPACITY {
            self.keys = VecDeque::new();
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(serial: u32) -> Key {
        Key { slot: 0, serial }
    }

    #[test]
    fn keys_are_popped_in_order() {
        let mut queue = KeyQueue::default();
        for serial in 1..=3 {
            queue.push(key(serial), 3, |_| true).unwrap();
        }
        assert_eq!((queue.front(), queue.len()), (Some(key(1)), 3));
        let keys: Vec<u32> = std::iter::from_fn(|| queue.pop().map(|key| key.serial)).collect();
        assert_eq!(keys, [1, 2, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn many_keys_of_closed_connections_are_removed() {
        let mut queue = KeyQueue::default();
        for serial in 1..=259 {
            queue.push(key(serial), 1, |key| key.serial == 200).unwrap();
        }
        assert_eq!(queue.len(), 259, "at the limit, none is removed");
        queue.push(key(260), 1, |key| key.serial == 200).unwrap();
        let keys: Vec<u32> = std::iter::from_fn(|| queue.pop().map(|key| key.serial)).collect();
        assert_eq!(keys, [200, 260]);
    }

    #[test]
    fn large_empty_queue_is_freed_and_small_one_is_kept() {
        let mut queue = KeyQueue::default();
        for serial in 1..=200 {
            queue.push(key(serial), 200, |_| true).unwrap();
        }
        while queue.pop().is_some() {}
        assert!(queue.keys.capacity() >= 200);
        for serial in 1..=1_000 {
            queue.push(key(serial), 1_000, |_| true).unwrap();
        }
        for _ in 0..999 {
            queue.pop();
        }
        assert!(queue.keys.capacity() >= 1_000);
        queue.pop();
        assert_eq!(queue.keys.capacity(), 0);
    }
}
