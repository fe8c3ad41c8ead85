//! All the ways to an end.

use super::*;
use crate::connection::Classes;
use crate::connection::lifecycle::DRAIN_ITERATIONS;

const END: Readiness = Readiness::DRAIN;

fn closed(reason: CloseReason) -> Outcome {
    Outcome::Closed(reason)
}

#[test]
fn fin_in_the_same_edge_as_data_with_a_short_read_is_read_at_once() {
    let mut rig = Rig::raw();
    let steps = [input(b"abc"), takes(b"abc"), Step::PeerFin];
    let outcome = rig.drive(READABLE | END, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn fin_alone_is_the_end_even_when_the_event_did_not_say_so() {
    let mut rig = Rig::raw();
    let outcome = rig.drive(READABLE, &[Step::PeerFin]);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn fin_with_bytes_still_owed_closes_only_after_they_are_sent() {
    let mut rig = Rig::raw();
    rig.drive(READABLE | END, &[input(b"abc"), takes(b"a"), Step::NoRoom]);
    // The FIN is behind what is owed: it is not even read before that.
    let steps = [takes(b"bc"), Step::PeerFin];
    assert_eq!(rig.drive(WRITABLE, &steps), closed(CloseReason::PeerClosed));
}

#[test]
fn fin_that_was_read_while_more_could_be_owed_waits_for_the_last_byte() {
    let limits = Limits {
        max_pending: 4 * SCRATCH_SIZE,
        ..Limits::default()
    };
    let mut rig = Rig::new(Raw, limits);
    let steps = [input(b"abc"), Step::NoRoom, Step::PeerFin];
    assert_eq!(rig.drive(READABLE | END, &steps), Outcome::Event);
    assert_eq!(rig.class(), Classes::STALLED);
    let steps = [takes(b"ab"), Step::NoRoom];
    assert_eq!(rig.drive(WRITABLE | READABLE, &steps), Outcome::Event);
    let outcome = rig.drive(WRITABLE, &[takes(b"c")]);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn errors_of_reading_have_their_reasons() {
    for (error, reason) in [
        (io::ErrorKind::ConnectionReset, CloseReason::PeerReset),
        (io::ErrorKind::TimedOut, CloseReason::PeerLost),
        (io::ErrorKind::HostUnreachable, CloseReason::PeerLost),
    ] {
        let mut rig = Rig::raw();
        let outcome = rig.drive(READABLE | END, &[Step::ReadFails(error)]);
        assert_eq!(outcome, closed(reason));
        let told = rig.common.last_error.as_ref().map(io::Error::kind);
        assert_eq!(told, Some(error));
    }
}

#[test]
fn errors_of_writing_have_their_reasons() {
    for (error, reason) in [
        (io::ErrorKind::BrokenPipe, CloseReason::PeerReset),
        (io::ErrorKind::ConnectionReset, CloseReason::PeerReset),
        (io::ErrorKind::TimedOut, CloseReason::PeerLost),
        (io::ErrorKind::NetworkDown, CloseReason::WriteFailed),
    ] {
        let mut rig = Rig::raw();
        let steps = [input(b"a"), Step::WriteFails(error)];
        assert_eq!(rig.drive(READABLE, &steps), closed(reason));
    }
}

#[test]
fn a_write_error_while_owing_closes() {
    let mut rig = Rig::raw();
    rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    let steps = [takes(b"a"), Step::WriteFails(io::ErrorKind::BrokenPipe)];
    let outcome = rig.drive(READABLE | WRITABLE | END, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerReset));
}

#[test]
fn a_write_that_takes_nothing_is_an_error_and_not_an_endless_loop() {
    let mut rig = Rig::raw();
    let outcome = rig.drive(READABLE, &[input(b"a"), Step::TakesCount(0)]);
    assert_eq!(outcome, closed(CloseReason::WriteFailed));

    let mut rig = Rig::raw();
    rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    let outcome = rig.drive(WRITABLE, &[Step::TakesCount(0)]);
    assert_eq!(outcome, closed(CloseReason::WriteFailed));
}

#[test]
fn a_drain_answers_what_has_come_then_sends_fin_and_waits_for_the_peers() {
    let mut rig = Rig::raw();
    rig.connection.drain();
    let steps = [
        input(b"last"),
        takes(b"last"),
        Step::NoInput,
        Step::Fin,
        Step::NoInput,
    ];
    assert_eq!(rig.drive(Readiness::NONE, &steps), Outcome::Event);
    assert_eq!(rig.class(), Classes::LINGER);
    let steps = [input(b"too late"), Step::PeerFin];
    let outcome = rig.drive(READABLE | END, &steps);
    assert_eq!(outcome, closed(CloseReason::Drained));
    assert_eq!(rig.common.bytes_dropped, 8, "dropped, and counted");
    assert_eq!(rig.connection.bytes_in(), 4);
}

#[test]
fn a_drain_with_bytes_owed_sends_fin_behind_the_last_of_them() {
    let mut rig = Rig::raw();
    rig.drive(READABLE, &[input(b"abc"), takes(b"a"), Step::NoRoom]);
    rig.connection.drain();
    assert_eq!(rig.drive(Readiness::NONE, &[]), Outcome::Event);
    assert_eq!(rig.class(), Classes::STALLED);
    let steps = [takes(b"bc"), Step::NoInput, Step::Fin, Step::PeerFin];
    assert_eq!(rig.drive(WRITABLE, &steps), closed(CloseReason::Drained));
}

#[test]
fn a_flood_cannot_hold_up_a_drain() {
    let limits = Limits {
        budget: 4,
        ..Limits::default()
    };
    let mut rig = Rig::new(Raw, limits);
    rig.connection.drain();
    for _ in 0..DRAIN_ITERATIONS {
        let steps = [input(b"abcd"), takes(b"abcd")];
        assert_eq!(rig.drive(Readiness::NONE, &steps), Outcome::Again);
    }
    let steps = [input(b"abcd"), takes(b"abcd"), Step::Fin, input(b"efgh")];
    assert_eq!(rig.drive(Readiness::NONE, &steps), Outcome::Again);
    let steps = [input(b"ijkl")];
    assert_eq!(
        rig.drive(Readiness::NONE, &steps),
        Outcome::Again,
        "dropped"
    );
}

#[test]
fn a_peer_that_closes_during_the_drain_has_closed() {
    let mut rig = Rig::raw();
    rig.connection.drain();
    let outcome = rig.drive(Readiness::NONE, &[Step::PeerFin]);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn a_reset_while_draining_is_the_peers() {
    let mut rig = Rig::raw();
    rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    rig.connection.drain();
    let steps = [Step::WriteFails(io::ErrorKind::ConnectionReset)];
    let outcome = rig.drive(READABLE | WRITABLE | END, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerReset));

    let mut rig = Rig::raw();
    rig.connection.drain();
    let steps = [Step::NoInput, Step::FinFails];
    let outcome = rig.drive(Readiness::NONE, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerReset));
}

#[test]
fn lingering_ends_by_fin_by_reset_and_by_time() {
    let lingering = || {
        let mut rig = Rig::raw();
        rig.connection.drain();
        rig.drive(Readiness::NONE, &[Step::NoInput, Step::Fin, Step::NoInput]);
        rig
    };
    let outcome = lingering().drive(READABLE | END, &[Step::PeerFin]);
    assert_eq!(outcome, closed(CloseReason::Drained));
    let steps = [Step::ReadFails(io::ErrorKind::ConnectionReset)];
    let outcome = lingering().drive(READABLE | END, &steps);
    assert_eq!(outcome, closed(CloseReason::Drained));
    assert_eq!(lingering().deadline(), CloseReason::Drained);
    assert_eq!(lingering().connection.cut_short(), CloseReason::Drained);
}

#[test]
fn lingering_a_short_read_ends_the_reading_and_a_full_one_does_not() {
    let mut rig = Rig::raw();
    rig.connection.drain();
    let steps = [Step::NoInput, Step::Fin, Step::NoInput];
    assert_eq!(rig.drive(Readiness::NONE, &steps), Outcome::Event);
    assert_eq!(rig.drive(READABLE, &[input(b"x")]), Outcome::Event);
    let full = vec![b'x'; SCRATCH_SIZE];
    let steps = [input(&full), Step::NoInput];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(rig.common.bytes_dropped, 1 + SCRATCH_SIZE as u64);
}

#[test]
fn a_deadline_means_what_the_connection_was_waiting_for() {
    let mut rig = Rig::raw();
    assert_eq!(rig.deadline(), CloseReason::Idle);
    assert_eq!(rig.connection.cut_short(), CloseReason::DrainExpired);
    rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    assert_eq!(rig.deadline(), CloseReason::Stalled);
    assert_eq!(rig.connection.cut_short(), CloseReason::DrainExpired);
}

#[test]
fn without_memory_for_what_is_owed_the_connection_ends() {
    let mut rig = Rig::raw();
    rig.common.pool.refuse(true);
    let outcome = rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    assert_eq!(outcome, closed(CloseReason::NoMemory));
    rig.common.pool.refuse(false);
    let outcome = rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    assert_eq!(outcome, Outcome::Event);
}

#[test]
fn what_a_closing_connection_held_goes_back_to_the_pool() {
    let mut rig = Rig::raw();
    rig.drive(READABLE, &[input(&[7; 40]), Step::NoRoom]);
    assert_eq!(
        rig.common.pool.held(),
        crate::connection::buffers::Buffers::LEAST
    );
    rig.common.pool.connection_closed(rig.connection.buffers);
    assert_eq!(rig.common.pool.held(), 0);
}
