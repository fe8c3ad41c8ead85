//! The loop and the line for memory refuse to remember anybody: nobody is forgotten.

use super::theatre::Theatre;
use super::*;
use crate::connection::CloseReason;

#[test]
fn who_waited_for_memory_has_his_turn_at_once_where_there_is_none_to_remember_it() {
    let mut theatre = Theatre::new(Limits::default(), 1);
    let [hog, leaves, stays, last] = std::array::from_fn(|_| theatre.open());
    theatre.drive(hog, READABLE, &[input(b"abc"), Step::NoRoom]);
    for key in [leaves, stays, last] {
        assert_eq!(theatre.drive(key, READABLE, &[]), None, "it reads nothing");
    }
    theatre.drive(hog, WRITABLE, &[takes(b"abc")]);
    theatre.reactor.find(leaves).unwrap().stream.steps = [Step::PeerFin].into();
    for key in [stays, last] {
        let steps = [input(b"x"), takes(b"x")];
        theatre.reactor.find(key).unwrap().stream.steps = steps.into();
    }
    theatre.reactor.refuse(true);
    let ended = theatre.cast.driver.admit_waiting(&mut theatre.reactor);
    assert_eq!(ended, Some((leaves, CloseReason::PeerClosed)));
    let ended = theatre.cast.driver.admit_waiting(&mut theatre.reactor);
    assert_eq!(ended, None);
    for key in [stays, last] {
        // With nobody in the run queue no turn need come for whoever is left in the line.
        let left = &theatre.reactor.find(key).unwrap().stream.steps;
        assert!(left.is_empty(), "left over: {left:?}");
    }
}

#[test]
fn without_memory_for_another_turn_or_for_a_place_in_the_line_a_connection_ends() {
    let limits = Limits {
        budget: 2,
        ..Limits::default()
    };
    let mut theatre = Theatre::new(limits, 1 << 20);
    let key = theatre.open();
    theatre.reactor.refuse(true);
    let ended = theatre.drive(key, READABLE, &[input(b"ab"), takes(b"ab")]);
    assert_eq!(ended, Some(CloseReason::NoMemory));

    let mut theatre = Theatre::new(Limits::default(), 1);
    let [hog, waits] = std::array::from_fn(|_| theatre.open());
    theatre.drive(hog, READABLE, &[input(b"abc"), Step::NoRoom]);
    theatre.cast.driver.common.pool.refuse(true);
    let ended = theatre.drive(waits, READABLE, &[]);
    assert_eq!(ended, Some(CloseReason::NoMemory));
}

#[test]
fn without_memory_for_another_turn_one_that_lingers_does_so_until_its_deadline() {
    let limits = Limits {
        budget: SCRATCH_SIZE,
        ..Limits::default()
    };
    let mut theatre = Theatre::new(limits, 1 << 20);
    let key = theatre.open();
    theatre.reactor.refuse(true);
    theatre.reactor.find(key).unwrap().tenant.drain();
    let flood = vec![b'x'; SCRATCH_SIZE];
    let steps = [Step::NoInput, Step::Fin, input(&flood)];
    assert_eq!(theatre.drive(key, Readiness::NONE, &steps), None);
    assert_eq!(theatre.turn_at(1), []);
    assert_eq!(theatre.turn_at(3), [(key.serial, CloseReason::Drained)]);
}
