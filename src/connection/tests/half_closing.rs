//! Half-closed connections: FIN follows the pending output, and input is received until the peer's FIN.

use super::sessions::Pairs;
use super::*;
use crate::connection::Classes;
use crate::protocol::{Context, Finish};

/// A protocol whose session rejects bytes as malformed, and FIN as too long.
struct Rejecting;
struct RejectingSession;

impl Protocol for Rejecting {
    type Session = RejectingSession;

    fn name(&self) -> &'static str {
        "rejecting"
    }

    fn session(&mut self) -> RejectingSession {
        RejectingSession
    }
}

impl Session for RejectingSession {
    type Shared = Rejecting;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        _: Context<'_, Rejecting>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        outbox.write(b"malformed");
        outbox.finish(Finish::Malformed);
        input.len()
    }

    fn end<'a>(&mut self, _: &'a [u8], _: Context<'_, Rejecting>, outbox: &mut Outbox<'a>) {
        outbox.write(b"too long");
        outbox.finish(Finish::TooLong);
    }
}

#[test]
fn half_close_sends_fin_at_once_and_still_receives() {
    let mut fixture = Fixture::raw();
    assert_eq!(fixture.half_close(&[Step::Shutdown]), Ok(()));
    assert_eq!(fixture.class(), Classes::IDLE);
    assert_eq!(
        fixture.write_bytes(b"more", &[]),
        Ok(false),
        "our FIN was sent"
    );
    // The echo of raw is dropped after our FIN.
    assert_eq!(fixture.drive(READABLE, &[input(b"late")]), Outcome::Event);
    assert_eq!(fixture.connection.bytes_in(), 4);
    let outcome = fixture.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

#[test]
fn half_close_sends_fin_after_pending_output() {
    let mut fixture = Fixture::raw();
    assert_eq!(
        fixture.write_bytes(b"abc", &[accepts(b"a"), Step::WriteWouldBlock]),
        Ok(true)
    );
    assert_eq!(fixture.half_close(&[]), Ok(()));
    assert_eq!(fixture.write_bytes(b"more", &[]), Ok(false));
    let steps = [accepts(b"bc"), Step::Shutdown];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
    assert_eq!(fixture.class(), Classes::IDLE);
}

#[test]
fn half_close_while_connecting_sends_output_then_fin() {
    let mut fixture = Fixture::connecting(Raw, Limits::default());
    assert_eq!(fixture.write_bytes(b"early", &[]), Ok(true));
    assert_eq!(fixture.half_close(&[]), Ok(()));
    let steps = [Step::Connected(Ok(true)), accepts(b"early"), Step::Shutdown];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn failed_shutdown_closes_as_peer_reset() {
    let mut fixture = Fixture::raw();
    let closed = fixture.half_close(&[Step::ShutdownError]);
    assert_eq!(closed, Err(CloseReason::PeerReset));
}

#[test]
fn finish_while_connecting_sends_output_then_fin() {
    let mut fixture = Fixture::connecting(Pairs, max_pending(64));
    let written = fixture.write(&[], |outbox| {
        outbox.write(b"bye");
        outbox.finish(Finish::Done);
    });
    assert_eq!(written, Ok(true));
    let steps = [
        Step::Connected(Ok(true)),
        accepts(b"bye>"),
        accepts(b"*"),
        Step::ReadWouldBlock,
        Step::Shutdown,
    ];
    assert_eq!(fixture.drive(WRITABLE | READABLE, &steps), Outcome::Event);
}

#[test]
fn drain_while_connecting_cancels_the_connection() {
    let mut fixture = Fixture::connecting(Raw, Limits::default());
    fixture.connection.drain();
    let outcome = fixture.drive(Readiness::NONE, &[]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Drained));
}

#[test]
fn cancelled_connection_drops_its_waiting_output() {
    let mut fixture = Fixture::connecting(Raw, Limits::default());
    assert_eq!(fixture.write_bytes(b"early", &[]), Ok(true));
    fixture.connection.drain();
    assert_eq!(fixture.write_bytes(b"more", &[]), Ok(false));
    let outcome = fixture.drive(WRITABLE, &[]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Drained));
}

#[test]
fn finish_after_our_fin_drops_output_and_lingers() {
    let mut fixture = Fixture::new(Rejecting, Limits::default());
    assert_eq!(fixture.half_close(&[Step::Shutdown]), Ok(()));
    let steps = [input(b"what"), Step::ReadWouldBlock];
    assert_eq!(fixture.drive(READABLE | DRAIN, &steps), Outcome::Event);
    assert_eq!(fixture.class(), Classes::LINGER);
    let outcome = fixture.drive(READABLE | DRAIN, &[input(b"ever"), Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Malformed));
    assert_eq!(fixture.common.bytes_dropped, 4);
}

#[test]
fn finish_at_eof_after_our_fin_sets_the_close_reason() {
    let mut fixture = Fixture::new(Rejecting, Limits::default());
    assert_eq!(fixture.half_close(&[Step::Shutdown]), Ok(()));
    let outcome = fixture.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::TooLong));
}

#[test]
fn half_open_connection_writes_then_half_close_closes() {
    let mut fixture = Fixture::raw();
    fixture.connection.allow_half_open();
    let outcome = fixture.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Event, "the peer may still receive");
    assert_eq!(fixture.class(), Classes::IDLE);
    assert_eq!(fixture.write_bytes(b"more", &[accepts(b"more")]), Ok(true));
    assert_eq!(fixture.half_close(&[]), Err(CloseReason::PeerClosed));
}

#[test]
fn half_open_connection_closes_after_pending_output() {
    let mut fixture = Fixture::raw();
    fixture.connection.allow_half_open();
    fixture.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(
        fixture.write_bytes(b"abc", &[accepts(b"a"), Step::WriteWouldBlock]),
        Ok(true)
    );
    assert_eq!(fixture.half_close(&[]), Ok(()));
    let outcome = fixture.drive(WRITABLE, &[accepts(b"bc")]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

#[test]
fn peer_fin_after_half_close_closes_despite_half_open() {
    let mut fixture = Fixture::raw();
    fixture.connection.allow_half_open();
    assert_eq!(fixture.half_close(&[Step::Shutdown]), Ok(()));
    let outcome = fixture.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}
