//! The buffers of all connections, ordered by size, so that the largest are found without a search.
//!
//! They are listed by the power of two of their size: adding, changing, removing and finding the largest take constant
//! time, and "largest" is exact to a factor of two.

use super::buffers::Buffers;
use crate::memory::{OutOfMemory, can_grow};
use crate::net::Key;
use crate::reactor::{Linked, Links, List};
use slab::Slab;

/// The kind of memory that a connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pending output, or complete input that waits for output space or for the owner.
    Pending = 0,
    /// An incomplete message.
    Incomplete = 1,
}

/// The number of lists for each [`Kind`]: one for each power of two of a `usize`.
const SIZES: usize = usize::BITS as usize + 1;

/// The largest capacity of an empty slab that is kept for reuse.
const KEPT: usize = 256;

/// The index of the buffers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BuffersId(u32);

impl BuffersId {
    /// The connection has no buffers.
    pub(super) const NONE: BuffersId = BuffersId(u32::MAX);

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self == BuffersId::NONE
    }
}

/// The place of buffers in their list.
#[derive(Debug)]
pub(super) struct Link {
    /// The connection that the buffers belong to.
    key: Key,
    /// The round in which the buffers were found last.
    round: u32,
    list: u8,
    links: Links,
}

impl Link {
    /// Of buffers that are in no list.
    pub(super) fn of(key: Key) -> Link {
        Link {
            key,
            round: u32::MAX,
            list: 0,
            links: Links::NONE,
        }
    }

    /// The kind of memory that the buffers are listed as.
    pub(super) fn kind(&self) -> Kind {
        if usize::from(self.list) < SIZES {
            Kind::Pending
        } else {
            Kind::Incomplete
        }
    }
}

/// All buffers.
///
/// Invariant: each entry is in the list of its kind and size.
#[derive(Debug)]
pub(super) struct BySize {
    slab: Slab<Buffers>,
    /// First the lists of [`Kind::Pending`], then those of [`Kind::Incomplete`].
    lists: Box<[List; 2 * SIZES]>,
}

impl Default for BySize {
    fn default() -> BySize {
        BySize {
            slab: Slab::new(),
            lists: Box::new([List::EMPTY; 2 * SIZES]),
        }
    }
}

