//! Clients that have said all: FIN follows what is owed, and the peer is listened to until its own.

use super::sessions::{Pairs, PairsSession, pairs};
use super::*;
use crate::connection::Classes;
use crate::protocol::{Context, Finish, Outbox};

/// A protocol that takes whatever comes for nonsense, and says so.
struct Refusing;
struct RefusingSession;

impl Protocol for Refusing {
    type Session = RefusingSession;

    fn name(&self) -> &'static str {
        "refusing"
    }

    fn session(&mut self) -> RefusingSession {
        RefusingSession
    }
}

impl Session for RefusingSession {
    type Shared = Refusing;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        _: Context<'_, Refusing>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        outbox.write(b"nonsense");
        outbox.finish(Finish::Malformed);
        input.len()
    }

    fn end<'a>(&mut self, _: &'a [u8], _: Context<'_, Refusing>, outbox: &mut Outbox<'a>) {
        outbox.write(b"so much?");
        outbox.finish(Finish::TooLong);
    }
}

impl<P: Protocol> Rig<P> {
    /// Says that nothing more will be said, over a socket that follows `steps`, all of them.
    fn half_close(&mut self, steps: &[Step]) -> Result<(), CloseReason> {
        let mut stream = Scripted {
            steps: steps.iter().cloned().collect(),
        };
        let mut bench = bench(&mut self.common, &mut self.write_buffer);
        let closed = self.connection.half_close(&mut stream, &mut bench);
        assert!(stream.steps.is_empty(), "left over: {:?}", stream.steps);
        closed
    }

    fn write(&mut self, bytes: &[u8], steps: &[Step]) -> Result<bool, CloseReason> {
        let mut stream = Scripted {
            steps: steps.iter().cloned().collect(),
        };
        let mut bench = bench(&mut self.common, &mut self.write_buffer);
        let said = self
            .connection
            .write(&mut stream, &mut bench, |outbox| outbox.write(bytes));
        assert!(stream.steps.is_empty(), "left over: {:?}", stream.steps);
        said
    }
}

#[test]
fn who_owes_nothing_sends_fin_at_once_and_listens_on() {
    let mut rig = Rig::raw();
    assert_eq!(rig.half_close(&[Step::Fin]), Ok(()));
    assert_eq!(rig.class(), Classes::IDLE);
    assert_eq!(
        rig.write(b"more", &[]),
        Ok(false),
        "nothing can be said now"
    );
    // Raw echo would answer; behind our FIN that is dropped.
    assert_eq!(rig.drive(READABLE, &[input(b"late")]), Outcome::Event);
    assert_eq!(rig.connection.bytes_in(), 4);
    let outcome = rig.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

#[test]
fn who_owes_sends_fin_behind_it() {
    let mut rig = Rig::raw();
    assert_eq!(rig.write(b"abc", &[takes(b"a"), Step::NoRoom]), Ok(true));
    assert_eq!(rig.half_close(&[]), Ok(()));
    assert_eq!(rig.write(b"more", &[]), Ok(false));
    let steps = [takes(b"bc"), Step::Fin];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
    assert_eq!(rig.class(), Classes::IDLE);
}

#[test]
fn who_is_still_connecting_sends_what_waited_and_then_fin() {
    let mut rig = Rig::raw();
    rig.connection = Connection::connecting(Raw.session());
    assert_eq!(rig.write(b"early", &[]), Ok(true));
    assert_eq!(rig.half_close(&[]), Ok(()));
    let steps = [Step::Connected(Ok(true)), takes(b"early"), Step::Fin];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn a_fin_that_cannot_be_sent_tells_of_a_reset() {
    let mut rig = Rig::raw();
    let closed = rig.half_close(&[Step::FinFails]);
    assert_eq!(closed, Err(CloseReason::PeerReset));
}

#[test]
fn the_last_word_of_a_session_that_is_not_connected_yet_is_still_said() {
    let mut rig: Rig<Pairs> = pairs(64);
    rig.connection = Connection::connecting(PairsSession);
    let mut nothing = Scripted {
        steps: VecDeque::new(),
    };
    let mut bench = bench(&mut rig.common, &mut rig.write_buffer);
    let said = rig.connection.write(&mut nothing, &mut bench, |outbox| {
        outbox.write(b"bye");
        outbox.finish(Finish::Done);
    });
    assert_eq!(said, Ok(true));
    let steps = [
        Step::Connected(Ok(true)),
        takes(b"bye>"),
        takes(b"*"),
        Step::NoInput,
        Step::Fin,
    ];
    assert_eq!(rig.drive(WRITABLE | READABLE, &steps), Outcome::Event);
}

#[test]
fn a_client_that_is_told_to_stop_before_it_stands_has_nothing_to_wait_for() {
    let mut rig = Rig::raw();
    rig.connection = Connection::connecting(Raw.session());
    rig.connection.drain();
    let outcome = rig.drive(Readiness::NONE, &[]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Drained));
}

#[test]
fn what_was_to_be_said_on_a_connection_is_not_waited_for_when_that_is_called_off() {
    let mut rig = Rig::raw();
    rig.connection = Connection::connecting(Raw.session());
    assert_eq!(rig.write(b"early", &[]), Ok(true));
    rig.connection.drain();
    assert_eq!(rig.write(b"more", &[]), Ok(false));
    let outcome = rig.drive(WRITABLE, &[]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Drained));
}

#[test]
fn a_session_that_ends_behind_our_fin_says_no_more_and_sends_no_other_fin() {
    let mut rig = Rig::new(Refusing, Limits::default());
    assert_eq!(rig.half_close(&[Step::Fin]), Ok(()));
    let steps = [input(b"what"), Step::NoInput];
    assert_eq!(rig.drive(READABLE | DRAIN, &steps), Outcome::Event);
    assert_eq!(rig.class(), Classes::LINGER);
    let outcome = rig.drive(READABLE | DRAIN, &[input(b"ever"), Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::Malformed));
    assert_eq!(rig.common.bytes_dropped, 4);
}

#[test]
fn what_a_session_says_of_the_peers_fin_behind_ours_is_why_the_connection_ended() {
    let mut rig = Rig::new(Refusing, Limits::default());
    assert_eq!(rig.half_close(&[Step::Fin]), Ok(()));
    let outcome = rig.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::TooLong));
}

#[test]
fn who_speaks_on_after_the_peers_fin_closes_when_all_is_said() {
    let mut rig = Rig::raw();
    rig.connection.allow_half_open();
    let outcome = rig.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Event, "the peer may still listen");
    assert_eq!(rig.class(), Classes::IDLE);
    assert_eq!(rig.write(b"more", &[takes(b"more")]), Ok(true));
    assert_eq!(rig.half_close(&[]), Err(CloseReason::PeerClosed));
}

#[test]
fn who_speaks_on_and_owes_closes_behind_what_it_owes() {
    let mut rig = Rig::raw();
    rig.connection.allow_half_open();
    rig.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(rig.write(b"abc", &[takes(b"a"), Step::NoRoom]), Ok(true));
    assert_eq!(rig.half_close(&[]), Ok(()));
    let outcome = rig.drive(WRITABLE, &[takes(b"bc")]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

#[test]
fn who_has_said_all_is_ended_by_the_peers_fin_although_it_would_have_spoken_on() {
    let mut rig = Rig::raw();
    rig.connection.allow_half_open();
    assert_eq!(rig.half_close(&[Step::Fin]), Ok(()));
    let outcome = rig.drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}
