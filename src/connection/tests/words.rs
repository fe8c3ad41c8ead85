//! Words from outside: which of them start a connection's time anew.

use super::theatre::Theatre;
use super::*;
use crate::connection::Classes;
use crate::net::Key;

impl Theatre {
    /// Says a word from outside, to a socket that follows `steps`.
    fn say(&mut self, key: Key, steps: &[Step]) -> Option<CloseReason> {
        let stream = &mut self.reactor.find(key).unwrap().stream;
        stream.steps = steps.iter().cloned().collect();
        let driver = &mut self.cast.driver;
        driver.write(&mut self.reactor, key, |outbox| outbox.write(b"word"))
    }
}

#[test]
fn a_word_to_one_that_takes_nothing_does_not_start_its_time_anew() {
    let mut theatre = Theatre::new(Limits::default(), 1 << 20);
    let key = theatre.open();
    assert_eq!(theatre.say(key, &[Step::NoRoom]), None);
    assert_eq!(theatre.turn_at(5), []);
    assert_eq!(theatre.say(key, &[]), None);
    assert_eq!(theatre.turn_at(11), [(key.serial, CloseReason::Stalled)]);
}

#[test]
fn a_word_to_one_that_does_not_stand_yet_does_not_start_its_time_anew() {
    let mut theatre = Theatre::new(Limits::default(), 1 << 20);
    let stream = Scripted {
        steps: VecDeque::new(),
    };
    let connection = Connection::connecting(Raw.session());
    let key = theatre.reactor.insert(stream, connection, true).unwrap();
    theatre.reactor.set_class(key, Classes::CONNECT);
    assert_eq!(theatre.turn_at(5), []);
    assert_eq!(theatre.say(key, &[]), None);
    let ended = theatre.turn_at(11);
    assert_eq!(ended, [(key.serial, CloseReason::ConnectTimeout)]);
}

#[test]
fn a_word_that_is_taken_starts_the_time_of_an_idle_one_anew() {
    let mut theatre = Theatre::new(Limits::default(), 1 << 20);
    let key = theatre.open();
    assert_eq!(theatre.turn_at(5), []);
    assert_eq!(theatre.say(key, &[takes(b"word")]), None);
    assert_eq!(theatre.turn_at(11), []);
    assert_eq!(theatre.turn_at(16), [(key.serial, CloseReason::Idle)]);
}
