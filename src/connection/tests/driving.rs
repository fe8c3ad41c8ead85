//! The driver: what it sees to when a connection has been driven.

use super::harness::Harness;
use super::*;
use crate::connection::Classes;
use crate::connection::Owner;
use crate::net::Ending;
use crate::protocol::{Context, Finish, Outbox};

#[test]
fn a_byte_either_way_starts_an_idle_connections_time_anew_and_nothing_else_does() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let [busy, spurious] = std::array::from_fn(|_| harness.open());
    assert_eq!(harness.turn_at(6), []);
    let echo = [input(b"a"), takes(b"a")];
    assert_eq!(harness.drive(busy, READABLE, &echo), None);
    assert_eq!(
        harness.drive(busy, READABLE, &echo),
        None,
        "in the same tick"
    );
    assert_eq!(harness.drive(spurious, READABLE, &[Step::NoInput]), None);
    assert_eq!(harness.turn_at(12), [(spurious.serial, CloseReason::Idle)]);
    assert_eq!(harness.turn_at(16), []);
    assert_eq!(harness.turn_at(17), [(busy.serial, CloseReason::Idle)]);
    assert!(harness.reactor.is_empty());
}

#[test]
fn only_what_it_takes_starts_a_stalled_peers_time_anew() {
    let limits = Limits {
        max_pending: 4 * SCRATCH_SIZE,
        ..Limits::default()
    };
    let mut harness = Harness::new(limits, 1 << 20);
    let [takes_some, sends_only] = std::array::from_fn(|_| harness.open());
    assert_eq!(harness.turn_at(5), []);
    for key in [takes_some, sends_only] {
        assert_eq!(
            harness.drive(key, READABLE, &[input(b"abc"), Step::NoRoom]),
            None
        );
        let slot = harness.reactor.find(key).unwrap();
        assert_eq!(slot.class(), Classes::STALLED);
    }
    assert_eq!(harness.reactor.net.watched, [takes_some, sends_only]);
    assert_eq!(harness.turn_at(10), []);
    let steps = [takes(b"a"), Step::NoRoom];
    assert_eq!(harness.drive(takes_some, WRITABLE, &steps), None);
    assert_eq!(harness.drive(sends_only, READABLE, &[input(b"d")]), None);
    assert_eq!(
        harness.turn_at(16),
        [(sends_only.serial, CloseReason::Stalled)]
    );
    assert_eq!(harness.reactor.net.closed, [Ending::Reset]);
    assert_eq!(harness.turn_at(20), []);
    assert_eq!(harness.drive(takes_some, WRITABLE, &[takes(b"bc")]), None);
    let slot = harness.reactor.find(takes_some).unwrap();
    assert_eq!(slot.class(), Classes::IDLE, "paid");
    assert_eq!(
        harness.reactor.net.watched.len(),
        2,
        "watched once for life"
    );
}

#[test]
fn a_connection_whose_room_cannot_be_watched_for_has_no_memory() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    harness.reactor.net.refuses = true;
    let steps = [input(b"abc"), Step::NoRoom];
    let ended = harness.drive(key, READABLE, &steps);
    assert_eq!(ended, Some(CloseReason::NoMemory));
    harness
        .owner
        .close(&mut harness.reactor, key, CloseReason::NoMemory);
    assert_eq!(harness.owner.driver.common.pool.held(), 0, "given back");
    assert_eq!(harness.reactor.net.closed, [Ending::Reset]);
}

#[test]
fn one_that_has_another_turn_coming_waits_for_it() {
    let limits = Limits {
        budget: 2,
        ..Limits::default()
    };
    let mut harness = Harness::new(limits, 1 << 20);
    let key = harness.open();
    assert_eq!(
        harness.drive(key, READABLE, &[input(b"ab"), takes(b"ab")]),
        None
    );
    assert_eq!(
        harness.drive(key, READABLE | DRAIN, &[]),
        None,
        "not before"
    );
    let steps = [input(b"c"), takes(b"c"), Step::NoInput];
    harness.reactor.find(key).unwrap().stream.steps = steps.into();
    assert_eq!(harness.turn_at(1), []);
    let left = &harness.reactor.find(key).unwrap().stream.steps;
    assert!(left.is_empty(), "left over: {left:?}");
}

#[test]
fn who_waits_for_memory_goes_on_in_order_when_there_is_room_and_the_dead_take_no_place() {
    let limits = Limits {
        max_pending: 8,
        ..Limits::default()
    };
    let mut harness = Harness::new(limits, 64);
    let [hog, first, gone, last] = std::array::from_fn(|_| harness.open());
    let steps = [input(b"abc"), Step::NoRoom];
    assert_eq!(harness.drive(hog, READABLE, &steps), None);
    assert!(harness.owner.driver.common.pool.is_full());
    for key in [gone, first, gone, last] {
        assert_eq!(harness.drive(key, READABLE, &[]), None, "it reads nothing");
    }
    let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
    assert_eq!(ended, None);
    assert_eq!(harness.turn_at(1), [], "there is no room yet");
    for key in [hog, gone] {
        harness
            .owner
            .close(&mut harness.reactor, key, CloseReason::PeerReset);
    }
    harness.owner.ended.clear();
    let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
    assert_eq!(ended, None);
    for key in [first, last] {
        let steps = [input(b"x"), takes(b"x")];
        harness.reactor.find(key).unwrap().stream.steps = steps.into();
    }
    assert_eq!(harness.turn_at(1), []);
    for key in [first, last] {
        let left = &harness.reactor.find(key).unwrap().stream.steps;
        assert!(left.is_empty(), "left over: {left:?}");
    }
}

