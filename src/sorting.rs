//! Sorting of lists for reports and settings, in little code.
//!
//! The sorts of the standard library are 5 kB for each type. Here only the exchange of items exists for each type.

use std::cmp::Ordering;
use std::mem;

/// Sorts as [`slice::sort_by`] does: items that are equal keep their order.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let compare = |one: usize, other: usize| compare(&items[one], &items[other]);
    let mut sources = sorted(items.len(), &compare);
    // Item `sources[at]` belongs to `at`. Each cycle of such moves begins at its lowest index.
    for start in 0..items.len() {
        let mut at = start;
        loop {
            let source = mem::replace(&mut sources[at], at);
            if source == start {
                break;
            }
            items.swap(at, source);
            at = source;
        }
    }
}

/// Sorts as [`slice::sort_by_key`] does.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Sorts as [`slice::sort`] does.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// The indexes of a list in the order of its items, by merging ever longer sorted parts.
fn sorted(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut indexes: Vec<usize> = (0..count).collect();
    let mut merged = Vec::with_capacity(count);
    let mut length = 1;
    while length < count {
        for parts in indexes.chunks(2 * length) {
            let (mut left, mut right) = parts.split_at(length.min(parts.len()));
            while let ([one, ..], [other, ..]) = (left, right) {
                if compare(*other, *one).is_lt() {
                    merged.push(*other);
                    right = &right[1..];
                } else {
                    merged.push(*one);
                    left = &left[1..];
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        mem::swap(&mut indexes, &mut merged);
        merged.clear();
        length *= 2;
    }
    indexes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_is_that_of_the_standard_library(keys in proptest::collection::vec(0_u8..20, 0..100)) {
            let mut items: Vec<(u8, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            sort_by_key(&mut items, |(key, _)| *key);
            expected.sort_by_key(|(key, _)| *key);
            prop_assert_eq!(&items, &expected);
            sort_by(&mut items, |(one, _), (other, _)| other.cmp(one));
            expected.sort_by(|(one, _), (other, _)| other.cmp(one));
            prop_assert_eq!(items, expected);
        }
    }
}
