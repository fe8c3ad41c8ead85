//! Sessions with messages: unconsumed input, several replies to one read, sessions that finish, and clients.

use super::*;
use crate::connection::Classes;
use crate::protocol::{Context, Finish};

/// Each message has two bytes, and the reply is the message in brackets. `!!` finishes the session, and `??` is
/// malformed. An odd byte before FIN is echoed with a dot. The session sends `>` when it opens, and `*` when its
/// pending output was sent.
pub(super) struct Pairs;
pub(super) struct PairsSession;

impl Protocol for Pairs {
    type Session = PairsSession;

    fn name(&self) -> &'static str {
        "pairs"
    }

    fn session(&mut self) -> PairsSession {
        PairsSession
    }
}

impl Session for PairsSession {
    type Shared = Pairs;

    fn open(&mut self, _: Context<'_, Pairs>, outbox: &mut Outbox<'_>) {
        outbox.write(b">");
    }

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        _: Context<'_, Pairs>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        let mut consumed = 0;
        for pair in input.chunks_exact(2) {
            if outbox.is_full() {
                break;
            }
            consumed += 2;
            match pair {
                b"!!" => outbox.finish(Finish::Done),
                b"??" => outbox.finish(Finish::Malformed),
                _ => {
                    outbox.write(b"[");
                    outbox.write(pair);
                    outbox.write(b"]");
                }
            }
        }
        consumed
    }

    fn drained(&mut self, _: Context<'_, Pairs>, outbox: &mut Outbox<'_>) {
        outbox.write(b"*");
    }

    fn end<'a>(&mut self, rest: &'a [u8], _: Context<'_, Pairs>, outbox: &mut Outbox<'a>) {
        if rest == b"?" {
            outbox.finish(Finish::Malformed);
        }
        outbox.send(rest);
        if !rest.is_empty() {
            outbox.write(b".");
        }
    }
}

pub(super) fn pairs(limit: usize) -> Fixture<Pairs> {
    Fixture::new(Pairs, max_pending(limit))
}

#[test]
fn partial_message_is_kept_until_complete() {
    let mut fixture = pairs(64);
    assert_eq!(fixture.drive(READABLE, &[input(b"a")]), Outcome::Event);
    assert_eq!(fixture.class(), Classes::IDLE, "no output is pending");
    let steps = [input(b"bcde"), accepts(b"[ab][cd]")];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    let steps = [input(b"f"), accepts(b"[ef]")];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    assert!(fixture.connection.buffers.is_none(), "buffers are freed");
}

#[test]
fn messages_of_one_read_are_answered_by_one_write() {
    let mut fixture = pairs(64);
    fixture.drive(READABLE, &[input(b"aabbcc"), accepts(b"[aa][bb][cc]")]);
}

#[test]
fn full_outbox_resumes_after_the_flush() {
    let mut fixture = pairs(8);
    // A read returns at most eight bytes, and the outbox is full after eight bytes of output.
    let steps = [
        input(b"aabbccdd"),
        accepts(b"[aa][bb]"),
        Step::WriteWouldBlock,
    ];
    fixture.drive(READABLE, &steps);
    assert_eq!(fixture.pending_output(), 8, "[cc][dd]");
    // After the flush `*` is sent, and the socket is read again, since the last read was full.
    let steps = [accepts(b"[cc][dd]"), accepts(b"*"), Step::ReadWouldBlock];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn full_outbox_resumes_at_once_after_a_complete_write() {
    let mut fixture = pairs(8);
    let steps = [
        input(b"aabbccdd"),
        accepts(b"[aa][bb]"),
        accepts(b"[cc][dd]"),
        Step::ReadWouldBlock,
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    assert!(fixture.connection.buffers.is_none());
}

#[test]
fn malformed_rest_at_eof_sets_the_close_reason() {
    let mut fixture = pairs(64);
    let steps = [input(b"?"), Step::PeerFin, accepts(b"?.")];
    let outcome = fixture.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Malformed));
}

#[test]
fn pending_output_counts_towards_a_full_outbox() {
    let mut fixture = Fixture::new(
        Pairs,
        Limits {
            max_pending: 20,
            budget: 8,
        },
    );
    let steps = [
        input(b"aabbccdd"),
        Step::AcceptsCount(4),
        Step::WriteWouldBlock,
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Again);
    assert_eq!(fixture.pending_output(), 12);
    fixture.drive(Readiness::NONE, &[input(b"eeffgghh")]);
    assert_eq!(
        fixture.pending_output(),
        20,
        "at most the limit and one reply"
    );
}