#[test]
fn who_waits_for_memory_is_not_idle_since_it_is_not_the_peer_who_is_silent() {
    let mut harness = Harness::new(Limits::default(), 1);
    let [hog, waits] = std::array::from_fn(|_| harness.open());
    harness.drive(hog, READABLE, &[input(b"abc"), Step::NoRoom]);
    assert_eq!(harness.drive(waits, READABLE, &[]), None);
    assert_eq!(harness.turn_at(9), []);
    harness.drive(hog, WRITABLE, &[takes(b"a"), Step::NoRoom]);
    assert_eq!(harness.turn_at(18), [], "not idle");
    harness.drive(hog, WRITABLE, &[takes(b"bc")]);
    let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
    assert_eq!(ended, None);
    let steps = [input(b"x"), takes(b"x")];
    harness.reactor.find(waits).unwrap().stream.steps = steps.into();
    assert_eq!(harness.turn_at(19), []);
    let slot = harness.reactor.find(waits).unwrap();
    assert!(
        slot.stream.steps.is_empty(),
        "left over: {:?}",
        slot.stream.steps
    );
    assert_eq!(slot.class(), Classes::IDLE, "from now on");
    assert_eq!(harness.turn_at(28), [], "its time began anew");
}

#[test]
fn one_that_owes_and_waits_for_memory_is_stalled_in_its_time() {
    let limits = Limits {
        max_pending: 4 * SCRATCH_SIZE,
        ..Limits::default()
    };
    let mut harness = Harness::new(limits, 10_000);
    let key = harness.open();
    harness.drive(key, READABLE, &[input(b"abc"), Step::NoRoom]);
    harness.owner.driver.common.pool.account(0, 10_000);
    assert_eq!(harness.drive(key, READABLE, &[]), None, "not read");
    assert_eq!(harness.turn_at(8), []);
    harness.owner.driver.common.pool.account(10_000, 0);
    let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
    assert_eq!(ended, None);
    assert_eq!(harness.turn_at(9), []);
    assert_eq!(harness.turn_at(11), [(key.serial, CloseReason::Stalled)]);
}

#[test]
fn the_line_for_memory_does_not_grow_with_the_dead() {
    let mut harness = Harness::new(Limits::default(), 1);
    let hog = harness.open();
    harness.drive(hog, READABLE, &[input(b"abc"), Step::NoRoom]);
    for _ in 0..1000 {
        let key = harness.open();
        assert_eq!(harness.drive(key, READABLE, &[]), None);
        harness
            .owner
            .close(&mut harness.reactor, key, CloseReason::PeerReset);
        let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
        assert_eq!(ended, None);
        assert!(harness.owner.driver.common.pool.waiting.len() < 300);
    }
}

#[test]
fn what_is_written_from_outside_goes_out_or_is_owed() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    let mut write = |steps: &[Step]| {
        let reactor = &mut harness.reactor;
        reactor.find(key).unwrap().stream.steps = steps.iter().cloned().collect();
        let driver = &mut harness.owner.driver;
        driver.write(reactor, key, |outbox| outbox.write(b"abc"))
    };
    assert_eq!(write(&[takes(b"abc")]), None);
    assert_eq!(write(&[takes(b"a"), Step::NoRoom]), None);
    let broken = [Step::WriteFails(io::ErrorKind::BrokenPipe)];
    assert_eq!(write(&[]), None, "behind what is owed");
    assert_eq!(
        harness
            .owner
            .driver
            .pending_output(&mut harness.reactor, key),
        Some(5)
    );
    assert_eq!(harness.reactor.net.watched, [key]);
    let ended = harness.drive(key, WRITABLE, &broken);
    assert_eq!(ended, Some(CloseReason::PeerReset));
    let reactor = &mut harness.reactor;
    let closed = harness
        .owner
        .driver
        .close(reactor, key, CloseReason::PeerReset);
    let closed = closed.unwrap();
    assert_eq!((closed.bytes_in, closed.bytes_out), (0, 4));
    let error = closed.error.map(|error| error.kind());
    assert_eq!(error, Some(io::ErrorKind::BrokenPipe));
}

/// A protocol in which the server says goodbye, and that is all.
struct Goodbye;
struct GoodbyeSession;

impl Protocol for Goodbye {
    type Session = GoodbyeSession;

    fn name(&self) -> &'static str {
        "goodbye"
    }

    fn session(&mut self) -> GoodbyeSession {
        GoodbyeSession
    }
}

impl Session for GoodbyeSession {
    type Shared = Goodbye;

    fn open(&mut self, _: Context<'_, Goodbye>, outbox: &mut Outbox<'_>) {
        outbox.write(b"bye");
        outbox.finish(Finish::Done);
    }

    fn receive<'a>(&mut self, _: &'a [u8], _: Context<'_, Goodbye>, _: &mut Outbox<'a>) -> usize {
        unreachable!("it has said all")
    }
}

#[test]
fn a_session_that_ends_as_it_opens_sends_its_fin_without_waiting_for_an_event() {
    let mut harness = Harness::speaking(Goodbye, Limits::default(), 1 << 20);
    let key = harness.open_over(&[takes(b"bye"), Step::Fin, Step::NoInput]);
    assert_eq!(harness.turn_at(1), []);
    let slot = harness.reactor.find(key).unwrap();
    assert!(
        slot.stream.steps.is_empty(),
        "left over: {:?}",
        slot.stream.steps
    );
    assert_eq!(slot.class(), Classes::LINGER);
}
