//! Sessions with messages: input that is not consumed, answers that are many, an end of their own; and clients.

use super::*;
use crate::connection::Classes;
use crate::protocol::{Context, Finish, Outbox};

/// Each message is two bytes and is answered by itself in brackets. `!!` ends the session, `??` is malformed, and an
/// odd byte before FIN comes back with a dot. It greets with `>` and says `*` when it has been paid.
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

pub(super) fn pairs(max_pending: usize) -> Rig<Pairs> {
    let limits = Limits {
        max_pending,
        ..Limits::default()
    };
    Rig::new(Pairs, limits)
}

#[test]
fn a_message_in_pieces_is_kept_until_it_is_whole() {
    let mut rig = pairs(64);
    assert_eq!(rig.drive(READABLE, &[input(b"a")]), Outcome::Event);
    assert_eq!(rig.class(), Classes::IDLE, "nothing is owed");
    let steps = [input(b"bcde"), takes(b"[ab][cd]")];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    let steps = [input(b"f"), takes(b"[ef]")];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    assert!(rig.connection.buffers.is_none(), "nothing is held any more");
}

#[test]
fn many_messages_in_one_read_are_answered_by_one_write() {
    let mut rig = pairs(64);
    rig.drive(READABLE, &[input(b"aabbcc"), takes(b"[aa][bb][cc]")]);
}

#[test]
fn a_session_that_stops_because_it_owes_goes_on_when_it_is_paid() {
    let mut rig = pairs(8);
    // Eight bytes are read at most; the session stops after each eight bytes said.
    let steps = [input(b"aabbccdd"), takes(b"[aa][bb]"), Step::NoRoom];
    rig.drive(READABLE, &steps);
    assert_eq!(rig.pending(), 8, "what was said when it stopped");
    // Paid: its `*` goes out; what was held back is answered; and then it reads again, as the read was a full one.
    let steps = [takes(b"[cc][dd]"), takes(b"*"), Step::NoInput];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn a_session_that_stops_goes_on_at_once_when_the_kernel_takes_all() {
    let mut rig = pairs(8);
    let steps = [
        input(b"aabbccdd"),
        takes(b"[aa][bb]"),
        takes(b"[cc][dd]"),
        Step::NoInput,
    ];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    assert!(rig.connection.buffers.is_none());
}

#[test]
fn the_last_word_may_be_that_the_input_was_malformed() {
    let mut rig = pairs(64);
    let steps = [input(b"?"), Step::PeerFin, takes(b"?.")];
    let outcome = rig.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Malformed));
}

#[test]
fn what_is_owed_already_counts_when_a_session_asks_whether_it_is_too_much() {
    let mut rig = Rig::new(
        Pairs,
        Limits {
            max_pending: 20,
            budget: 8,
        },
    );
    let steps = [input(b"aabbccdd"), Step::TakesCount(4), Step::NoRoom];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Again);
    assert_eq!(rig.pending(), 12);
    rig.drive(Readiness::NONE, &[input(b"eeffgghh")]);
    assert_eq!(rig.pending(), 20, "the limit, and less than a reply more");
}

#[test]
fn while_input_is_held_back_no_more_is_read_so_fin_does_not_overtake_it() {
    let mut rig = Rig::new(
        Pairs,
        Limits {
            max_pending: 10,
            budget: 8,
        },
    );
    let steps = [input(b"aabbccdd"), takes(b"[aa][bb][cc"), Step::NoRoom];
    rig.drive(READABLE, &steps);
    assert_eq!(rig.pending(), 1);
    assert_eq!(rig.drive(READABLE | DRAIN, &[]), Outcome::Event);
    let steps = [takes(b"]"), takes(b"*"), takes(b"[dd]"), Step::PeerFin];
    let outcome = rig.drive(WRITABLE, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

#[test]
fn after_the_last_word_nothing_is_said_from_outside() {
    let mut rig = pairs(64);
    let steps = [input(b"!!"), Step::Fin, Step::NoInput];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    let mut nothing = Scripted {
        steps: VecDeque::new(),
    };
    let mut bench = bench(&mut rig.common, &mut rig.write_buffer);
    let written = rig
        .connection
        .write(&mut nothing, &mut bench, |outbox| outbox.write(b"late"));
    assert_eq!(written, Ok(false));
}

#[test]
fn what_is_held_back_is_answered_after_it_was_paid_and_before_more_is_read() {
    let mut rig = pairs(8);
    let steps = [input(b"aabbccdd"), takes(b"[aa]"), Step::NoRoom];
    rig.drive(READABLE, &steps);
    assert_eq!(rig.pending(), 4);
    assert_eq!(rig.drive(READABLE, &[]), Outcome::Event, "it owes: no read");
    let steps = [
        takes(b"[bb]"),
        takes(b"*"),
        takes(b"[cc][dd]"),
        input(b"ee"),
        takes(b"[ee]"),
    ];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn what_was_not_consumed_before_fin_is_the_sessions_last_word() {
    let mut rig = pairs(64);
    let steps = [input(b"aab"), takes(b"[aa]"), Step::PeerFin, takes(b"b.")];
    let outcome = rig.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
    assert_eq!(rig.common.pool.held(), 0);
}

#[test]
fn a_session_that_ends_sends_what_it_said_then_fin_and_lingers() {
    for (end, reason) in [
        (b"aa!!bb", CloseReason::SessionDone),
        (b"aa??bb", CloseReason::Malformed),
    ] {
        let mut rig = pairs(64);
        let steps = [input(end), takes(b"["), Step::NoRoom];
        assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
        assert_eq!(rig.class(), Classes::STALLED);
        let owed = rig.pending();
        let steps = [
            Step::TakesCount(owed),
            Step::Fin,
            input(b"cc"),
            Step::NoInput,
        ];
        assert_eq!(rig.drive(WRITABLE | READABLE, &steps), Outcome::Event);
        assert_eq!(rig.class(), Classes::LINGER);
        let outcome = rig.drive(READABLE | DRAIN, &[Step::PeerFin]);
        assert_eq!(outcome, Outcome::Closed(reason));
    }
}

#[test]
fn a_connection_that_was_begun_opens_when_it_stands_and_says_what_waited() {
    let mut rig = pairs(64);
    rig.connection = Connection::connecting(PairsSession);
    assert_eq!(rig.class(), Classes::CONNECT);
    let mut nothing = Scripted {
        steps: VecDeque::new(),
    };
    let mut bench = bench(&mut rig.common, &mut rig.write_buffer);
    let written = rig
        .connection
        .write(&mut nothing, &mut bench, |outbox| outbox.write(b"early"));
    assert_eq!(written, Ok(true));
    assert_eq!(rig.drive(READABLE, &[]), Outcome::Event, "not yet writable");
    let steps = [Step::Connected(Ok(false))];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
    let steps = [
        Step::Connected(Ok(true)),
        takes(b"early>"),
        takes(b"*"),
        Step::NoInput,
    ];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
    assert_eq!(rig.class(), Classes::IDLE);
}

#[test]
fn a_connection_that_cannot_stand_says_why() {
    let mut rig = pairs(64);
    rig.connection = Connection::connecting(PairsSession);
    assert_eq!(rig.deadline(), CloseReason::ConnectTimeout);
    let refused = io::ErrorKind::ConnectionRefused;
    let outcome = rig.drive(WRITABLE, &[Step::Connected(Err(refused))]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::ConnectFailed));
    let told = rig.common.last_error.as_ref().map(io::Error::kind);
    assert_eq!(told, Some(refused));
}
