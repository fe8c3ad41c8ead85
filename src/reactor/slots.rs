//! The slots: where connections stand, found by key.

use super::deadlines::{Class, Link};
use crate::memory::{OutOfMemory, can_grow};
use crate::net::Key;
use slab::Slab;

/// One connection's place in the loop, and what the loop itself needs to know of it.
///
/// The loop holds the stream, since it registers and closes it; what is done with the stream is the tenant's affair.
/// There may be a million of these: each field is as small as it can be.
#[derive(Debug)]
pub struct Slot<S, T> {
    /// The connection's socket.
    pub stream: S,
    /// The connection's state.
    pub tenant: T,
    serial: u32,
    pub(super) link: Link,
    pub(super) class: Class,
    /// Whether the key is in the run queue, and whether the class is one of rechecks.
    pub(super) marks: u8,
}

/// The key is in the run queue.
pub(super) const QUEUED: u8 = 1;
/// The slot is in its class for a recheck: a byte that moves ends that, also in the tick in which it began.
pub(super) const RECHECKED: u8 = 2;

impl<S, T> Slot<S, T> {
    /// The number of the connection, the `#17` of the log.
    #[inline]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Whether the connection has another turn coming without an event.
    #[inline]
    pub fn is_queued(&self) -> bool {
        self.marks & QUEUED != 0
    }

    /// The list of deadlines that the slot stands in.
    #[inline]
    pub fn class(&self) -> Class {
        self.class
    }
}

/// For how many connections there are places from the start. They take memory only as they are used: a piece of this
/// size comes from the kernel page by page, and grows where it lies. A smaller one would leave a hole in the heap.
const FIRST_SLOTS: usize = 4096;

/// The bit of a key's slot that names the set of slots it belongs to.
const SET_BIT: u32 = 31;

/// A set of slots with tenants of one type. Serials start at 1, go up by one with each connection and skip 0 when they
/// wrap.
///
/// A loop may have a second set, for tenants of another type: its keys differ in one bit, so that each event leads to the
/// set of its connection, and a key of one set finds nothing in the other.
#[derive(Debug)]
pub(super) struct Slots<S, T, const SET: u32 = 0> {
    slab: Slab<Slot<S, T>>,
    last_serial: u32,
}

impl<S, T, const SET: u32> Slots<S, T, SET> {
    /// What is added to an index to make the slot of a key.
    const BASE: u32 = SET << SET_BIT;

    pub(super) fn new() -> Self {
        Slots {
            slab: Slab::with_capacity(FIRST_SLOTS),
            last_serial: 0,
        }
    }

    /// How many slots are taken.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// An index that every slot lies below.
    pub(super) fn end(&self) -> usize {
        self.slab.capacity()
    }

    /// The next slot that is filled gets the serial after this one.
    pub(super) fn number_after(&mut self, serial: u32) {
        self.last_serial = serial;
    }

    /// The key that the next insertion will give out, if there is memory for it.
    pub(super) fn next_key(&self) -> Result<Key, OutOfMemory> {
        let index = u32::try_from(self.slab.vacant_key()).map_err(|_| OutOfMemory)?;
        if index >> SET_BIT != 0 {
            return Err(OutOfMemory);
        }
        let slot = index | Self::BASE;
        if !can_grow(&self.slab) {
            return Err(OutOfMemory);
        }
        let serial = self.last_serial.checked_add(1).unwrap_or(1);
        Ok(Key { slot, serial })
    }

    /// Fills the slot that [`next_key`](Slots::next_key) named.
    pub(super) fn insert(&mut self, key: Key, stream: S, tenant: T) {
        debug_assert_eq!(self.next_key(), Ok(key), "nothing came in between");
        self.last_serial = key.serial;
        self.slab.insert(Slot {
            stream,
            tenant,
            serial: key.serial,
            link: Link::default(),
            class: Class::NONE,
            marks: 0,
        });
    }

    /// The slot that `key` names, unless its connection is gone. The one place where a stale key is found out.
    #[inline]
    pub(super) fn find(&mut self, key: Key) -> Option<&mut Slot<S, T>> {
        let slot = self.slab.get_mut(Self::index(key))?;
        (slot.serial == key.serial).then_some(slot)
    }

    /// Whether `key` names a connection.
    pub(super) fn contains(&self, key: Key) -> bool {
        let slot = self.slab.get(Self::index(key));
        slot.is_some_and(|slot| slot.serial == key.serial)
    }

    /// Empties the slot that `key` names.
    pub(super) fn remove(&mut self, key: Key) -> Option<Slot<S, T>> {
        self.find(key)?;
        self.slab.try_remove(Self::index(key))
    }

    /// The key of the connection in the slot at `index`, if there is one.
    pub(super) fn key_at(&self, index: usize) -> Option<Key> {
        let serial = self.slab.get(index)?.serial;
        let index = u32::try_from(index).ok()?;
        Some(Key {
            slot: index | Self::BASE,
            serial,
        })
    }

    /// The slot that a list of deadlines names.
    #[inline]
    pub(super) fn at(&mut self, slot: u32) -> Option<&mut Slot<S, T>> {
        self.slab.get_mut((slot ^ Self::BASE) as usize)
    }

    /// Where the slot of a key is; the slot of another set is nowhere.
    #[inline]
    fn index(key: Key) -> usize {
        (key.slot ^ Self::BASE) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(slots: &mut Slots<(), char>, tenant: char) -> Key {
        let key = slots.next_key().unwrap();
        slots.insert(key, (), tenant);
        key
    }

    #[test]
    fn a_key_whose_serial_has_passed_finds_nothing() {
        let mut slots = Slots::new();
        let old = insert(&mut slots, 'a');
        assert_eq!(slots.remove(old).map(|slot| slot.tenant), Some('a'));
        let new = insert(&mut slots, 'b');
        assert_eq!(old.slot, new.slot, "the slot is used again at once");
        assert!(slots.find(old).is_none());
        assert!(slots.remove(old).is_none());
        assert_eq!(slots.find(new).map(|slot| slot.tenant), Some('b'));
        assert_eq!(slots.key_at(0), Some(new));
        assert_eq!(slots.key_at(1), None);
    }

    #[test]
    fn key_of_another_set_finds_nothing() {
        let mut first = Slots::<(), char>::new();
        let mut second = Slots::<(), char, 1>::new();
        let key = insert(&mut first, 'a');
        let other = second.next_key().unwrap();
        second.insert(other, (), 'b');
        assert_ne!(key.slot, other.slot);
        assert!(first.find(other).is_none() && second.find(key).is_none());
        assert!(!first.contains(other) && second.remove(key).is_none());
        assert_eq!(second.find(other).map(|slot| slot.tenant), Some('b'));
        assert_eq!(second.at(other.slot).map(|slot| slot.tenant), Some('b'));
        assert_eq!(second.key_at(0), Some(other));
    }

    #[test]
    fn serials_wrap_past_zero_which_names_no_connection() {
        let mut slots = Slots::new();
        slots.last_serial = u32::MAX;
        assert_eq!(insert(&mut slots, 'a').serial, 1);
        assert!(slots.find(Key { slot: 0, serial: 0 }).is_none());
    }
}
