//! The slots: the connections of an event loop, by key.

use super::deadlines::{CLASSES, Class, Deadlines, Tick};
use super::list::{Linked, Links};
use crate::memory::{OutOfMemory, can_grow};
use crate::net::Key;
use slab::Slab;
use std::time::Duration;

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
    /// The serial number of the connection, `#17` in the log.
    pub(super) serial: u32,
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

/// The connections of an event loop, and their deadlines.
///
/// Serial numbers start at 1, increase by one for each connection, and skip 0 when they wrap. A reused slot has a new
/// serial number, so a stale key finds nothing.
#[derive(Debug)]
pub(super) struct Slots<S, T> {
    pub(super) slab: Slab<Slot<S, T>>,
    pub(super) deadlines: Deadlines,
    /// The next connection gets the serial number after this one.
    pub(super) last_serial: u32,
}

impl<S, T> Slots<S, T> {
    pub(super) fn new(timeouts: [Option<Duration>; CLASSES]) -> Self {
        Slots {
            slab: Slab::with_capacity(INITIAL_SLOTS),
            deadlines: Deadlines::new(timeouts),
            last_serial: 0,
        }
    }

    /// The key of the next connection, if there is memory for its slot.
    pub(super) fn next_key(&self) -> Result<Key, OutOfMemory> {
        let slot = u32::try_from(self.slab.vacant_key()).map_err(|_| OutOfMemory)?;
        if !can_grow(&self.slab) {
            return Err(OutOfMemory);
        }
        Ok(Key {
            slot,
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
        let slot = self.slab.get_mut(key.slot as usize)?;
        (slot.serial == key.serial).then_some(slot)
    }

    /// As [`find`](Slots::find), to read it.
    pub(super) fn get(&self, key: Key) -> Option<&Slot<S, T>> {
        let slot = self.slab.get(key.slot as usize);
        slot.filter(|slot| slot.serial == key.serial)
    }

    /// Removes the connection of `key`, also from its class.
    pub(super) fn remove(&mut self, key: Key) -> Option<Slot<S, T>> {
        self.find(key)?;
        self.leave(key.slot);
        self.slab.try_remove(key.slot as usize)
    }

    /// The key of the connection in the slot at `index`, if there is one.
    pub(super) fn key_at(&self, index: usize) -> Option<Key> {
        let serial = self.slab.get(index)?.serial;
        let slot = u32::try_from(index).ok()?;
        Some(Key { slot, serial })
    }
}

impl<S, T> Linked for Slab<Slot<S, T>> {
    #[inline]
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        self.get_mut(index as usize).map(|slot| &mut slot.links)
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
        let mut slots = Slots::new([None; CLASSES]);
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
    fn serial_numbers_skip_zero_when_they_wrap() {
        let mut slots = Slots::new([None; CLASSES]);
        slots.last_serial = u32::MAX;
        assert_eq!(insert(&mut slots, 'a').serial, 1);
        assert!(slots.find(Key { slot: 0, serial: 0 }).is_none());
    }
}
