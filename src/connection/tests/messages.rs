//! Messages that come in pieces, and memory that is full of them.

use super::harness::Harness;
use super::*;
use crate::connection::Owner;
use crate::connection::Pool;
use crate::net::Key;
use crate::protocol::{Frame, Line, Width};
use std::iter;

type Frames = Frame<crate::protocol::Echo>;

const LIMIT: usize = 200_000;

/// Of each message.
const LENGTH: usize = 50_000;

/// A message, whole.
fn whole() -> Vec<u8> {
    [&50_000_u32.to_be_bytes()[..], &vec![7; LENGTH]].concat()
}

fn harness() -> Harness<Frames> {
    let protocol = Frame::echo(Width::Four, LENGTH);
    Harness::speaking(protocol, Limits::default(), LIMIT)
}

impl Harness<Frames> {
    /// A connection that has sent so much of a message that has [`LENGTH`] bytes.
    fn with_unfinished(&mut self, length: usize) -> Key {
        let key = self.open();
        let steps = [input(&whole()[..length])];
        assert_eq!(self.drive(key, READABLE, &steps), None);
        key
    }

    fn pool(&mut self) -> &mut Pool {
        &mut self.owner.driver.common.pool
    }

    /// Evicts connections as the server does, this many seconds after the beginning.
    fn evict_at(&mut self, second: u64) -> Vec<Key> {
        self.turn_at(second);
        let Harness { reactor, owner } = self;
        if !owner.driver.begin_eviction(reactor.now()) {
            return Vec::new();
        }
        let evicted = iter::from_fn(|| {
            let key = owner.driver.next_to_evict(reactor)?;
            owner.close(reactor, key, CloseReason::NoMemory);
            Some(key)
        });
        evicted.collect()
    }

    /// Opens connections that hold nothing, so that each has a smaller share.
    fn open_idle(&mut self, count: usize) {
        for _ in 0..count {
            self.open();
        }
    }
}

#[test]
fn while_there_is_memory_no_connection_is_evicted() {
    let mut harness = harness();
    let big = harness.with_unfinished(40_000);
    harness.with_unfinished(30_000);
    assert_eq!(harness.evict_at(0), []);
    let rest = whole().split_off(40_000);
    harness.drive(big, READABLE, &[input(&rest), takes(&whole())]);
    assert_eq!(harness.evict_at(10), []);
}

#[test]
fn most_memory_in_unfinished_messages_evicts_the_largest() {
    let mut harness = harness();
    let small = harness.with_unfinished(100);
    let big: Vec<Key> = [30_000, 49_000, 25_000]
        .map(|length| harness.with_unfinished(length))
        .into();
    harness.pool().account(0, 32_000);
    assert!(harness.pool().is_scarce());
    assert_eq!(harness.evict_at(0), [big[1]], "and one is enough");
    assert!(!harness.pool().is_scarce());
    let steps = [input(&whole()[100..]), takes(&whole())];
    assert_eq!(harness.drive(small, READABLE, &steps), None);
}

#[test]
fn below_its_share_an_unfinished_message_is_not_evicted() {
    let mut harness = harness();
    let shares: Vec<Key> = (0..5).map(|_| harness.with_unfinished(3_000)).collect();
    let big = harness.with_unfinished(49_000);
    harness.pool().account(0, 42_000);
    assert!(harness.pool().share() > 5_000);
    assert_eq!(harness.evict_at(0), [big]);
    harness.pool().account(0, 80_000);
    assert!(harness.pool().is_scarce());
    assert_eq!(
        harness.evict_at(5),
        [],
        "{shares:?} hold less than their share"
    );
}

