//! Messages that arrive in pieces, and eviction of connections when these fill the memory.

use super::harness::Harness;
use super::*;
use crate::connection::Owner;
use crate::protocol::{Frame, Line, Width};
use std::iter;

type Frames = Frame<crate::protocol::Echo>;

const LIMIT: usize = 200_000;

/// The length of each message.
const LENGTH: usize = 50_000;

/// A complete message with its length prefix.
fn message() -> Vec<u8> {
    [&50_000_u32.to_be_bytes()[..], &vec![7; LENGTH]].concat()
}

fn harness() -> Harness<Frames> {
    let protocol = Frame::echo(Width::Four, LENGTH);
    Harness::with_protocol(protocol, Limits::default(), LIMIT)
}

impl Harness<Frames> {
    /// Opens a connection whose peer has sent this many bytes of a [`message`].
    fn with_unfinished(&mut self, length: usize) -> Key {
        let key = self.open();
        let steps = [input(&message()[..length])];
        assert_eq!(self.drive(key, READABLE, &steps), None);
        key
    }
}

impl<P: Protocol> Harness<P> {
    /// Runs one iteration at this second and evicts connections as the server does. Returns their keys.
    pub(super) fn evict_at(&mut self, second: u64) -> Vec<Key> {
        self.run_iteration_at(second);
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
}

impl Harness<Frames> {
    /// Opens connections without memory, which makes the share of each connection smaller.
    fn open_idle(&mut self, count: usize) {
        for _ in 0..count {
            self.open();
        }
    }
}

#[test]
fn incomplete_lines_of_300_000_clients_fit_into_default_memory() {
    const CLIENTS: usize = 300_000;
    /// The default of a server.
    const MAX_BUFFERED: usize = 256 << 20;
    let line = Line::echo(1 << 16, b"");
    let mut harness = Harness::with_protocol(line, Limits::default(), MAX_BUFFERED);
    for _ in 0..CLIENTS {
        let key = harness.open();
        assert_eq!(harness.drive(key, READABLE, &[input(&[b'x'; 64])]), None);
    }
    assert!(harness.pool().held() <= 192 * CLIENTS);
    assert!(!harness.pool().is_scarce(), "no connection is evicted");
}

#[test]
fn no_eviction_while_memory_is_available() {
    let mut harness = harness();
    let big = harness.with_unfinished(40_000);
    harness.with_unfinished(30_000);
    assert_eq!(harness.evict_at(0), []);
    let rest = message().split_off(40_000);
    harness.drive(big, READABLE, &[input(&rest), accepts(&message())]);
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
    assert_eq!(harness.evict_at(0), [big[1]], "one is enough");
    assert!(!harness.pool().is_scarce());
    let steps = [input(&message()[100..]), accepts(&message())];
    assert_eq!(harness.drive(small, READABLE, &steps), None);
}

#[test]
fn unfinished_message_below_its_share_is_not_evicted() {
    let mut harness = harness();
    let small: Vec<Key> = (0..5).map(|_| harness.with_unfinished(3_000)).collect();
    let big = harness.with_unfinished(49_000);
    harness.pool().account(0, 42_000);
    assert!(harness.pool().share() > 5_000);
    assert_eq!(harness.evict_at(0), [big]);
    harness.pool().account(0, 80_000);
    assert!(harness.pool().is_scarce());
    assert_eq!(
        harness.evict_at(5),
        [],
        "{small:?} hold less than their share"
    );
}

#[test]
fn memory_left_by_answered_messages_is_freed_before_an_eviction() {
    let mut harness = harness();
    let key = harness.open();
    let first = [&6_000_u32.to_be_bytes()[..], &[7; 6_000]].concat();
    let sent = [&first[..], &message()[..3_996]].concat();
    let steps = [input(&sent[..5_000])];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    let steps = [input(&sent[5_000..]), accepts(&first)];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    harness.open_idle(11);
    let share = harness.pool().share();
    assert!(harness.pool().held() > share, "its buffer is not full");
    harness.pool().account(0, 92_000);
    assert!(harness.pool().is_scarce());
    assert_eq!(harness.evict_at(0), [], "a second must pass first");
    assert_eq!(harness.evict_at(2), []);
    assert!(!harness.pool().is_scarce());
    let more = [input(&message()[3_996..4_500])];
    assert_eq!(
        harness.drive(key, READABLE, &more),
        None,
        "it is read again"
    );
}

#[test]
fn pending_output_is_evicted_after_a_second_largest_first() {
    let mut harness = harness();
    let holders = [10_000, 34_000, 34_000].map(|length| {
        let key = harness.open();
        let header = u32::try_from(length).unwrap().to_be_bytes();
        let frame = [&header[..], &vec![7; length]].concat();
        harness.drive(key, READABLE, &[input(&frame), Step::WriteWouldBlock]);
        key
    });
    let unfinished = harness.with_unfinished(5_000);
    harness.open_idle(20);
    harness.pool().account(0, 18_000);
    assert!(harness.pool().is_scarce());
    assert_eq!(harness.evict_at(1), [], "a second must pass first");
    // One of the two largest sends some output.
    harness.drive(
        holders[1],
        WRITABLE,
        &[Step::AcceptsCount(4), Step::WriteWouldBlock],
    );
    assert_eq!(harness.evict_at(2), [holders[2]]);
    assert!(!harness.pool().is_scarce());
    assert!(harness.reactor.find(unfinished).is_some());
}

#[test]
fn steady_reader_is_kept_and_unfinished_message_evicted() {
    let mut harness = harness();
    let reader = harness.open();
    harness.drive(
        reader,
        READABLE,
        &[input(&message()), Step::WriteWouldBlock],
    );
    let large = harness.with_unfinished(25_000);
    harness.pool().account(0, 95_000);
    for (second, evicted) in [(1, vec![]), (2, vec![large])] {
        harness.drive(
            reader,
            WRITABLE,
            &[Step::AcceptsCount(4), Step::WriteWouldBlock],
        );
        assert_eq!(harness.evict_at(second), evicted, "{second}");
    }
}

#[test]
fn memory_waiter_is_read_when_its_share_has_grown() {
    let mut harness = harness();
    let waiter = harness.open();
    let others: Vec<Key> = (0..1_000).map(|_| harness.open()).collect();
    hold_output(harness.pool(), 250_000);
    assert_eq!(
        harness.drive(waiter, READABLE, &[]),
        None,
        "waits for memory"
    );
    for key in others {
        harness.close(key, CloseReason::PeerClosed);
    }
    assert!(harness.pool().is_scarce() && harness.pool().share() > 10_000);
    let frame = [0, 0, 0, 1, 7];
    let steps = [input(&frame), accepts(&frame)];
    harness.set_steps(waiter, &steps);
    assert!(harness.owner.driver.begin_eviction(harness.reactor.now()));
    assert_eq!(harness.resume_waiting(), None);
    harness.run_iteration_at(1);
    harness.assert_no_steps_left(waiter);
}

#[test]
fn message_larger_than_the_pool_is_evicted() {
    let mut harness = harness();
    *harness.pool() = Pool::new(30_000);
    let key = harness.with_unfinished(40_000);
    assert_eq!(harness.evict_at(0), [key]);
    assert_eq!(harness.pool().held(), 0);
}

#[test]
fn small_messages_of_one_read_are_answered_by_one_write() {
    let mut fixture = Fixture::new(Line::echo(100, b"> "), Limits::default());
    let steps = [input(b"a\nb\r\nc\nd"), accepts(b"> a\n> b\r\n> c\n")];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    let mut fixture = Fixture::new(Frame::echo(Width::One, 100), Limits::default());
    let steps = [input(b"\x01a\x00\x02bc\x01"), accepts(b"\x01a\x00\x02bc")];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
}

#[test]
fn too_long_line_lingers_after_earlier_replies() {
    let mut fixture = Fixture::new(Line::echo(3, b"> "), Limits::default());
    let steps = [
        input(b"a\nbcdefg"),
        accepts(b"> a\n"),
        Step::Shutdown,
        input(b"hijk"),
        Step::ReadWouldBlock,
    ];
    assert_eq!(fixture.drive(READABLE | DRAIN, &steps), Outcome::Event);
    assert_eq!(fixture.common.bytes_dropped, 4);
    let outcome = fixture.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::TooLong));
}

#[test]
fn fin_within_a_frame_is_malformed() {
    let mut fixture = Fixture::new(Frame::echo(Width::Two, 100), Limits::default());
    let steps = [input(&[0, 1, 7, 0]), accepts(&[0, 1, 7]), Step::PeerFin];
    let outcome = fixture.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Malformed));
}
