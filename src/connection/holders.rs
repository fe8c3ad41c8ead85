//! The connections that hold memory, by how much they hold, so that the largest is found without a search.
//!
//! They are listed by the power of two of what they hold: to add, change, remove and find the largest take the same time
//! however many there are, and "largest" is right to a factor of two.

use crate::net::Key;
use crate::reactor::{OutOfMemory, has_room};
use slab::Slab;

/// What the memory of a connection is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Output that the peer does not read, or input that waits for that.
    Pending,
    /// A message that is not complete.
    Unfinished,
}

/// One list for each power of two of a `usize`.
const SIZES: usize = usize::BITS as usize + 1;

/// With so many places, a list that has become empty is kept.
const KEPT: usize = 256;

/// The index that means none.
const NONE: u32 = u32::MAX;

/// A place among the holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// Not among them.
    pub(super) const NONE: Place = Place(NONE);
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    key: Key,
    /// The round in which it was found last.
    round: u32,
    list: u8,
    previous: u32,
    next: u32,
}

/// All connections that hold memory.
///
/// Invariant: each holder is in the list of its kind and size.
#[derive(Debug)]
pub(super) struct Holders {
    holders: Slab<Holder>,
    /// First and last of each list; those of unfinished messages follow those of pending output.
    lists: Box<[(u32, u32); 2 * SIZES]>,
}

impl Holders {
    /// What listing a connection costs, in bytes.
    pub(super) const COST: usize = size_of::<Holder>();

    pub(super) fn new() -> Holders {
        Holders {
            holders: Slab::new(),
            lists: Box::new([(NONE, NONE); 2 * SIZES]),
        }
    }

    /// Lists a connection that holds so many bytes.
    pub(super) fn add(&mut self, key: Key, kind: Kind, bytes: usize) -> Result<Place, OutOfMemory> {
        let is_full = self.holders.len() == self.holders.capacity();
        if is_full && !has_room(&self.holders) {
            return Err(OutOfMemory);
        }
        let entry = self.holders.vacant_entry();
        let index = u32::try_from(entry.key()).map_err(|_| OutOfMemory)?;
        let own_list = list_of(kind, bytes);
        let (first, last) = &mut self.lists[usize::from(own_list)];
        let previous = std::mem::replace(last, index);
        entry.insert(Holder {
            key,
            round: 0,
            list: own_list,
            previous,
            next: NONE,
        });
        match self.holders.get_mut(previous as usize) {
            Some(previous) => previous.next = index,
            None => *first = index,
        }
        Ok(Place(index))
    }

    /// A listed connection holds so many bytes now.
    pub(super) fn change(&mut self, place: Place, kind: Kind, bytes: usize) {
        let list = list_of(kind, bytes);
        let holder = self.holders.get(place.0 as usize);
        if holder.is_some_and(|holder| holder.list != list) {
            self.unlink(place.0);
            if let Some(holder) = self.holders.get_mut(place.0 as usize) {
                holder.list = list;
            }
            self.append(place.0);
        }
    }

    /// A listed connection holds nothing any more.
    pub(super) fn remove(&mut self, place: Place) {
        if let Some(holder) = self.holders.try_remove(place.0 as usize) {
            self.relink(&holder);
        }
        if self.holders.is_empty() && self.holders.capacity() > KEPT {
            // It grew above what connections held, and would keep all of that from the kernel.
            self.holders = Slab::new();
        }
    }

    /// One of the largest that hold at least so many bytes (to a factor of two), each once in a round; `None` at the end
    /// of the round.
    pub(super) fn largest(&mut self, kind: Kind, at_least: usize, round: u32) -> Option<Key> {
        let smallest = usize::from(list_of(kind, at_least));
        let largest = usize::from(list_of(kind, usize::MAX));
        for list in (smallest..=largest).rev() {
            let index = self.lists[list].0;
            // Those that were found go to the end, so if the first one was, all were.
            if let Some(holder) = self.holders.get_mut(index as usize)
                && holder.round != round
            {
                holder.round = round;
                let key = holder.key;
                self.unlink(index);
                self.append(index);
                return Some(key);
            }
        }
        None
    }