#[test]
fn pending_output_is_evicted_after_a_second_largest_first() {
    let mut harness = harness();
    let hogs = [10_000, 34_000, 34_000].map(|length| {
        let key = harness.open();
        let header = u32::try_from(length).unwrap().to_be_bytes();
        let frame = [&header[..], &vec![7; length]].concat();
        harness.drive(key, READABLE, &[input(&frame), Step::NoRoom]);
        key
    });
    let unfinished = harness.with_unfinished(5_000);
    harness.open_idle(20);
    harness.pool().account(0, 18_000);
    assert!(harness.pool().is_scarce());
    assert_eq!(harness.evict_at(1), [], "they have had no second yet");
    // One of the two largest takes some.
    harness.drive(hogs[1], WRITABLE, &[Step::TakesCount(4), Step::NoRoom]);
    assert_eq!(harness.evict_at(2), [hogs[2]]);
    assert!(!harness.pool().is_scarce());
    assert!(harness.reactor.find(unfinished).is_some());
}

#[test]
fn steadily_read_output_lets_unfinished_be_evicted_later() {
    let mut harness = harness();
    let reader = harness.open();
    harness.drive(reader, READABLE, &[input(&whole()), Step::NoRoom]);
    let large = harness.with_unfinished(25_000);
    harness.pool().account(0, 95_000);
    for (second, evicted) in [(1, vec![]), (2, vec![large])] {
        harness.drive(reader, WRITABLE, &[Step::TakesCount(4), Step::NoRoom]);
        assert_eq!(harness.evict_at(second), evicted, "{second}");
    }
}

#[test]
fn one_that_waits_is_read_when_its_share_has_grown() {
    let mut harness = harness();
    let waits = harness.open();
    let others: Vec<Key> = (0..1_000).map(|_| harness.open()).collect();
    hold(harness.pool(), 250_000);
    assert_eq!(
        harness.drive(waits, READABLE, &[]),
        None,
        "it waits for memory"
    );
    for key in others {
        harness
            .owner
            .close(&mut harness.reactor, key, CloseReason::PeerClosed);
    }
    assert!(harness.pool().is_scarce() && harness.pool().share() > 10_000);
    let frame = [0, 0, 0, 1, 7];
    let steps = [input(&frame), takes(&frame)];
    harness.reactor.find(waits).unwrap().stream.steps = steps.into();
    assert!(harness.owner.driver.begin_eviction(harness.reactor.now()));
    let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
    assert_eq!(ended, None);
    harness.turn_at(1);
    let left = &harness.reactor.find(waits).unwrap().stream.steps;
    assert!(left.is_empty(), "left over: {left:?}");
}

#[test]
fn a_message_too_large_for_all_memory_is_evicted() {
    let mut harness = harness();
    harness.owner.driver.common.pool = Pool::new(30_000);
    let key = harness.with_unfinished(40_000);
    assert_eq!(harness.evict_at(0), [key]);
    assert_eq!(harness.pool().held(), 0);
}

#[test]
fn many_small_messages_in_one_read_are_answered_by_one_write() {
    let mut rig = Rig::new(Line::echo(100, b"> "), Limits::default());
    let steps = [input(b"a\nb\r\nc\nd"), takes(b"> a\n> b\r\n> c\n")];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    let mut rig = Rig::new(Frame::echo(Width::One, 100), Limits::default());
    let steps = [input(b"\x01a\x00\x02bc\x01"), takes(b"\x01a\x00\x02bc")];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
}

#[test]
fn one_that_is_too_long_is_lingered_with_so_that_earlier_replies_arrive() {
    let mut rig = Rig::new(Line::echo(3, b"> "), Limits::default());
    let steps = [
        input(b"a\nbcdefg"),
        takes(b"> a\n"),
        Step::Fin,
        input(b"hijk"),
        Step::NoInput,
    ];
    assert_eq!(rig.drive(READABLE | DRAIN, &steps), Outcome::Event);
    assert_eq!(rig.common.bytes_dropped, 4);
    let outcome = rig.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::TooLong));
}

#[test]
fn fin_within_a_frame_is_malformed() {
    let mut rig = Rig::new(Frame::echo(Width::Two, 100), Limits::default());
    let steps = [input(&[0, 1, 7, 0]), takes(&[0, 1, 7]), Step::PeerFin];
    let outcome = rig.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Malformed));
}
