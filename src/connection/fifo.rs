//! Bytes in order: put in at the end, taken from the front.

use crate::reactor::OutOfMemory;

/// The smallest piece of memory that is asked for, in bytes; [`Held`](super::Held) says why.
pub(super) const SMALLEST: usize = 2048;

/// A buffer of so many bytes doubles when it grows; smaller ones grow by half.
const DOUBLES_FROM: usize = 6 * 1024;

/// A queue of bytes that lies in one piece, so that one write can be offered all of it.
#[derive(Debug, Default)]
pub struct Fifo {
    bytes: Vec<u8>,
    taken: usize,
}

impl Fifo {
    /// All that is there, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// How many bytes are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of memory it holds, in use or not.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.bytes.capacity()
    }

    /// Puts `more` at the end. The memory grows with what is put in, never ahead of it.
    ///
    /// # Errors
    /// There is no memory for it; nothing was put in.
    pub fn push(&mut self, more: &[u8]) -> Result<(), OutOfMemory> {
        if self.bytes.len() + more.len() > self.bytes.capacity() {
            self.close_up();
        }
        let room = self.bytes.capacity() - self.bytes.len();
        if more.len() > room {
            // By half at first, since what is reserved counts against the connection's share of all memory.
            let capacity = self.bytes.capacity();
            let growth = if capacity < DOUBLES_FROM {
                capacity / 2
            } else {
                capacity
            };
            let grown = self.bytes.len() + growth;
            let least = grown.max(SMALLEST).saturating_sub(self.bytes.len());
            self.bytes
                .try_reserve_exact(more.len().max(least))
                .map_err(|_| OutOfMemory)?;
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Takes `count` bytes from the front, or all if there are fewer.
    pub fn take(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.taken = 0;
        }
    }

    /// Gives memory back where most of it is of no use any more, as after a large message; if a smaller piece cannot be
    /// had, it stays as it is.
    pub(super) fn give_back(&mut self) {
        /// Less is not worth the trouble.
        const WORTH_IT: usize = 64 * 1024;
        if self.footprint() <= WORTH_IT || self.footprint() / 8 < self.len() {
            return;
        }
        let mut smaller = Fifo::default();
        if smaller.push(self.as_slice()).is_ok() {
            *self = smaller;
        }
    }

    /// Moves what is there to the front. Called when the end is reached, and moves only when at least half has been
    /// taken, so that a byte is moved once on average.
    fn close_up(&mut self) {
        if self.taken >= self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn what_a_large_message_needed_is_given_back_behind_it() {
        let mut fifo = Fifo::default();
        fifo.push(&vec![7; 100_000]).unwrap();
        fifo.take(50_000);
        fifo.give_back();
        assert!(fifo.footprint() >= 100_000, "half of it is in use");
        fifo.take(49_990);
        fifo.give_back();
        assert_eq!(fifo.as_slice(), [7; 10]);
        assert_eq!(fifo.footprint(), SMALLEST);
    }

    #[test]
    fn memory_is_given_back_only_where_it_is_much_and_mostly_unused() {
        let with = |footprint: usize, left: usize| {
            let mut fifo = Fifo::default();
            fifo.push(&vec![7; footprint]).unwrap();
            fifo.take(footprint - left);
            fifo.give_back();
            assert_eq!(fifo.as_slice(), vec![7; left]);
            fifo.footprint()
        };
        assert_eq!(with(65_536, 10), 65_536, "not worth the trouble");
        assert_eq!(
            with(80_000, 10_001),
            80_000,
            "more than an eighth is in use"
        );
        assert_eq!(with(80_000, 10_000), 10_000);
        assert_eq!(with(65_544, 10), SMALLEST);
    }

    proptest! {
        #[test]
        fn it_is_a_queue(steps in proptest::collection::vec((any::<bool>(), 0_usize..500), 1..100)) {
            let mut fifo = Fifo::default();
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
                prop_assert!(fifo.footprint() >= model.len());
                most = most.max(model.len());
                prop_assert!(fifo.footprint() <= (4 * most).max(SMALLEST), "{} for {most}", fifo.footprint());
            }
        }
    }
}