    fn append(&mut self, index: u32) {
        let Some(holder) = self.holders.get_mut(index as usize) else {
            return;
        };
        let (first, last) = &mut self.lists[usize::from(holder.list)];
        let previous = std::mem::replace(last, index);
        holder.previous = previous;
        holder.next = NONE;
        if previous == NONE {
            *first = index;
        }
        if let Some(previous) = self.holders.get_mut(previous as usize) {
            previous.next = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        if let Some(holder) = self.holders.get(index as usize) {
            let holder = *holder;
            self.relink(&holder);
        }
    }

    /// Links the neighbours of a holder that leaves its list.
    fn relink(&mut self, gone: &Holder) {
        let (first, last) = &mut self.lists[usize::from(gone.list)];
        match self.holders.get_mut(gone.previous as usize) {
            Some(previous) => previous.next = gone.next,
            None => *first = gone.next,
        }
        match self.holders.get_mut(gone.next as usize) {
            Some(next) => next.previous = gone.previous,
            None => *last = gone.previous,
        }
    }
}

/// The list for connections that hold so many bytes.
fn list_of(kind: Kind, bytes: usize) -> u8 {
    let size = usize::BITS - bytes.leading_zeros();
    let offset = match kind {
        Kind::Pending => 0,
        Kind::Unfinished => SIZES,
    };
    u8::try_from(offset + size as usize).unwrap_or(u8::MAX)
}

const _: () = assert!(2 * SIZES <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(serial: u32) -> Key {
        Key { slot: 0, serial }
    }

    #[test]
    fn the_largest_comes_first_and_each_once_in_a_round() {
        let mut holders = Holders::new();
        for (serial, bytes) in [(1, 100), (2, 5_000), (3, 5_100), (4, 70_000)] {
            holders.add(key(serial), Kind::Pending, bytes).unwrap();
        }
        holders.add(key(5), Kind::Unfinished, 1 << 20).unwrap();
        let mut round = |number| -> Vec<u32> {
            let largest = || holders.largest(Kind::Pending, 4096, number);
            std::iter::from_fn(largest).map(|key| key.serial).collect()
        };
        assert_eq!(round(1), [4, 2, 3], "smaller ones are not asked for");
        assert_eq!(round(2), [4, 2, 3]);
        assert_eq!(holders.largest(Kind::Unfinished, 1, 1), Some(key(5)));
    }

    proptest! {
        /// Whatever is done to the lists, they say what a search over all holders would say.
        #[test]
        fn lists_agree_with_a_search(steps in proptest::collection::vec((0_u8..3, 0_usize..8, any::<bool>(), 0_usize..5_000), 1..200)) {
            let mut holders = Holders::new();
            let mut model: Vec<Option<(Place, Kind, usize)>> = vec![None; 8];
            for (round, (step, index, pending, bytes)) in (1..).zip(steps) {
                let kind = if pending { Kind::Pending } else { Kind::Unfinished };
                model[index] = match (step, model[index].take()) {
                    (0, None) => {
                        let place = holders.add(key(u32::try_from(index).unwrap()), kind, bytes).unwrap();
                        Some((place, kind, bytes))
                    }
                    (1, Some((place, ..))) => {
                        holders.change(place, kind, bytes);
                        Some((place, kind, bytes))
                    }
                    (2, Some((place, ..))) => {
                        holders.remove(place);
                        None
                    }
                    (_, unchanged) => unchanged,
                };
                for kind in [Kind::Pending, Kind::Unfinished] {
                    let of_kind = model.iter().flatten().filter(|(_, own, _)| *own == kind);
                    let sizes = of_kind.map(|(_, kind, bytes)| list_of(*kind, *bytes));
                    let found = holders.largest(kind, 0, round).map(|key| model[key.serial as usize].unwrap());
                    prop_assert_eq!(found.map(|(_, kind, bytes)| list_of(kind, bytes)), sizes.max());
                }
            }
        }
    }
}
