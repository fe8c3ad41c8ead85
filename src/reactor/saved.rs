//! The state of the slots as plain data, for a process that takes over their connections.

use super::deadlines::{Class, Tick};
use super::slots::Flags;
use super::{KeyQueue, Reactor, Slot};
use crate::net::{Key, Net};
use std::fmt::Debug;
use std::io;

/// The state of a slot beside its stream and tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedSlot {
    /// The serial number of the connection.
    pub serial: u32,
    /// The number of its class of deadlines.
    pub class: u8,
    /// The tick in which its timer was started.
    pub timer_start: u32,
    /// Whether it is in its class to be rechecked.
    pub is_rechecked: bool,
}

impl<S, T> Slot<S, T> {
    /// All of the slot that another process must continue with, beside its tenant, read without [`Reactor::save`]. For
    /// tests: a field that is added is compared as well, unless it is excepted here.
    #[doc(hidden)]
    pub fn kept_state(&self) -> impl PartialEq + Debug + use<S, T> {
        let Slot {
            stream: _,
            tenant: _,
            serial,
            links: _,
            timer_start,
            class,
            flags,
        } = self;
        (*serial, *timer_start, *class, flags.bits())
    }
}

impl<N: Net, T> Reactor<N, T> {
    /// The keys of all connections, each class in the order of its deadlines. Restored in this order, all deadlines are
    /// as before.
    pub(crate) fn keys_by_deadline(&self) -> Vec<Key> {
        let slots = &self.slots;
        let mut keys = Vec::with_capacity(self.len());
        let mut is_listed = vec![false; self.slots_end()];
        for list in slots.deadlines.lists() {
            let mut index = list.first();
            while let Some(slot) = slots.slab.get(index as usize) {
                is_listed[index as usize] = true;
                keys.extend(slots.key_at(index as usize));
                index = slot.links.next();
            }
        }
        let unlisted = slots.slab.iter().filter(|(index, _)| !is_listed[*index]);
        keys.extend(unlisted.filter_map(|(index, _)| slots.key_at(index)));
        keys
    }

    /// The state of a connection's slot.
    pub(crate) fn save(&self, key: Key) -> Option<SavedSlot> {
        let slot = self.slots.get(key)?;
        Some(SavedSlot {
            serial: slot.serial,
            class: slot.class.number(),
            timer_start: slot.timer_start.number(),
            is_rechecked: slot.flags.contains(Flags::RECHECKED),
        })
    }

    /// Inserts a connection of another process, and registers it for events: what has arrived is reported again.
    ///
    /// # Errors
    /// An invalid state, no memory for a slot, or the error of the selector. Then the stream is dropped, which the peer
    /// does not notice while the other process has it, too.
    pub(crate) fn restore(
        &mut self,
        stream: N::Stream,
        saved: &SavedSlot,
        tenant: T,
        writable: bool,
    ) -> io::Result<Key> {
        let class = Class::from_number(saved.class);
        let class = class.filter(|_| saved.serial != 0);
        let class = class.ok_or(io::ErrorKind::InvalidData)?;
        self.slots.last_serial = saved.serial - 1;
        let inserted = self.insert(stream, tenant, writable);
        let key = inserted.map_err(|(_, error)| error)?;
        let start = Tick::from_number(saved.timer_start);
        self.slots.restore(key.slot, class, start);
        if let Some(slot) = self.slots.find(key) {
            slot.flags.set(Flags::RECHECKED, saved.is_rechecked);
        }
        Ok(key)
    }

    /// The serial number of the last connection.
    pub(crate) fn last_serial(&self) -> u32 {
        self.slots.last_serial
    }

    /// The connections that run in the next iteration.
    pub(crate) fn queued(&self) -> &KeyQueue {
        &self.run_queue
    }

    /// A connection by its key, to read it.
    pub(crate) fn get(&self, key: Key) -> Option<&Slot<N::Stream, T>> {
        self.slots.get(key)
    }
}
