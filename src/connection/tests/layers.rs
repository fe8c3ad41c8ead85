//! A session that transforms the bytes of the connection, as TLS does: it has a handshake, holds incomplete units, defers
//! work to later iterations, and has a last output before FIN.

use super::harness::Harness;
use super::*;
use crate::connection::Classes;
use crate::net::Ending;
use crate::protocol::{Context, Finish};

/// The client's part of the handshake are two `h`, each answered with `H`, and one in an iteration. Afterwards two equal
/// bytes stand for one: `q` ends the client's output; any other byte is echoed, and of one call at most four.
///
/// With `RECEIPT`, FIN is a receipt of a record.
#[derive(Default)]
struct Doubling<const RECEIPT: bool = false> {
    steps: usize,
}

#[derive(Default)]
struct DoublingSession<const RECEIPT: bool> {
    handshakes: usize,
    held: Vec<u8>,
    /// Output from outside before the handshake has completed.
    early: Vec<u8>,
    has_said_bye: bool,
    record: Option<Vec<u8>>,
}

impl<const RECEIPT: bool> Protocol for Doubling<RECEIPT> {
    type Session = DoublingSession<RECEIPT>;

    fn name(&self) -> &'static str {
        "doubling"
    }

    fn session(&mut self) -> DoublingSession<RECEIPT> {
        DoublingSession::default()
    }

    fn begin_iteration(&mut self) {
        self.steps = 1;
    }
}

impl<const RECEIPT: bool> DoublingSession<RECEIPT> {
    fn handshake(&mut self, steps: &mut usize, outbox: &mut Outbox<'_>) {
        while self.is_handshaking() && self.held.first() == Some(&b'h') {
            if *steps == 0 {
                outbox.defer();
                return;
            }
            *steps -= 1;
            self.held.remove(0);
            self.handshakes += 1;
            outbox.write(b"H");
        }
        if !self.is_handshaking() {
            outbox.write(&std::mem::take(&mut self.early));
        }
    }
}

impl<const RECEIPT: bool> Session for DoublingSession<RECEIPT> {
    type Shared = Doubling<RECEIPT>;
    const FIN_IS_RECEIPT: bool = RECEIPT;
    const HOLDS_BYTES: bool = true;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Doubling<RECEIPT>>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        self.held.extend_from_slice(input);
        self.handshake(&mut context.shared.steps, outbox);
        let mut units = 0;
        while !self.is_handshaking() && self.held.len() >= 2 {
            if units == 4 {
                outbox.defer();
                break;
            }
            units += 1;
            let unit = self.held.drain(..2).next();
            match unit {
                Some(b'q') => outbox.finish(Finish::PeerClosed),
                Some(b'r') => {
                    self.record = Some(std::mem::take(&mut self.held));
                    outbox.finish(Finish::Record);
                }
                Some(byte) => outbox.write(&[byte, byte]),
                None => {}
            }
        }
        input.len()
    }

    fn write(
        &mut self,
        _: Context<'_, Doubling<RECEIPT>>,
        outbox: &mut Outbox<'_>,
        write: impl FnOnce(&mut Outbox<'_>),
    ) {
        let mut buffer = Vec::new();
        let mut inner = Outbox::new(&mut buffer, usize::MAX);
        write(&mut inner);
        let doubled = inner.bytes().iter().flat_map(|byte| [*byte, *byte]);
        if self.is_handshaking() {
            self.early.extend(doubled);
        } else {
            outbox.write(&doubled.collect::<Vec<u8>>());
        }
    }

    fn before_fin(&mut self, _: Context<'_, Doubling<RECEIPT>>, outbox: &mut Outbox<'_>) {
        if !self.is_handshaking() && !std::mem::replace(&mut self.has_said_bye, true) {
            outbox.write(b"bye");
        }
    }

    fn held_bytes(&self) -> usize {
        self.held.len() + self.early.len()
    }

    fn is_handshaking(&self) -> bool {
        self.handshakes < 2
    }

    fn take_record(&mut self) -> Option<Vec<u8>> {
        self.record.take()
    }
}

