//! Output that the owner writes: when it restarts the timer of its connection.

use super::harness::Harness;
use super::sessions::Pairs;
use super::*;
use crate::connection::Classes;
use crate::protocol::Context;

/// Keeps all input.
#[derive(Default)]
struct Received(Vec<u8>);
struct ReceivedSession;

impl Protocol for Received {
    type Session = ReceivedSession;

    fn name(&self) -> &'static str {
        "received"
    }

    fn session(&mut self) -> ReceivedSession {
        ReceivedSession
    }
}

impl Session for ReceivedSession {
    type Shared = Received;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Received>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        context.shared.0.extend(input);
        outbox.write(b"dropped");
        input.len()
    }
}

#[test]
fn input_before_a_reset_is_received_after_a_failed_write() {
    for end in [Step::PeerFin, Step::ReadError(io::ErrorKind::BrokenPipe)] {
        let mut harness = Harness::with_protocol(Received::default(), Limits::default(), 1 << 20);
        let key = harness.open();
        let reset = Step::WriteError(io::ErrorKind::ConnectionReset);
        assert_eq!(harness.write(key, &[reset]), Some(CloseReason::PeerReset));
        let interrupted = Step::ReadError(io::ErrorKind::Interrupted);
        harness.set_steps(key, &[input(b"the "), interrupted, input(b"last"), end]);
        harness.owner.driver.receive_rest(&mut harness.reactor, key);
        harness.assert_no_steps_left(key);
        assert_eq!(harness.owner.driver.common.protocol.0, b"the last");
    }
}

#[test]
fn connection_with_unconsumed_input_is_not_read_after_a_reset() {
    let mut harness = Harness::with_protocol(Pairs, Limits::default(), 1 << 20);
    let key = harness.open_with_steps(&[accepts(b">")]);
    assert_eq!(harness.drive(key, READABLE, &[input(b"a")]), None);
    // Without a step, a read panics.
    harness.owner.driver.receive_rest(&mut harness.reactor, key);
    harness.assert_no_steps_left(key);
}

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
