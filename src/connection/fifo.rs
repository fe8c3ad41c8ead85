//! A contiguous queue of bytes: appended at the end, taken from the front.

use crate::memory::OutOfMemory;
use smallvec::SmallVec;

/// The smallest capacity that is allocated, in bytes.
pub(super) const SMALLEST: usize = 64;

/// A capacity from this size on is doubled when it is exceeded. A smaller one grows by half, since reserved memory counts
/// against the connection's share.
const DOUBLES_FROM: usize = 6 * 1024;

/// A larger allocation is shrunk before it is freed.
///
/// The C library maps each allocation of 128 KiB or more, and unmaps it when it is freed. Freeing a large one raises that
/// threshold (mallopt(3), `M_MMAP_THRESHOLD`): from then on large buffers would fragment the heap.
const LARGEST_FREED: usize = 64 * 1024;

/// A contiguous queue of bytes, so that one write can send all of it. Up to `INLINE` bytes need no allocation.
#[derive(Debug, Default)]
pub struct Fifo<const INLINE: usize> {
    /// The bytes, including those taken since they were moved last.
    bytes: SmallVec<[u8; INLINE]>,
    taken: usize,
}

impl<const INLINE: usize> Fifo<INLINE> {
    /// All bytes, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of bytes allocated, in use or not.
    #[must_use]
    pub fn allocated(&self) -> usize {
        if self.bytes.spilled() {
            self.bytes.capacity()
        } else {
            0
        }
    }

    /// Appends `more`.
    ///
    /// # Errors
    /// There is no memory for it; the queue is unchanged.
    pub fn push(&mut self, more: &[u8]) -> Result<(), OutOfMemory> {
        if more.len() > self.bytes.capacity() - self.bytes.len() {
            // Amortized, each byte is moved at most once.
            if self.taken >= self.bytes.len() / 2 {
                self.bytes.drain(..self.taken);
                self.taken = 0;
            }
            if more.len() > self.bytes.capacity() - self.bytes.len() {
                self.reserve(more.len())?;
            }
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Reserves memory for `more` bytes.
    fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let growth = if capacity < DOUBLES_FROM {
            capacity / 2
        } else {
            capacity
        };
        let least = (length + growth).max(SMALLEST) - length;
        let reserved = self.bytes.try_reserve_exact(more.max(least));
        reserved.map_err(|_| OutOfMemory)
    }

    /// Takes `count` bytes from the front, or all if there are fewer.
    pub fn take(&mut self, count: usize) {
        self.taken += count.min(self.len());
        if self.is_empty() {
            self.taken = 0;
            self.bytes.clear();
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

    /// Moves the bytes to an allocation of their size. If that fails, the larger one is kept.
    pub(super) fn free_unused(&mut self) {
        if self.allocated() > self.len().max(SMALLEST) {
            self.reallocate();
        }
    }

    #[cold]
    fn reallocate(&mut self) {
        let mut smaller = Fifo::default();
        if smaller.push(self.as_slice()).is_ok() {
            self.shrink_before_drop();
            *self = smaller;
        }
    }

    /// Shrinks a large allocation, whose bytes are not used any more. To be called before the queue is dropped.
    pub(super) fn shrink_before_drop(&mut self) {
        if self.allocated() > LARGEST_FREED {
            // Longer than `INLINE`, so that this is a reallocation.
            self.bytes.resize(INLINE.max(SMALLEST) + 1, 0);
            self.bytes.shrink_to_fit();
        }
    }
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

    #[test]
    fn queue_that_is_never_empty_does_not_grow() {
        let mut fifo = Fifo::<16>::default();
        fifo.push(&[7; 3_000]).unwrap();
        for _ in 0..100_000 {
            fifo.push(&[7; 1_000]).unwrap();
            fifo.take(1_000);
        }
        assert_eq!(fifo.len(), 3_000);
        assert!(fifo.allocated() <= 4 * 4_000, "{}", fifo.allocated());
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
