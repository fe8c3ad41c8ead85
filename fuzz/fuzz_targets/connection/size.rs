//! Sizes, distributed for fuzzing.

use arbitrary::{Arbitrary, Result, Unstructured};
use std::fmt;

/// A number below 2^17. Its order of magnitude is drawn first, and small ones are more frequent: they are faster to run
/// and reveal most bugs.
#[derive(Clone, Copy)]
pub struct Size(usize);

impl Size {
    pub fn of(number: usize) -> Size {
        Size(number)
    }

    pub fn get(self) -> usize {
        self.0
    }

    /// As [`get`](Size::get), but never zero.
    pub fn at_least_one(self) -> usize {
        self.0.max(1)
    }
}

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(source: &mut Unstructured<'a>) -> Result<Size> {
        let bits = match source.int_in_range(0..=31)? {
            magnitude @ 0..=26 => magnitude / 3,
            27..=30 => 12,
            _ => 17,
        };
        Ok(Size(source.int_in_range(0..=(1 << bits) - 1)?))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (1, Some(4))
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
