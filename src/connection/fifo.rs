//! A contiguous queue of bytes: appended at the end, taken from the front.

use crate::memory::OutOfMemory;

/// The smallest capacity that is allocated, in bytes.
pub(super) const SMALLEST: usize = 64;

/// A capacity from this size on is doubled when it is exceeded. A smaller one grows by half, since reserved memory counts
/// against the connection's share.
const DOUBLES_FROM: usize = 6 * 1024;

/// A contiguous queue of bytes, so that one write can send all of it. Up to `INLINE` bytes need no allocation.
#[derive(Debug)]
pub struct Fifo<const INLINE: usize> {
    storage: Storage<INLINE>,
    taken: usize,
}

/// The bytes, including those taken since they were moved last.
#[derive(Debug)]
enum Storage<const INLINE: usize> {
    Inline {
        length: u8,
        bytes: [u8; INLINE],
    },
    /// A new queue is a vector without an allocation.
    Heap(Vec<u8>),
}

impl<const INLINE: usize> Default for Fifo<INLINE> {
    fn default() -> Self {
        const { assert!(INLINE <= u8::MAX as usize) };
        Fifo {
            storage: Storage::Heap(Vec::new()),
            taken: 0,
        }
    }
}

impl<const INLINE: usize> Fifo<INLINE> {
    fn stored(&self) -> &[u8] {
        match &self.storage {
            Storage::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Storage::Heap(bytes) => bytes,
        }
    }

    /// All bytes, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.stored()[self.taken..]
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The number of bytes allocated, in use or not.
    #[must_use]
    pub fn allocated(&self) -> usize {
        match &self.storage {
            Storage::Inline { .. } => 0,
            Storage::Heap(bytes) => bytes.capacity(),
        }
    }

    /// Appends `more`.
    ///
    /// # Errors
    /// There is no memory for it; the queue is unchanged.
    pub fn push(&mut self, more: &[u8]) -> Result<(), OutOfMemory> {
        let length = self.len();
        let needed = length + more.len();
        match &mut self.storage {
            Storage::Heap(bytes) if bytes.capacity() > 0 => {
                if more.len() > bytes.capacity() - bytes.len() {
                    // Amortized, each byte is moved at most once.
                    if self.taken >= bytes.len() / 2 {
                        bytes.drain(..self.taken);
                        self.taken = 0;
                    }
                    reserve(bytes, more.len())?;
                }
                bytes.extend_from_slice(more);
                return Ok(());
            }
            _ if needed > INLINE => {
                let mut bytes = Vec::new();
                reserve(&mut bytes, needed.max(INLINE + INLINE / 2))?;
                bytes.extend_from_slice(self.as_slice());
                bytes.extend_from_slice(more);
                self.storage = Storage::Heap(bytes);
            }
            Storage::Inline { length: end, bytes } => {
                bytes.copy_within(self.taken..usize::from(*end), 0);
                bytes[length..needed].copy_from_slice(more);
                *end = u8::try_from(needed).unwrap_or(*end);
            }
            Storage::Heap(_) => {
                let mut bytes = [0; INLINE];
                bytes[..needed].copy_from_slice(more);
                let length = u8::try_from(needed).unwrap_or(0);
                self.storage = Storage::Inline { length, bytes };
            }
        }
        self.taken = 0;
        Ok(())
    }

    /// Takes `count` bytes from the front, or all if there are fewer.
    pub fn take(&mut self, count: usize) {
        self.taken += count.min(self.len());
        if self.is_empty() {
            self.taken = 0;
            match &mut self.storage {
                Storage::Inline { length, .. } => *length = 0,
                Storage::Heap(bytes) => bytes.clear(),
            }
        }
    }

    /// Moves the bytes to a smaller allocation if most of a large one is unused, as after a large message. If that fails,
    /// the larger one is kept.
    #[inline]
    pub(super) fn shrink(&mut self) {
        /// A smaller allocation is kept.
        const LARGE: usize = 4 * 1024;
        if self.allocated() > LARGE && self.allocated() / 8 >= self.len() {
            self.reallocate();
        }
    }

    #[cold]
    fn reallocate(&mut self) {
        let mut smaller = Fifo::default();
        if smaller.push(self.as_slice()).is_ok() {
            *self = smaller;
        }
    }
}

/// Reserves memory for `more` bytes.
fn reserve(bytes: &mut Vec<u8>, more: usize) -> Result<(), OutOfMemory> {
    let capacity = bytes.capacity();
    let growth = if capacity < DOUBLES_FROM {
        capacity / 2
    } else {
        capacity
    };
    let least = (bytes.len() + growth).max(SMALLEST) - bytes.len();
    let reserved = bytes.try_reserve_exact(more.max(least));
    reserved.map_err(|_| OutOfMemory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn small_contents_are_inline() {
        let mut fifo = Fifo::<64>::default();
        fifo.push(&[7; 64]).unwrap();
        assert_eq!((fifo.allocated(), fifo.len()), (0, 64));
        fifo.push(&[8]).unwrap();
        assert_eq!((fifo.allocated(), fifo.len()), (96, 65));
    }

    #[test]
    fn large_allocation_is_freed_after_its_message() {
        let mut fifo = Fifo::<16>::default();
        fifo.push(&vec![7; 100_000]).unwrap();
        fifo.take(50_000);
        fifo.shrink();
        assert!(fifo.allocated() >= 100_000, "half of it is in use");
        fifo.take(49_990);
        fifo.shrink();
        assert_eq!(fifo.as_slice(), [7; 10]);
        assert_eq!(fifo.allocated(), 0);
    }

    #[test]
    fn only_large_and_mostly_unused_memory_is_freed() {
        let with = |size: usize, left: usize| {
            let mut fifo = Fifo::<16>::default();
            fifo.push(&vec![7; size]).unwrap();
            fifo.take(size - left);
            fifo.shrink();
            assert_eq!(fifo.as_slice(), vec![7; left]);
            fifo.allocated()
        };
        assert_eq!(with(4_096, 10), 4_096, "not large");
        assert_eq!(
            with(80_000, 10_001),
            80_000,
            "more than an eighth is in use"
        );
        assert_eq!(with(80_000, 10_000), 10_000);
        assert_eq!(with(4_104, 20), SMALLEST);
    }

    proptest! {
        #[test]
        fn random_pushes_and_takes_agree_with_a_queue(steps in proptest::collection::vec((any::<bool>(), 0_usize..500), 1..100)) {
            let mut fifo = Fifo::<64>::default();
            let mut model = VecDeque::new();
            let mut next = 0_u8;
            let mut most = 0;
            for (push, count) in steps {
                if push {
                    let more: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                    fifo.push(&more).unwrap();
                    model.extend(more);
                } else {
                    fifo.take(count);
                    model.drain(..count.min(model.len()));
                }
                prop_assert_eq!(fifo.as_slice(), &*model.make_contiguous());
                prop_assert!(fifo.allocated() >= model.len() || model.len() <= 64);
                most = most.max(model.len());
                prop_assert!(fifo.allocated() <= (4 * most).max(SMALLEST), "{} for {most}", fifo.allocated());
            }
        }
    }
}
