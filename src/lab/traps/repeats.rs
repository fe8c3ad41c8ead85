//! Calls that repeat: a loop that spins fills no page with the same lines.

use std::ops::Range;

/// The longest sequence whose repetitions are found: that of a poll(2) for each of 60 clients.
const LONGEST: usize = 64;

/// Items in their order, some of which repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The positions of the first time.
    pub(super) first: Range<usize>,
    /// How many times they follow one another.
    pub(super) times: usize,
}

impl Block {
    /// The position after the last time.
    pub(super) fn end(&self) -> usize {
        self.first.start + self.first.len() * self.times
    }
}

/// Divides `count` items into sequences that repeat, each as short as possible, and others. `is_same` compares two of
/// them.
pub(super) fn blocks(count: usize, is_same: &dyn Fn(usize, usize) -> bool) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut at = 0;
    while at < count {
        let repeated = (1..=LONGEST).find_map(|length| {
            let later = (at + length..count).zip(at..);
            let same = later.take_while(|(item, before)| is_same(*item, *before));
            let times = same.count() / length + 1;
            (times > 1).then_some(Block {
                first: at..at + length,
                times,
            })
        });
        let block = repeated.unwrap_or(Block {
            first: at..at + 1,
            times: 1,
        });
        at = block.end();
        match blocks.last_mut() {
            Some(last) if last.times == 1 && block.times == 1 => last.first.end = at,
            _ => blocks.push(block),
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(items: &str) -> String {
        let bytes = items.as_bytes();
        let blocks = blocks(bytes.len(), &|one, other| bytes[one] == bytes[other]);
        let shown = blocks.into_iter().map(|block| {
            let first = &items[block.first];
            format!("{first}{}", block.times)
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sequences_that_repeat_are_found() {
        assert_eq!(shown("abc"), "abc1");
        assert_eq!(shown("abaab"), "ab1 a2 b1");
        assert_eq!(shown("xababababy"), "x1 ab4 y1");
        assert_eq!(shown("ababa"), "ab2 a1");
        assert_eq!(shown(""), "");
    }

    proptest! {
        #[test]
        fn blocks_have_all_items_in_order(items in proptest::collection::vec(0_u32..3, 0..200)) {
            let mut all = Vec::new();
            for block in blocks(items.len(), &|one, other| items[one] == items[other]) {
                prop_assert_eq!(block.first.start, all.len());
                for _ in 0..block.times {
                    all.extend_from_slice(&items[block.first.clone()]);
                }
                prop_assert_eq!(block.end(), all.len());
            }
            prop_assert_eq!(all, items);
        }
    }
}