fn harness<const RECEIPT: bool>() -> Harness<Doubling<RECEIPT>> {
    Harness::with_protocol(Doubling::default(), Limits::default(), 1 << 30)
}

/// A harness with a connection whose handshake has completed.
fn established() -> (Harness<Doubling>, Key) {
    established_with()
}

fn established_with<const RECEIPT: bool>() -> (Harness<Doubling<RECEIPT>>, Key) {
    let mut harness = harness();
    let key = harness.open();
    harness.owner.driver.common.protocol.steps = 2;
    let steps = [input(b"hh"), accepts(b"HH")];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    assert_eq!(harness.class(key), Classes::IDLE);
    (harness, key)
}

#[test]
fn handshake_beyond_the_budget_continues_in_the_next_iteration() {
    let mut harness = harness::<false>();
    let key = harness.open();
    harness.owner.driver.common.protocol.steps = 1;
    let steps = [input(b"hhaa"), accepts(b"H")];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    assert_eq!(harness.class(key), Classes::HANDSHAKE);
    harness.set_steps(key, &[accepts(b"Haa")]);
    assert_eq!(harness.run_iteration_at(0), [], "no event arrived");
    harness.assert_no_steps_left(key);
    assert_eq!(harness.class(key), Classes::IDLE);
}

#[test]
fn activity_does_not_extend_the_handshake_timeout() {
    let mut harness = harness::<false>();
    let key = harness.open();
    assert_eq!(harness.class(key), Classes::HANDSHAKE);
    assert_eq!(harness.run_iteration_at(9), []);
    harness.owner.driver.common.protocol.steps = 1;
    assert_eq!(
        harness.drive(key, READABLE, &[input(b"h"), accepts(b"H")]),
        None
    );
    let closed = harness.run_iteration_at(11);
    assert_eq!(closed, [(key.serial, CloseReason::HandshakeTimeout)]);
}

/// The connect timeout does not count against it.
#[test]
fn handshake_timeout_of_a_client_starts_when_tcp_is_established() {
    let mut harness = harness::<false>();
    let protocol = &mut harness.owner.driver.common.protocol;
    let connection = Connection::connecting(protocol.session());
    let stream = ScriptedStream::new(&[]);
    let key = harness.reactor.insert(stream, connection, true).unwrap();
    harness.reactor.set_class(key, Classes::CONNECT);
    assert_eq!(harness.run_iteration_at(9), []);
    let steps = [Step::Connected(Ok(true))];
    assert_eq!(harness.drive(key, WRITABLE, &steps), None);
    assert_eq!(harness.class(key), Classes::HANDSHAKE);
    assert_eq!(harness.run_iteration_at(18), []);
    harness.set_steps(key, &[Step::ReadWouldBlock]);
    let closed = harness.run_iteration_at(20);
    assert_eq!(closed, [(key.serial, CloseReason::HandshakeTimeout)]);
}

#[test]
fn idle_timeout_starts_when_the_handshake_has_completed() {
    let mut harness = harness::<false>();
    let key = harness.open();
    assert_eq!(harness.run_iteration_at(9), []);
    harness.owner.driver.common.protocol.steps = 2;
    let steps = [input(b"hh"), accepts(b"HH")];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    assert_eq!(harness.run_iteration_at(18), []);
    harness.set_steps(key, &[Step::ReadWouldBlock, accepts(b"bye")]);
    let closed = harness.run_iteration_at(20);
    assert_eq!(closed, [(key.serial, CloseReason::Idle)]);
}

#[test]
fn last_output_at_the_idle_timeout_waits_for_space_in_the_kernel() {
    let (mut harness, key) = established();
    let blocked = [
        Step::ReadWouldBlock,
        Step::AcceptsCount(1),
        Step::WriteWouldBlock,
    ];
    harness.set_steps(key, &blocked);
    assert_eq!(harness.run_iteration_at(11), []);
    harness.assert_no_steps_left(key);
    assert_eq!(harness.class(key), Classes::STALLED);
    let steps = [accepts(b"ye"), Step::Shutdown, Step::ReadWouldBlock];
    assert_eq!(harness.drive(key, WRITABLE, &steps), None);
    assert_eq!(harness.class(key), Classes::LINGER);
    let closed = harness.drive(key, READABLE, &[Step::PeerFin]);
    assert_eq!(closed, Some(CloseReason::Idle));
}