#[test]
fn blocked_input_is_answered_before_fin_is_read() {
    let mut fixture = Fixture::new(
        Pairs,
        Limits {
            max_pending: 10,
            budget: 10,
        },
    );
    let steps = [
        input(b"aabbccdd"),
        accepts(b"[aa][bb][cc"),
        Step::WriteWouldBlock,
    ];
    fixture.drive(READABLE, &steps);
    assert_eq!(fixture.pending_output(), 1);
    assert_eq!(fixture.drive(READABLE | DRAIN, &[]), Outcome::Event);
    let steps = [
        accepts(b"]"),
        accepts(b"*"),
        accepts(b"[dd]"),
        Step::PeerFin,
    ];
    let outcome = fixture.drive(WRITABLE, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

#[test]
fn owner_write_after_finish_is_rejected() {
    let mut fixture = pairs(64);
    let steps = [input(b"!!"), Step::Shutdown, Step::ReadWouldBlock];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(fixture.write_bytes(b"late", &[]), Ok(false));
}

#[test]
fn blocked_input_is_answered_between_flush_and_read() {
    let mut fixture = pairs(8);
    let steps = [input(b"aabbccdd"), accepts(b"[aa]"), Step::WriteWouldBlock];
    fixture.drive(READABLE, &steps);
    assert_eq!(fixture.pending_output(), 4);
    assert_eq!(
        fixture.drive(READABLE, &[]),
        Outcome::Event,
        "pending output blocks reads"
    );
    let steps = [
        accepts(b"[bb]"),
        accepts(b"*"),
        accepts(b"[cc][dd]"),
        input(b"ee"),
        accepts(b"[ee]"),
    ];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn unconsumed_input_at_eof_is_passed_to_the_session() {
    let mut fixture = pairs(64);
    let steps = [
        input(b"aab"),
        accepts(b"[aa]"),
        Step::PeerFin,
        accepts(b"b."),
    ];
    let outcome = fixture.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
    assert_eq!(fixture.common.pool.held(), 0);
}

#[test]
fn finished_session_sends_output_then_fin_and_lingers() {
    for (end, reason) in [
        (b"aa!!bb", CloseReason::SessionDone),
        (b"aa??bb", CloseReason::Malformed),
    ] {
        let mut fixture = pairs(64);
        let steps = [input(end), accepts(b"["), Step::WriteWouldBlock];
        assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
        assert_eq!(fixture.class(), Classes::STALLED);
        let pending = fixture.pending_output();
        let steps = [
            Step::AcceptsCount(pending),
            Step::Shutdown,
            input(b"cc"),
            Step::ReadWouldBlock,
        ];
        assert_eq!(fixture.drive(WRITABLE | READABLE, &steps), Outcome::Event);
        assert_eq!(fixture.class(), Classes::LINGER);
        let outcome = fixture.drive(READABLE | DRAIN, &[Step::PeerFin]);
        assert_eq!(outcome, Outcome::Closed(reason));
    }
}

#[test]
fn established_connection_opens_and_sends_waiting_output() {
    let mut fixture = Fixture::connecting(Pairs, max_pending(64));
    assert_eq!(fixture.class(), Classes::CONNECT);
    assert_eq!(fixture.write_bytes(b"early", &[]), Ok(true));
    assert_eq!(
        fixture.drive(READABLE, &[]),
        Outcome::Event,
        "not writable yet"
    );
    let steps = [Step::Connected(Ok(false))];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
    let steps = [
        Step::Connected(Ok(true)),
        accepts(b"early>"),
        accepts(b"*"),
        Step::ReadWouldBlock,
    ];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
    assert_eq!(fixture.class(), Classes::IDLE);
}

#[test]
fn refused_connect_closes_with_its_error() {
    let mut fixture = Fixture::connecting(Pairs, max_pending(64));
    assert_eq!(fixture.expire(), CloseReason::ConnectTimeout);
    let refused = io::ErrorKind::ConnectionRefused;
    let outcome = fixture.drive(WRITABLE, &[Step::Connected(Err(refused))]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::ConnectFailed));
    assert_eq!(fixture.last_error(), Some(refused));
}
