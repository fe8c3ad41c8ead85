//! Requests of eight bytes, and the times in the replies.

use super::Harness;
use crate::protocol::{CLOCK_MESSAGE, Clock, Finish, Protocol};
use proptest::prelude::*;
use std::cell::Cell;
use std::time::Duration;

/// A clock that advances by a nanosecond with each reading, from `from` on.
fn counting(from: u64) -> Clock<impl FnMut() -> Duration> {
    let next = Cell::new(from);
    Clock::new(move || Duration::from_nanos(next.replace(next.get() + 1)))
}

#[test]
fn each_eight_bytes_get_the_time_in_big_endian() {
    let mut harness = Harness::new(counting(0x0102_0304_0506_0708));
    assert_eq!(harness.protocol.name(), "clock");
    harness.receive(b"any byte");
    assert_eq!(harness.output, [1, 2, 3, 4, 5, 6, 7, 8]);
    harness.receive(b"incompl");
    assert_eq!(harness.output.len(), 8, "no reply to seven bytes");
    harness.receive(b"e");
    assert_eq!(harness.output[8..], [1, 2, 3, 4, 5, 6, 7, 9]);
    harness.end();
    assert_eq!(harness.finished, None);
}

#[test]
fn fin_within_a_request_finishes_with_malformed() {
    for length in [1, 7, 9, 15] {
        let (output, finished) = Harness::new(counting(0)).run(&vec![0; length], &[]);
        assert_eq!(finished, Some(Finish::Malformed), "{length}");
        assert_eq!(output.len(), length / 8 * 8, "{length}");
    }
}

#[test]
fn time_beyond_64_bits_is_the_largest_number() {
    let clock = Clock::new(|| Duration::MAX);
    let (output, _) = Harness::new(clock).run(&[0; 8], &[]);
    assert_eq!(output, [0xff; 8]);
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_one_reading_per_request(
        length in 0_usize..6000,
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        capacity in prop_oneof![1_usize..50, Just(usize::MAX)],
    ) {
        let mut harness = Harness::new(counting(7));
        harness.capacity = capacity;
        let (output, finished) = harness.run(&vec![b'x'; length], &cuts);
        let replies = length / CLOCK_MESSAGE;
        let expected: Vec<u8> = (7..7 + replies as u64).flat_map(u64::to_be_bytes).collect();
        prop_assert_eq!(output, expected);
        let is_partial = length % CLOCK_MESSAGE > 0;
        prop_assert_eq!(finished, is_partial.then_some(Finish::Malformed));
    }
}
