//! Output that the owner writes: when it restarts the timer of its connection.

use super::harness::Harness;
use super::*;
use crate::connection::Classes;

#[test]
fn write_while_stalled_does_not_restart_the_timer() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    assert_eq!(harness.write(key, &[Step::WriteWouldBlock]), None);
    assert_eq!(harness.run_iteration_at(5), []);
    assert_eq!(harness.write(key, &[]), None);
    assert_eq!(
        harness.run_iteration_at(11),
        [(key.serial, CloseReason::Stalled)]
    );
}

#[test]
fn write_while_connecting_does_not_restart_the_timer() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let stream = ScriptedStream::new(&[]);
    let connection = Connection::connecting(Raw.session());
    let key = harness.reactor.insert(stream, connection, true).unwrap();
    harness.reactor.set_class(key, Classes::CONNECT);
    assert_eq!(harness.run_iteration_at(5), []);
    assert_eq!(harness.write(key, &[]), None);
    let closed = harness.run_iteration_at(11);
    assert_eq!(closed, [(key.serial, CloseReason::ConnectTimeout)]);
}

#[test]
fn accepted_write_restarts_the_idle_timer() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    assert_eq!(harness.run_iteration_at(5), []);
    assert_eq!(harness.write(key, &[accepts(b"word")]), None);
    assert_eq!(harness.run_iteration_at(11), []);
    assert_eq!(
        harness.run_iteration_at(16),
        [(key.serial, CloseReason::Idle)]
    );
}
