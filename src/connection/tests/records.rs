//! Records: kept by their connections until they have been taken.

use super::harness::Harness;
use super::*;
use crate::connection::Owner;
use crate::net::{Ending, Key};
use crate::protocol::Collect;
use crate::reactor::Class;

fn harness(max_message: usize) -> Harness<Collect> {
    Harness::speaking(Collect::new(max_message), Limits::default(), 1 << 20)
}

impl Harness<Collect> {
    /// So many bytes of the record are taken; gives back those, and why its connection ended.
    fn take(&mut self, key: Key, most: usize) -> (Vec<u8>, Option<CloseReason>) {
        let mut taken = Vec::new();
        let driver = &mut self.owner.driver;
        let result = driver.take_record(&mut self.reactor, key, |_, record| {
            taken.extend(&record[..most.min(record.len())]);
            Ok(taken.len())
        });
        let (count, ended) = result.unwrap();
        assert_eq!(count, taken.len());
        (taken, ended)
    }

    fn next_record(&mut self) -> Option<Key> {
        self.owner.driver.next_record(&mut self.reactor)
    }
}

#[test]
fn a_record_is_kept_until_it_is_taken_and_nothing_hurries_it() {
    let mut harness = harness(100);
    let key = harness.open();
    assert_eq!(harness.drive(key, READABLE, &[input(b"ab")]), None);
    assert_eq!(harness.next_record(), None);
    let steps = [input(b"cde"), Step::PeerFin];
    assert_eq!(harness.drive(key, READABLE | DRAIN, &steps), None);
    assert_eq!(harness.next_record(), Some(key));
    assert_eq!(harness.turn_at(1000), [], "its peer is not idle");
    assert_eq!(harness.drive(key, READABLE | DRAIN, &[]), None);
    assert_eq!(harness.drive(key, WRITABLE, &[]), None);
    let slot = harness.reactor.find(key).unwrap();
    assert_eq!(slot.class(), Class::NONE);
    assert!(harness.owner.driver.common.pool.held() >= 5);
    assert_eq!(harness.take(key, 3), (b"abc".to_vec(), None));
    assert_eq!(harness.take(key, 0), (Vec::new(), None));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(harness.take(key, 9), (b"de".to_vec(), end));
    assert_eq!(harness.owner.driver.common.pool.held(), 0);
}

#[test]
fn a_record_waits_in_line_once_however_often_it_is_driven() {
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
fn records_are_taken_in_the_order_of_their_fins_and_the_gone_are_passed_over() {
    let mut harness = harness(100);
    let keys: [Key; 3] = std::array::from_fn(|_| harness.open());
    for index in [2, 0, 1] {
        let steps = [input(&[7; 9]), Step::PeerFin];
        harness.drive(keys[index], READABLE | DRAIN, &steps);
    }
    assert_eq!(harness.next_record(), Some(keys[2]));
    let reactor = &mut harness.reactor;
    harness
        .owner
        .close(reactor, keys[2], CloseReason::DrainExpired);
    assert_eq!(harness.next_record(), Some(keys[0]));
    let (_, ended) = harness.take(keys[0], 9);
    harness
        .owner
        .close(&mut harness.reactor, keys[0], ended.unwrap());
    assert_eq!(harness.next_record(), Some(keys[1]));
}

#[test]
fn a_record_may_be_empty_and_ends_its_connection_all_the_same() {
    let mut harness = harness(100);
    let key = harness.open();
    assert_eq!(harness.drive(key, READABLE | DRAIN, &[Step::PeerFin]), None);
    assert_eq!(harness.next_record(), Some(key));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(harness.take(key, 9), (Vec::new(), end));
}

#[test]
fn a_collection_that_is_too_long_is_no_record() {
    let mut harness = harness(4);
    let key = harness.open();
    assert_eq!(harness.drive(key, READABLE, &[input(b"abcd")]), None);
    let ended = harness.drive(key, READABLE, &[input(b"e")]);
    assert_eq!(ended, Some(CloseReason::TooLong), "and no FIN");
    assert_eq!(harness.next_record(), None);
    let reactor = &mut harness.reactor;
    harness
        .owner
        .driver
        .close(reactor, key, CloseReason::TooLong);
    assert_eq!(reactor.net.closed, [Ending::Reset]);
    assert_eq!(harness.owner.driver.common.pool.held(), 0);
}

#[test]
fn a_record_waits_through_the_beginning_of_a_drain_and_an_unfinished_one_does_not() {
    let mut harness = harness(100);
    let [whole, unfinished] = std::array::from_fn(|_| harness.open());
    harness.drive(whole, READABLE | DRAIN, &[input(b"ab"), Step::PeerFin]);
    harness.drive(unfinished, READABLE, &[input(b"cd")]);
    for key in [whole, unfinished] {
        harness.reactor.find(key).unwrap().tenant.drain();
    }
    assert_eq!(harness.drive(whole, Readiness::NONE, &[]), None);
    let drained = Some(CloseReason::Drained);
    assert_eq!(
        harness.drive(unfinished, Readiness::NONE, &[Step::NoInput]),
        drained,
        "no FIN, since that would be a receipt"
    );
    let reactor = &mut harness.reactor;
    harness
        .owner
        .driver
        .close(reactor, unfinished, CloseReason::Drained);
    assert_eq!(reactor.net.closed, [Ending::Reset]);
    assert_eq!(harness.next_record(), Some(whole));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(harness.take(whole, 9), (b"ab".to_vec(), end));
    let reactor = &mut harness.reactor;
    harness
        .owner
        .driver
        .close(reactor, whole, CloseReason::PeerClosed);
    // With FIN, and nothing was written before it.
    assert_eq!(reactor.net.closed, [Ending::Reset, Ending::Empty]);
    let held = harness.owner.driver.common.pool.held();
    assert_eq!(held, 0, "what is not finished is let go");
}
