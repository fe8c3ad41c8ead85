//! Records: kept by their connections until they have been taken.

use super::theatre::Theatre;
use super::*;
use crate::net::{Ending, Key};
use crate::protocol::Collect;
use crate::reactor::Class;

fn theatre(max_message: usize) -> Theatre<Collect> {
    Theatre::speaking(Collect::new(max_message), Limits::default(), 1 << 20)
}

impl Theatre<Collect> {
    /// So many bytes of the record are taken; gives back those, and why its connection ended.
    fn take(&mut self, key: Key, most: usize) -> (Vec<u8>, Option<CloseReason>) {
        let mut taken = Vec::new();
        let driver = &mut self.cast.driver;
        let result = driver.hand_over(&mut self.reactor, key, |_, record| {
            taken.extend(&record[..most.min(record.len())]);
            Ok(taken.len())
        });
        let (count, ended) = result.unwrap();
        assert_eq!(count, taken.len());
        (taken, ended)
    }

    fn next_record(&mut self) -> Option<Key> {
        self.cast.driver.next_record(&mut self.reactor)
    }
}

#[test]
fn a_record_is_kept_until_it_is_taken_and_nothing_hurries_it() {
    let mut theatre = theatre(100);
    let key = theatre.open();
    assert_eq!(theatre.drive(key, READABLE, &[input(b"ab")]), None);
    assert_eq!(theatre.next_record(), None);
    let steps = [input(b"cde"), Step::PeerFin];
    assert_eq!(theatre.drive(key, READABLE | DRAIN, &steps), None);
    assert_eq!(theatre.next_record(), Some(key));
    assert_eq!(theatre.turn_at(1000), [], "its peer is not idle");
    assert_eq!(theatre.drive(key, READABLE | DRAIN, &[]), None);
    assert_eq!(theatre.drive(key, WRITABLE, &[]), None);
    let slot = theatre.reactor.find(key).unwrap();
    assert_eq!(slot.class(), Class::NONE);
    assert!(theatre.cast.driver.common.pool.held() >= 5);
    assert_eq!(theatre.take(key, 3), (b"abc".to_vec(), None));
    assert_eq!(theatre.take(key, 0), (Vec::new(), None));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(theatre.take(key, 9), (b"de".to_vec(), end));
    assert_eq!(theatre.cast.driver.common.pool.held(), 0);
}

#[test]
fn a_record_waits_in_line_once_however_often_it_is_driven() {
    let mut theatre = theatre(100);
    let key = theatre.open();
    let steps = [input(b"abc"), Step::PeerFin];
    assert_eq!(theatre.drive(key, READABLE | DRAIN, &steps), None);
    for _ in 0..3 {
        assert_eq!(theatre.drive(key, WRITABLE, &[]), None);
    }
    assert_eq!(theatre.cast.driver.records.len(), 1);
}

#[test]
fn records_are_taken_in_the_order_of_their_fins_and_the_gone_are_passed_over() {
    let mut theatre = theatre(100);
    let keys: [Key; 3] = std::array::from_fn(|_| theatre.open());
    for index in [2, 0, 1] {
        let steps = [input(&[7; 9]), Step::PeerFin];
        theatre.drive(keys[index], READABLE | DRAIN, &steps);
    }
    assert_eq!(theatre.next_record(), Some(keys[2]));
    let reactor = &mut theatre.reactor;
    theatre
        .cast
        .close(reactor, keys[2], CloseReason::DrainExpired);
    assert_eq!(theatre.next_record(), Some(keys[0]));
    let (_, ended) = theatre.take(keys[0], 9);
    theatre
        .cast
        .close(&mut theatre.reactor, keys[0], ended.unwrap());
    assert_eq!(theatre.next_record(), Some(keys[1]));
}

#[test]
fn a_record_may_be_empty_and_ends_its_connection_all_the_same() {
    let mut theatre = theatre(100);
    let key = theatre.open();
    assert_eq!(theatre.drive(key, READABLE | DRAIN, &[Step::PeerFin]), None);
    assert_eq!(theatre.next_record(), Some(key));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(theatre.take(key, 9), (Vec::new(), end));
}

#[test]
fn a_collection_that_is_too_long_is_no_record() {
    let mut theatre = theatre(4);
    let key = theatre.open();
    assert_eq!(theatre.drive(key, READABLE, &[input(b"abcd")]), None);
    let ended = theatre.drive(key, READABLE, &[input(b"e")]);
    assert_eq!(ended, Some(CloseReason::TooLong), "and no FIN");
    assert_eq!(theatre.next_record(), None);
    let reactor = &mut theatre.reactor;
    theatre
        .cast
        .driver
        .close(reactor, key, CloseReason::TooLong);
    assert_eq!(reactor.net.closed, [Ending::Reset]);
    assert_eq!(theatre.cast.driver.common.pool.held(), 0);
}

#[test]
fn a_record_waits_through_the_beginning_of_a_drain_and_an_unfinished_one_does_not() {
    let mut theatre = theatre(100);
    let [whole, unfinished] = std::array::from_fn(|_| theatre.open());
    theatre.drive(whole, READABLE | DRAIN, &[input(b"ab"), Step::PeerFin]);
    theatre.drive(unfinished, READABLE, &[input(b"cd")]);
    for key in [whole, unfinished] {
        theatre.reactor.find(key).unwrap().tenant.drain();
    }
    assert_eq!(theatre.drive(whole, Readiness::NONE, &[]), None);
    let drained = Some(CloseReason::Drained);
    assert_eq!(
        theatre.drive(unfinished, Readiness::NONE, &[Step::NoInput]),
        drained,
        "no FIN, since that would be a receipt"
    );
    let reactor = &mut theatre.reactor;
    theatre
        .cast
        .driver
        .close(reactor, unfinished, CloseReason::Drained);
    assert_eq!(reactor.net.closed, [Ending::Reset]);
    assert_eq!(theatre.next_record(), Some(whole));
    let end = Some(CloseReason::PeerClosed);
    assert_eq!(theatre.take(whole, 9), (b"ab".to_vec(), end));
    let reactor = &mut theatre.reactor;
    theatre
        .cast
        .driver
        .close(reactor, whole, CloseReason::PeerClosed);
    // With FIN, and nothing was written before it.
    assert_eq!(reactor.net.closed, [Ending::Reset, Ending::Empty]);
    let held = theatre.cast.driver.common.pool.held();
    assert_eq!(held, 0, "what is not finished is let go");
}