impl BySize {
    #[inline]
    pub(super) fn get(&self, id: BuffersId) -> Option<&Buffers> {
        self.slab.get(id.0 as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: BuffersId) -> Option<&mut Buffers> {
        self.slab.get_mut(id.0 as usize)
    }

    /// Adds empty buffers for the connection that `key` names.
    pub(super) fn add(&mut self, key: Key) -> Result<BuffersId, OutOfMemory> {
        if !can_grow(&self.slab) {
            return Err(OutOfMemory);
        }
        let index = u32::try_from(self.slab.insert(Buffers::of(key))).map_err(|_| OutOfMemory)?;
        self.lists[0].append(&mut self.slab, index);
        Ok(BuffersId(index))
    }

    /// Moves buffers to the list of their kind and size.
    pub(super) fn relist(&mut self, id: BuffersId, kind: Kind, bytes: usize) {
        let list = list_of(kind, bytes);
        let Some(buffers) = self.slab.get_mut(id.0 as usize) else {
            return;
        };
        let old = std::mem::replace(&mut buffers.link.list, list);
        if old != list {
            self.lists[usize::from(old)].unlink(&mut self.slab, id.0);
            self.lists[usize::from(list)].append(&mut self.slab, id.0);
        }
    }

    /// Frees buffers.
    pub(super) fn remove(&mut self, id: BuffersId) {
        if let Some(buffers) = self.get_mut(id) {
            buffers.input.shrink_before_drop();
            buffers.output.shrink_before_drop();
            let list = usize::from(buffers.link.list);
            self.lists[list].unlink(&mut self.slab, id.0);
        }
        self.slab.try_remove(id.0 as usize);
        if self.slab.is_empty() && self.slab.capacity() > KEPT {
            self.slab = Slab::new();
        }
    }

    /// The connection with the largest buffers of at least `at_least` bytes (to a factor of two) that was not found in
    /// this round yet; `None` at the end of the round.
    pub(super) fn largest(&mut self, kind: Kind, at_least: usize, round: u32) -> Option<Key> {
        let smallest = usize::from(list_of(kind, at_least));
        let largest = usize::from(list_of(kind, usize::MAX));
        for list in (smallest..=largest).rev() {
            let list = &mut self.lists[list];
            let index = list.first();
            // A found entry moves to the end, so if the first one was found in this round, all were.
            if let Some(buffers) = self.slab.get_mut(index as usize)
                && buffers.link.round != round
            {
                buffers.link.round = round;
                let key = buffers.link.key;
                list.unlink(&mut self.slab, index);
                list.append(&mut self.slab, index);
                return Some(key);
            }
        }
        None
    }
}

impl Linked for Slab<Buffers> {
    fn links(&mut self, index: u32) -> Option<&mut Links> {
        let buffers = self.get_mut(index as usize);
        buffers.map(|buffers| &mut buffers.link.links)
    }
}

/// The list of buffers of this kind and size.
fn list_of(kind: Kind, bytes: usize) -> u8 {
    let size = usize::BITS - bytes.leading_zeros();
    u8::try_from(kind as usize * SIZES + size as usize).unwrap_or(u8::MAX)
}

const _: () = assert!(2 * SIZES <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(serial: u32) -> Key {
        Key { slot: 0, serial }
    }

    fn add(all: &mut BySize, serial: u32, kind: Kind, bytes: usize) -> BuffersId {
        let id = all.add(key(serial)).unwrap();
        all.relist(id, kind, bytes);
        id
    }

    #[test]
    fn largest_returns_each_connection_once_per_round() {
        let mut all = BySize::default();
        for (serial, bytes) in [(1, 100), (2, 5_000), (3, 5_100), (4, 70_000)] {
            add(&mut all, serial, Kind::Pending, bytes);
        }
        add(&mut all, 5, Kind::Incomplete, 1 << 20);
        let mut round = |number| -> Vec<u32> {
            let largest = || all.largest(Kind::Pending, 4096, number);
            std::iter::from_fn(largest).map(|key| key.serial).collect()
        };
        assert_eq!(round(1), [4, 2, 3], "the smallest is below the bound");
        assert_eq!(round(2), [4, 2, 3]);
        assert_eq!(all.largest(Kind::Incomplete, 1, 1), Some(key(5)));
    }

    proptest! {
        #[test]
        fn lists_agree_with_a_search(steps in proptest::collection::vec((0_u8..3, 0_usize..8, any::<bool>(), 0_usize..5_000), 1..200)) {
            let mut all = BySize::default();
            let mut model: Vec<Option<(BuffersId, Kind, usize)>> = vec![None; 8];
            for (round, (step, index, pending, bytes)) in (1..).zip(steps) {
                let kind = if pending { Kind::Pending } else { Kind::Incomplete };
                model[index] = match (step, model[index].take()) {
                    (0, None) => {
                        let id = add(&mut all, u32::try_from(index).unwrap(), kind, bytes);
                        Some((id, kind, bytes))
                    }
                    (1, Some((id, ..))) => {
                        all.relist(id, kind, bytes);
                        Some((id, kind, bytes))
                    }
                    (2, Some((id, ..))) => {
                        all.remove(id);
                        None
                    }
                    (_, unchanged) => unchanged,
                };
                for kind in [Kind::Pending, Kind::Incomplete] {
                    let of_kind = model.iter().flatten().filter(|(_, own, _)| *own == kind);
                    let sizes = of_kind.map(|(_, kind, bytes)| list_of(*kind, *bytes));
                    let found = all.largest(kind, 0, round).map(|key| model[key.serial as usize].unwrap());
                    prop_assert_eq!(found.map(|(_, kind, bytes)| list_of(kind, bytes)), sizes.max());
                }
            }
        }
    }
}
