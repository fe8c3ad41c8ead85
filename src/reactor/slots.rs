//! The slots: the connections of an event loop, by key.

use super::deadlines::{Class, Tick};
use super::list::{Linked, Links};
use crate::memory::{OutOfMemory, can_grow};
use crate::net::Key;
use slab::Slab;

/// One connection in the event loop: its stream, its tenant, and the state that the loop needs.
///
/// The loop owns the stream, since it registers and closes it; the tenant reads and writes it. A process may have
/// millions of slots, so each field is as small as possible.
#[derive(Debug)]
pub struct Slot<S, T> {
    /// The connection's socket.
    pub stream: S,
    /// The state of the connection, which belongs to the user of the loop.
    pub tenant: T,
    serial: u32,
    /// Its neighbours in the list of its class.
    pub(super) links: Links,
    /// The tick in which its timer was started last.
    pub(super) timer_start: Tick,
    pub(super) class: Class,
    pub(super) flags: Flags,
}

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Flags: u8 {
        /// The key is in the run queue.
        const QUEUED = 1;
        /// The slot is in its class to be rechecked: a byte that moves ends that, even in the tick of the start.
        const RECHECKED = 2;
    }
}

impl<S, T> Slot<S, T> {
    /// The serial number of the connection, `#17` in the log.
    #[inline]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Whether the connection runs in the next iteration without an event.
    #[inline]
    pub fn is_queued(&self) -> bool {
        self.flags.contains(Flags::QUEUED)
    }

    /// The class of deadlines that the connection is in.
    #[inline]
    pub fn class(&self) -> Class {
        self.class
    }
}

/// The initial capacity. The kernel maps an allocation of this size page by page as slots are used, and the allocator
/// can grow it in place. A smaller one would come from the heap and leave a hole there.
const INITIAL_SLOTS: usize = 4096;

/// The bit of a key's slot that names its set of slots.
const SET_BIT: u32 = 31;

/// A set of slots with tenants of one type.
///
/// Serial numbers start at 1, increase by one for each connection, and skip 0 when they wrap. A reused slot has a new
/// serial number, so a stale key finds nothing.
///
/// A loop can have a second set, for tenants of another type. Its keys differ in one bit, which leads each event to the
/// set of its connection; a key of one set finds nothing in the other.
#[derive(Debug)]
pub(super) struct Slots<S, T, const SET: u32 = 0> {
    slab: Slab<Slot<S, T>>,
    last_serial: u32,
}

impl<S, T, const SET: u32> Slots<S, T, SET> {
    /// The bits that turn an index into the slot of a key.
    const BASE: u32 = SET << SET_BIT;

    pub(super) fn new() -> Self {
        Slots {
            slab: Slab::with_capacity(INITIAL_SLOTS),
            last_serial: 0,
        }
    }

    /// The number of occupied slots.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// An upper bound of the indices of all slots.
    pub(super) fn end(&self) -> usize {
        self.slab.capacity()
    }

    /// The next connection gets the serial number after this one.
    pub(super) fn set_last_serial(&mut self, serial: u32) {
        self.last_serial = serial;
    }

    /// The key of the next connection, if there is memory for its slot.
    pub(super) fn next_key(&self) -> Result<Key, OutOfMemory> {
        let index = u32::try_from(self.slab.vacant_key()).map_err(|_| OutOfMemory)?;
        if index >> SET_BIT != 0 || !can_grow(&self.slab) {
            return Err(OutOfMemory);
        }
        Ok(Key {
            slot: index | Self::BASE,
            serial: self.last_serial.checked_add(1).unwrap_or(1),
        })
    }

    /// Inserts a connection with the key that [`next_key`](Slots::next_key) returned.
    pub(super) fn insert(&mut self, key: Key, stream: S, tenant: T) {
        debug_assert_eq!(self.next_key(), Ok(key), "the key is the next one");
        self.last_serial = key.serial;
        self.slab.insert(Slot {
            stream,
            tenant,
            serial: key.serial,
            links: Links::NONE,
            timer_start: Tick::default(),
            class: Class::NONE,
            flags: Flags::empty(),
        });
    }

    /// The slot of `key`, unless its connection has closed. A stale key has the serial number of an earlier connection.
    #[inline]
    pub(super) fn find(&mut self, key: Key) -> Option<&mut Slot<S, T>> {
        let slot = self.slab.get_mut(Self::index(key))?;
        (slot.serial == key.serial).then_some(slot)
    }

    /// Whether the connection of `key` is open.
    pub(super) fn contains(&self, key: Key) -> bool {
        let slot = self.slab.get(Self::index(key));
        slot.is_some_and(|slot| slot.serial == key.serial)
    }

    /// Removes the connection of `key`.
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

    /// The slot at the `slot` of a key, without a check of the serial number.
    #[inline]
    pub(super) fn at(&mut self, slot: u32) -> Option<&mut Slot<S, T>> {
        self.slab.get_mut((slot ^ Self::BASE) as usize)
    }

    /// The index of the slot of a key. That of a key of another set is above every index of this one.
    #[inline]
    fn index(key: Key) -> usize {
        (key.slot ^ Self::BASE) as usize
    }
}

impl<S, T, const SET: u32> Linked for Slots<S, T, SET> {
    #[inline]
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        self.at(index).map(|slot| &mut slot.links)
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
    fn stale_key_finds_nothing() {
        let mut slots = Slots::new();
        let old = insert(&mut slots, 'a');
        assert_eq!(slots.remove(old).map(|slot| slot.tenant), Some('a'));
        let new = insert(&mut slots, 'b');
        assert_eq!(old.slot, new.slot, "the slot is reused");
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
    fn serial_numbers_skip_zero_when_they_wrap() {
        let mut slots = Slots::new();
        slots.last_serial = u32::MAX;
        assert_eq!(insert(&mut slots, 'a').serial, 1);
        assert!(slots.find(Key { slot: 0, serial: 0 }).is_none());
    }
}
