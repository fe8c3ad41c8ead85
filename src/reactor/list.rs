//! Doubly linked lists of the entries of a slab, linked by index.

/// The index of no entry.
const NONE: u32 = u32::MAX;

/// The neighbours of an entry in its list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    previous: u32,
    next: u32,
}

impl Links {
    /// The links of an entry that is in no list.
    pub(crate) const NONE: Links = Links {
        previous: NONE,
        next: NONE,
    };

    /// The index of the next entry of the list, at which there is no entry if this is the last.
    pub(crate) fn next(self) -> u32 {
        self.next
    }
}

/// A collection whose entries can be in a list.
pub(crate) trait Linked {
    /// The links of the entry at `index`, if there is one.
    fn links(&mut self, index: u32) -> Option<&mut Links>;
}

/// The ends of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    pub(crate) const EMPTY: List = List {
        first: NONE,
        last: NONE,
        len: 0,
    };

    /// The number of entries.
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }

    /// The index of the first entry, at which there is no entry if the list is empty.
    #[inline]
    pub(crate) fn first(self) -> u32 {
        self.first
    }

    /// The index of the last entry, at which there is no entry if the list is empty.
    pub(crate) fn last(self) -> u32 {
        self.last
    }

    /// Appends an entry that is in no list.
    pub(crate) fn append(&mut self, entries: &mut impl Linked, index: u32) {
        let previous = self.last;
        let Some(links) = entries.links(index) else {
            return;
        };
        links.previous = previous;
        match entries.links(previous) {
            Some(last) => last.next = index,
            None => self.first = index,
        }
        self.last = index;
        self.len += 1;
    }

    /// Removes an entry of this list.
    pub(crate) fn unlink(&mut self, entries: &mut impl Linked, index: u32) {
        let Some(links) = entries.links(index) else {
            return;
        };
        let Links { previous, next } = std::mem::replace(links, Links::NONE);
        match entries.links(previous) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match entries.links(next) {
            Some(next) => next.previous = previous,
            None => self.last = previous,
        }
        self.len -= 1;
    }
}
