//! Words from outside: which of them start a connection's time anew.

use super::harness::Harness;
use super::*;
use crate::connection::Classes;
use crate::net::Key;

impl Harness {
    /// Says a word from outside, to a socket that follows `steps`.
    fn say(&mut self, key: Key, steps: &[Step]) -> Option<CloseReason> {
        let stream = &mut self.reactor.find(key).unwrap().stream;
        stream.steps = steps.iter().cloned().collect();
        let driver = &mut self.owner.driver;
        driver.write(&mut self.reactor, key, |outbox| outbox.write(b"word"))
    }
}

#[test]
fn a_word_to_one_that_takes_nothing_does_not_start_its_time_anew() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    assert_eq!(harness.say(key, &[Step::NoRoom]), None);
    assert_eq!(harness.turn_at(5), []);
    assert_eq!(harness.say(key, &[]), None);
    assert_eq!(harness.turn_at(11), [(key.serial, CloseReason::Stalled)]);
}

#[test]
fn a_word_to_one_that_does_not_stand_yet_does_not_start_its_time_anew() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let stream = Scripted {
        steps: VecDeque::new(),
    };
    let connection = Connection::connecting(Raw.session());
    let key = harness.reactor.insert(stream, connection, true).unwrap();
    harness.reactor.set_class(key, Classes::CONNECT);
    assert_eq!(harness.turn_at(5), []);
    assert_eq!(harness.say(key, &[]), None);
    let ended = harness.turn_at(11);
    assert_eq!(ended, [(key.serial, CloseReason::ConnectTimeout)]);
}

#[test]
fn a_word_that_is_taken_starts_the_time_of_an_idle_one_anew() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    assert_eq!(harness.turn_at(5), []);
    assert_eq!(harness.say(key, &[takes(b"word")]), None);
    assert_eq!(harness.turn_at(11), []);
    assert_eq!(harness.turn_at(16), [(key.serial, CloseReason::Idle)]);
}
