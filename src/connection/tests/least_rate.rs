//! The least rate of a slow reader: 2 bytes per second, over the stall timeout of ten seconds.

use super::harness::Harness;
use super::*;
use crate::connection::Driver;
use std::num::NonZeroU64;

fn harness() -> Harness {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let common = Common::new(Raw, Limits::default(), 1 << 20);
    harness.owner.driver = Driver::new(common).with_min_rate(NonZeroU64::new(2));
    harness
}

/// Opens a connection with 200 bytes of pending output, at this second.
fn open_pending(harness: &mut Harness, second: u64) -> Key {
    assert_eq!(harness.run_iteration_at(second), []);
    let key = harness.open();
    let steps = [input(&[b'x'; 200]), Step::WriteWouldBlock];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    key
}

/// Lets the kernel accept `count` bytes, if any, each second. Returns the second in which the connection was closed, and
/// why.
fn read_slowly(
    harness: &mut Harness,
    key: Key,
    seconds: std::ops::Range<u64>,
    count: usize,
) -> Option<(u64, CloseReason)> {
    for second in seconds {
        if let [(serial, reason)] = harness.run_iteration_at(second)[..] {
            assert_eq!(serial, key.serial);
            return Some((second, reason));
        }
        if count > 0 {
            let steps = [Step::AcceptsCount(count), Step::WriteWouldBlock];
            assert_eq!(harness.drive(key, WRITABLE, &steps), None);
        }
    }
    None
}

#[test]
fn slower_reader_is_closed_and_faster_one_is_not() {
    let mut harness = harness();
    let key = open_pending(&mut harness, 1);
    let closed = read_slowly(&mut harness, key, 2..30, 1);
    let (second, reason) = closed.unwrap();
    assert_eq!(reason, CloseReason::TooSlow);
    assert!((11..=15).contains(&second), "after {second} s");

    let key = open_pending(&mut harness, 40);
    assert_eq!(read_slowly(&mut harness, key, 41..90, 3), None);
}

#[test]
fn reader_of_nothing_is_stalled() {
    let mut harness = harness();
    let key = open_pending(&mut harness, 1);
    let (second, reason) = read_slowly(&mut harness, key, 2..30, 0).unwrap();
    assert_eq!(reason, CloseReason::Stalled);
    assert!((11..=15).contains(&second), "after {second} s");
}

#[test]
fn time_without_pending_output_does_not_count() {
    let mut harness = harness();
    let key = open_pending(&mut harness, 1);
    assert_eq!(read_slowly(&mut harness, key, 2..7, 1), None);
    let rest = [Step::AcceptsCount(195)];
    assert_eq!(harness.drive(key, WRITABLE, &rest), None);
    // It had read 200 bytes, and is idle. Then output is pending again.
    assert_eq!(harness.run_iteration_at(15), []);
    let steps = [input(&[b'y'; 200]), Step::WriteWouldBlock];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    let (second, reason) = read_slowly(&mut harness, key, 16..60, 1).unwrap();
    assert_eq!(reason, CloseReason::TooSlow);
    assert!((25..=29).contains(&second), "after {second} s");
}

#[test]
fn each_period_is_measured_separately() {
    let mut harness = harness();
    let key = open_pending(&mut harness, 1);
    // Fast at first: this does not excuse the next period.
    assert_eq!(read_slowly(&mut harness, key, 2..14, 6), None);
    let (second, reason) = read_slowly(&mut harness, key, 14..60, 1).unwrap();
    assert_eq!(reason, CloseReason::TooSlow);
    assert!((22..=37).contains(&second), "after {second} s");
}
