//! The loop and the line for memory refuse to remember anybody: nobody is forgotten.

use super::harness::Harness;
use super::*;
use crate::connection::CloseReason;

#[test]
fn who_waited_for_memory_has_his_turn_at_once_where_there_is_none_to_remember_it() {
    let mut harness = Harness::new(Limits::default(), 1);
    let [hog, leaves, stays, last] = std::array::from_fn(|_| harness.open());
    harness.drive(hog, READABLE, &[input(b"abc"), Step::NoRoom]);
    for key in [leaves, stays, last] {
        assert_eq!(harness.drive(key, READABLE, &[]), None, "it reads nothing");
    }
    harness.drive(hog, WRITABLE, &[takes(b"abc")]);
    harness.reactor.find(leaves).unwrap().stream.steps = [Step::PeerFin].into();
    for key in [stays, last] {
        let steps = [input(b"x"), takes(b"x")];
        harness.reactor.find(key).unwrap().stream.steps = steps.into();
    }
    harness.reactor.refuse(true);
    let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
    assert_eq!(ended, Some((leaves, CloseReason::PeerClosed)));
    let ended = harness.owner.driver.resume_waiting(&mut harness.reactor);
    assert_eq!(ended, None);
    for key in [stays, last] {
        // With nobody in the run queue no turn need come for whoever is left in the line.
        let left = &harness.reactor.find(key).unwrap().stream.steps;
        assert!(left.is_empty(), "left over: {left:?}");
    }
}

#[test]
fn without_memory_for_another_turn_or_for_a_place_in_the_line_a_connection_ends() {
    let limits = Limits {
        budget: 2,
        ..Limits::default()
    };
    let mut harness = Harness::new(limits, 1 << 20);
    let key = harness.open();
    harness.reactor.refuse(true);
    let ended = harness.drive(key, READABLE, &[input(b"ab"), takes(b"ab")]);
    assert_eq!(ended, Some(CloseReason::NoMemory));

    let mut harness = Harness::new(Limits::default(), 1);
    let [hog, waits] = std::array::from_fn(|_| harness.open());
    harness.drive(hog, READABLE, &[input(b"abc"), Step::NoRoom]);
    harness.owner.driver.common.pool.refuse(true);
    let ended = harness.drive(waits, READABLE, &[]);
    assert_eq!(ended, Some(CloseReason::NoMemory));
}

#[test]
fn without_memory_for_another_turn_one_that_lingers_does_so_until_its_deadline() {
    let limits = Limits {
        budget: SCRATCH_SIZE,
        ..Limits::default()
    };
    let mut harness = Harness::new(limits, 1 << 20);
    let key = harness.open();
    harness.reactor.refuse(true);
    harness.reactor.find(key).unwrap().tenant.drain();
    let flood = vec![b'x'; SCRATCH_SIZE];
    let steps = [Step::NoInput, Step::Fin, input(&flood)];
    assert_eq!(harness.drive(key, Readiness::NONE, &steps), None);
    assert_eq!(harness.turn_at(1), []);
    assert_eq!(harness.turn_at(3), [(key.serial, CloseReason::Drained)]);
}
