//! Messages that come in pieces, and memory that is full of them.

use super::theatre::Theatre;
use super::*;
use crate::connection::Pool;
use crate::net::Key;
use crate::protocol::{Frame, Line, Width};
use std::iter;

type Frames = Frame<crate::protocol::Echo>;

const LIMIT: usize = 100_000;

/// Of each message.
const LENGTH: usize = 50_000;

/// A message, whole.
fn whole() -> Vec<u8> {
    [&50_000_u32.to_be_bytes()[..], &vec![7; LENGTH]].concat()
}

fn theatre() -> Theatre<Frames> {
    let protocol = Frame::echo(Width::Four, LENGTH);
    Theatre::speaking(protocol, Limits::default(), LIMIT)
}

impl Theatre<Frames> {
    /// A connection that has sent so much of a message that has [`LENGTH`] bytes.
    fn with_unfinished(&mut self, length: usize) -> Key {
        let key = self.open();
        let steps = [input(&whole()[..length])];
        assert_eq!(self.drive(key, READABLE, &steps), None);
        key
    }

    fn pool(&mut self) -> &mut Pool {
        &mut self.cast.driver.common.pool
    }

    /// Closes those who are to give way.
    fn make_room(&mut self) -> Vec<Key> {
        let Theatre { reactor, cast } = self;
        let give_way = iter::from_fn(|| {
            let key = cast.driver.next_to_give_way(reactor)?;
            cast.close(reactor, key, CloseReason::NoMemory);
            Some(key)
        });
        give_way.collect()
    }
}

#[test]
fn while_there_is_memory_nobody_gives_way() {
    let mut theatre = theatre();
    let big = theatre.with_unfinished(40_000);
    theatre.with_unfinished(40_000);
    assert_eq!(theatre.make_room(), []);
    let steps = [input(&whole()[40_000..]), takes(&whole())];
    theatre.drive(big, READABLE, &steps);
    assert_eq!(theatre.make_room(), []);
}

#[test]
fn when_unfinished_messages_make_memory_scarce_one_that_holds_much_gives_way_and_the_others_go_on()
{
    let mut theatre = theatre();
    let small = theatre.with_unfinished(100);
    let big: Vec<Key> = (0..3).map(|_| theatre.with_unfinished(35_000)).collect();
    assert!(theatre.pool().is_scarce());
    assert_eq!(theatre.make_room(), [big[0]], "and one is enough");
    assert!(!theatre.pool().is_scarce());
    // The next time, the search goes on behind the one who gave way.
    theatre.with_unfinished(35_000);
    assert_eq!(theatre.make_room(), [big[1]]);
    let steps = [input(&whole()[100..]), takes(&whole())];
    assert_eq!(theatre.drive(small, READABLE, &steps), None);
    assert_eq!(theatre.make_room(), []);
}

#[test]
fn when_most_of_the_memory_is_owed_nobody_gives_way_since_debts_end() {
    let mut theatre = theatre();
    let debtor = theatre.open();
    theatre.drive(debtor, READABLE, &[input(&whole()), Step::NoRoom]);
    theatre.with_unfinished(25_000);
    theatre.with_unfinished(14_000);
    assert!(theatre.pool().is_scarce());
    assert_eq!(theatre.make_room(), []);
    assert_eq!(theatre.drive(debtor, WRITABLE, &[takes(&whole())]), None);
    assert!(!theatre.pool().is_scarce(), "paid");
}

#[test]
fn a_message_that_alone_is_too_large_for_all_memory_gives_way() {
    let mut theatre = theatre();
    theatre.cast.driver.common.pool = Pool::new(30_000);
    let key = theatre.with_unfinished(40_000);
    assert_eq!(theatre.make_room(), [key]);
    assert_eq!(theatre.pool().held(), 0);
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