#[test]
fn last_output_that_is_not_sent_within_the_stall_timeout_is_reset() {
    let (mut harness, key) = established();
    harness.set_steps(key, &[Step::ReadWouldBlock, Step::WriteWouldBlock]);
    assert_eq!(harness.run_iteration_at(11), []);
    assert_eq!(harness.run_iteration_at(20), []);
    let closed = harness.run_iteration_at(22);
    assert_eq!(closed, [(key.serial, CloseReason::Stalled)]);
    assert_eq!(harness.reactor.net.endings, [Ending::Reset]);
}

#[test]
fn bytes_that_the_session_holds_count_as_memory_until_it_frees_them() {
    let (mut harness, key) = established();
    assert_eq!(harness.pool().held(), 0);
    assert_eq!(harness.drive(key, READABLE, &[input(b"a")]), None);
    assert!(harness.pool().held() > 0, "an incomplete unit");
    assert!(harness.pool().is_mostly_incomplete());
    assert_eq!(
        harness.drive(key, READABLE, &[input(b"a"), accepts(b"aa")]),
        None
    );
    assert_eq!(harness.pool().held(), 0);
    assert_eq!(harness.drive(key, READABLE, &[input(b"a")]), None);
    harness.close(key, CloseReason::PeerReset);
    assert_eq!(harness.pool().held(), 0);
}

#[test]
fn slow_reader_within_a_handshake_is_evicted() {
    let mut harness =
        Harness::with_protocol(Doubling::<false>::default(), Limits::default(), 100_000);
    let key = harness.open();
    harness.owner.driver.common.protocol.steps = 1;
    let held = [&b"h"[..], &b"z".repeat(60_000)].concat();
    let steps = [input(&held), Step::WriteWouldBlock];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    assert_eq!(harness.class(key), Classes::HANDSHAKE);
    harness.pool().account(0, 30_000);
    assert!(harness.pool().is_scarce());
    assert_eq!(harness.evict_at(0), [], "a second must pass first");
    assert_eq!(harness.evict_at(2), [key]);
}

#[test]
fn deferred_work_follows_the_output_without_another_event() {
    let (mut harness, key) = established();
    let steps = [
        input(b"aabbccddeeff"),
        accepts(b"aabbccdd"),
        accepts(b"eeff"),
    ];
    assert_eq!(harness.drive(key, READABLE, &steps), None);

    let steps = [
        input(b"aabbccddeeff"),
        Step::AcceptsCount(3),
        Step::WriteWouldBlock,
    ];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    let steps = [accepts(b"bccdd"), accepts(b"eeff")];
    assert_eq!(harness.drive(key, WRITABLE, &steps), None);
}

#[test]
fn nothing_is_read_while_work_is_deferred() {
    let (mut harness, key) = established();
    let first = [
        input(b"aabbccddeeffgghhii"),
        accepts(b"aabbccdd"),
        accepts(b"eeffgghh"),
    ];
    assert_eq!(harness.drive(key, READABLE | DRAIN, &first), None);
    let second = [accepts(b"ii"), Step::ReadWouldBlock];
    harness.set_steps(key, &second);
    assert_eq!(harness.run_iteration_at(0), []);
    harness.assert_no_steps_left(key);
}

#[test]
fn drain_waits_for_deferred_work_of_any_number_of_iterations() {
    let (mut harness, key) = established();
    harness.reactor.find(key).unwrap().tenant.drain();
    // An iteration answers eight bytes, far below the budget.
    let iterations = 300;
    let first = [input(&b"aa".repeat(4 * iterations)), eight()];
    harness.set_steps(key, &first);
    let reason = harness
        .owner
        .driver
        .drive(&mut harness.reactor, key, READABLE);
    assert_eq!(reason, None);
    harness.assert_no_steps_left(key);
    for _ in 1..iterations {
        harness.set_steps(key, &[eight()]);
        assert_eq!(harness.run_iteration_at(0), []);
        harness.assert_no_steps_left(key);
    }
}

