//! Records: connections hold them until the owner has taken them.

use super::harness::Harness;
use super::*;
use crate::net::{Ending, Key};
use crate::protocol::Collect;
use crate::reactor::Class;

fn harness(max_message: usize) -> Harness<Collect> {
    Harness::with_protocol(Collect::new(max_message), Limits::default(), 1 << 20)
}

impl Harness<Collect> {
    /// Takes at most `most` bytes of the record. Returns these, and the reason if the connection is to be closed.
    fn take(&mut self, key: Key, most: usize) -> (Vec<u8>, Option<CloseReason>) {
        let mut taken = Vec::new();
        let driver = &mut self.owner.driver;
        let result = driver.take_record(&mut self.reactor, key, |record| {
            taken.extend(&record[..most.min(record.len())]);
            Ok(taken.len())
        });
        let (count, reason) = result.unwrap();
        assert_eq!(count, taken.len());
        (taken, reason)
    }

    fn next_record(&mut self) -> Option<Key> {
        self.owner.driver.next_record(&mut self.reactor)
    }
}

#[test]
fn record_without_a_deadline_is_kept_until_taken() {
    let mut harness = harness(100);
    let key = harness.open();
    assert_eq!(harness.drive(key, READABLE, &[input(b"ab")]), None);
    assert_eq!(harness.next_record(), None);
    let steps = [input(b"cde"), Step::PeerFin];
    assert_eq!(harness.drive(key, READABLE | DRAIN, &steps), None);
    assert_eq!(harness.next_record(), Some(key));
    assert_eq!(harness.run_iteration_at(1000), [], "no timer runs");
    assert_eq!(harness.drive(key, READABLE | DRAIN, &[]), None);
    assert_eq!(harness.drive(key, WRITABLE, &[]), None);
    assert_eq!(harness.class(key), Class::NONE);
    assert!(harness.pool().held() >= 5);
    assert_eq!(harness.take(key, 3), (b"abc".to_vec(), None));
    assert_eq!(harness.take(key, 0), (Vec::new(), None));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(harness.take(key, 9), (b"de".to_vec(), end));
    assert_eq!(harness.pool().held(), 0);
}

#[test]
fn record_is_queued_once_however_often_driven() {
    let mut harness = harness(100);
    let key = harness.open();
    let steps = [input(b"abc"), Step::PeerFin];
    assert_eq!(harness.drive(key, READABLE | DRAIN, &steps), None);
    for _ in 0..3 {
        assert_eq!(harness.drive(key, WRITABLE, &[]), None);
    }
    assert_eq!(harness.owner.driver.records.len(), 1);
}

#[test]
fn records_are_taken_in_fin_order_without_closed_ones() {
    let mut harness = harness(100);
    let keys: [Key; 3] = std::array::from_fn(|_| harness.open());
    for index in [2, 0, 1] {
        let steps = [input(&[7; 9]), Step::PeerFin];
        harness.drive(keys[index], READABLE | DRAIN, &steps);
    }
    assert_eq!(harness.next_record(), Some(keys[2]));
    harness.close(keys[2], CloseReason::DrainExpired);
    assert_eq!(harness.next_record(), Some(keys[0]));
    let (_, reason) = harness.take(keys[0], 9);
    harness.close(keys[0], reason.unwrap());
    assert_eq!(harness.next_record(), Some(keys[1]));
}

#[test]
fn empty_record_is_taken_and_closes_its_connection() {
    let mut harness = harness(100);
    let key = harness.open();
    assert_eq!(harness.drive(key, READABLE | DRAIN, &[Step::PeerFin]), None);
    assert_eq!(harness.next_record(), Some(key));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(harness.take(key, 9), (Vec::new(), end));
}

#[test]
fn too_long_input_is_no_record_and_is_reset() {
    let mut harness = harness(4);
    let key = harness.open();
    assert_eq!(harness.drive(key, READABLE, &[input(b"abcd")]), None);
    let reason = harness.drive(key, READABLE, &[input(b"e")]);
    assert_eq!(
        reason,
        Some(CloseReason::TooLong),
        "closed without waiting for FIN"
    );
    assert_eq!(harness.next_record(), None);
    harness.close(key, CloseReason::TooLong);
    assert_eq!(harness.reactor.net.endings, [Ending::Reset]);
    assert_eq!(harness.pool().held(), 0);
}

#[test]
fn drain_keeps_a_record_and_resets_an_unfinished_one() {
    let mut harness = harness(100);
    let [complete, unfinished] = std::array::from_fn(|_| harness.open());
    harness.drive(complete, READABLE | DRAIN, &[input(b"ab"), Step::PeerFin]);
    harness.drive(unfinished, READABLE, &[input(b"cd")]);
    for key in [complete, unfinished] {
        harness.reactor.find(key).unwrap().tenant.drain();
    }
    assert_eq!(harness.drive(complete, Readiness::NONE, &[]), None);
    let drained = Some(CloseReason::Drained);
    assert_eq!(
        harness.drive(unfinished, Readiness::NONE, &[Step::ReadWouldBlock]),
        drained,
        "FIN would be a receipt"
    );
    harness.close(unfinished, CloseReason::Drained);
    assert_eq!(harness.reactor.net.endings, [Ending::Reset]);
    assert_eq!(harness.next_record(), Some(complete));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(harness.take(complete, 9), (b"ab".to_vec(), end));
    harness.close(complete, CloseReason::PeerClosed);
    // FIN is sent, and no output before it.
    assert_eq!(harness.reactor.net.endings, [Ending::Reset, Ending::Empty]);
    let held = harness.pool().held();
    assert_eq!(held, 0, "memory of the unfinished record is released");
}