/// Accepts the output of a call that answers four bytes.
fn eight() -> Step {
    accepts(b"aaaaaaaa")
}

#[test]
fn end_of_output_of_the_peer_closes_like_fin() {
    let (mut harness, key) = established();
    let steps = [
        input(b"aaqq"),
        accepts(b"aa"),
        accepts(b"bye"),
        Step::Shutdown,
        Step::PeerFin,
    ];
    let reason = harness.drive(key, READABLE, &steps);
    assert_eq!(reason, Some(CloseReason::PeerClosed));
}

#[test]
fn fin_waits_for_the_last_output_of_the_session() {
    let (mut harness, key) = established();
    let steps = [input(b"qq"), Step::AcceptsCount(1), Step::WriteWouldBlock];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    let steps = [accepts(b"ye"), Step::Shutdown, Step::ReadWouldBlock];
    assert_eq!(harness.drive(key, WRITABLE, &steps), None);
    assert_eq!(harness.class(key), Classes::LINGER);

    // The peer's FIN is acknowledged by ours in the same way.
    let (mut harness, key) = established();
    let steps = [Step::PeerFin, Step::AcceptsCount(1), Step::WriteWouldBlock];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    let reason = harness.drive(key, WRITABLE, &[accepts(b"ye")]);
    assert_eq!(reason, Some(CloseReason::PeerClosed));
}

#[test]
fn half_close_and_output_wait_for_the_handshake() {
    let mut fixture = Fixture::connecting(Doubling::<false> { steps: 2 }, Limits::default());
    assert_eq!(fixture.write_bytes(b"ab", &[]), Ok(true));
    assert_eq!(fixture.pending_output(), 4, "the owner waits for it");
    assert_eq!(fixture.half_close(&[]), Ok(()));
    let steps = [Step::Connected(Ok(true))];
    assert_eq!(fixture.drive_unchecked(WRITABLE, &steps), Outcome::Event);
    let steps = [
        input(b"hh"),
        accepts(b"HHaabb"),
        accepts(b"bye"),
        Step::Shutdown,
    ];
    assert_eq!(fixture.drive_unchecked(READABLE, &steps), Outcome::Event);
}

#[test]
fn record_that_the_session_holds_is_taken_before_fin() {
    let (mut harness, key) = established_with::<true>();
    assert_eq!(harness.drive(key, READABLE, &[input(b"rrtext")]), None);
    let driver = &mut harness.owner.driver;
    assert_eq!(driver.next_record(&mut harness.reactor), Some(key));
    let taken = driver.take_record(&mut harness.reactor, key, |record| {
        assert_eq!(record, b"text");
        Ok(record.len())
    });
    let (count, reason) = taken.unwrap();
    assert_eq!((count, reason), (4, Some(CloseReason::PeerClosed)));
    harness.set_steps(key, &[accepts(b"bye")]);
    harness.close(key, CloseReason::PeerClosed);
    assert_eq!(harness.reactor.net.endings, [crate::net::Ending::Fin]);
}

#[test]
fn reset_connection_gets_no_last_output() {
    let (mut harness, key) = established();
    harness.set_steps(key, &[]);
    harness.close(key, CloseReason::Stalled);
    assert_eq!(harness.reactor.net.endings, [crate::net::Ending::Reset]);
}

#[test]
fn last_output_is_no_receipt_without_a_record() {
    // The peer's FIN comes without the end of its output.
    let (mut harness, key) = established_with::<true>();
    let reason = harness.drive(key, READABLE, &[Step::PeerFin]);
    assert_eq!(reason, Some(CloseReason::PeerClosed));
    harness.close(key, CloseReason::PeerClosed);
    assert_eq!(harness.reactor.net.endings, [crate::net::Ending::Reset]);

    let (mut harness, key) = established_with::<true>();
    let closed = harness.run_iteration_at(20);
    assert_eq!(closed, [(key.serial, CloseReason::Idle)]);
    assert_eq!(harness.reactor.net.endings, [crate::net::Ending::Reset]);
}
