//! How connections close: by FIN, by errors, by a drain and by deadlines.

use super::*;
use crate::connection::Classes;
use crate::connection::lifecycle::DRAIN_ITERATIONS;

fn closed(reason: CloseReason) -> Outcome {
    Outcome::Closed(reason)
}

#[test]
fn fin_in_the_edge_of_a_short_read_is_read_at_once() {
    let mut fixture = Fixture::raw();
    let steps = [input(b"abc"), accepts(b"abc"), Step::PeerFin];
    let outcome = fixture.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn fin_without_drain_readiness_closes() {
    let mut fixture = Fixture::raw();
    let outcome = fixture.drive(READABLE, &[Step::PeerFin]);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn unread_fin_with_pending_output_closes_after_the_flush() {
    let mut fixture = Fixture::raw();
    fixture.drive(
        READABLE | DRAIN,
        &[input(b"abc"), accepts(b"a"), Step::WriteWouldBlock],
    );
    // Pending output blocks reads, so the FIN is read after the flush.
    let steps = [accepts(b"bc"), Step::PeerFin];
    assert_eq!(
        fixture.drive(WRITABLE, &steps),
        closed(CloseReason::PeerClosed)
    );
}

#[test]
fn fin_read_with_pending_output_closes_after_the_flush() {
    let mut fixture = Fixture::new(Raw, max_pending(4 * SCRATCH_SIZE));
    let steps = [input(b"abc"), Step::WriteWouldBlock, Step::PeerFin];
    assert_eq!(fixture.drive(READABLE | DRAIN, &steps), Outcome::Event);
    assert_eq!(fixture.class(), Classes::STALLED);
    let steps = [accepts(b"ab"), Step::WriteWouldBlock];
    assert_eq!(fixture.drive(WRITABLE | READABLE, &steps), Outcome::Event);
    let outcome = fixture.drive(WRITABLE, &[accepts(b"c")]);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn read_errors_map_to_close_reasons() {
    for (error, reason) in [
        (io::ErrorKind::ConnectionReset, CloseReason::PeerReset),
        (io::ErrorKind::TimedOut, CloseReason::PeerLost),
        (io::ErrorKind::HostUnreachable, CloseReason::PeerLost),
    ] {
        let mut fixture = Fixture::raw();
        let outcome = fixture.drive(READABLE | DRAIN, &[Step::ReadError(error)]);
        assert_eq!(outcome, closed(reason));
        assert_eq!(fixture.last_error(), Some(error));
    }
}

#[test]
fn write_errors_map_to_close_reasons() {
    for (error, reason) in [
        (io::ErrorKind::BrokenPipe, CloseReason::PeerReset),
        (io::ErrorKind::ConnectionReset, CloseReason::PeerReset),
        (io::ErrorKind::TimedOut, CloseReason::PeerLost),
        (io::ErrorKind::NetworkDown, CloseReason::WriteFailed),
    ] {
        let mut fixture = Fixture::raw();
        let steps = [input(b"a"), Step::WriteError(error)];
        assert_eq!(fixture.drive(READABLE, &steps), closed(reason));
    }
}

#[test]
fn write_error_with_pending_output_closes() {
    let mut fixture = Fixture::raw();
    fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    let steps = [accepts(b"a"), Step::WriteError(io::ErrorKind::BrokenPipe)];
    let outcome = fixture.drive(READABLE | WRITABLE | DRAIN, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerReset));
}

#[test]
fn write_of_zero_bytes_closes_as_write_failed() {
    let mut fixture = Fixture::raw();
    let outcome = fixture.drive(READABLE, &[input(b"a"), Step::AcceptsCount(0)]);
    assert_eq!(outcome, closed(CloseReason::WriteFailed));

    let mut fixture = Fixture::raw();
    fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    let outcome = fixture.drive(WRITABLE, &[Step::AcceptsCount(0)]);
    assert_eq!(outcome, closed(CloseReason::WriteFailed));
}

#[test]
fn drain_answers_input_then_sends_fin_and_lingers() {
    let mut fixture = Fixture::raw();
    fixture.connection.drain();
    let steps = [
        input(b"last"),
        accepts(b"last"),
        Step::ReadWouldBlock,
        Step::Shutdown,
        Step::ReadWouldBlock,
    ];
    assert_eq!(fixture.drive(Readiness::NONE, &steps), Outcome::Event);
    assert_eq!(fixture.class(), Classes::LINGER);
    let steps = [input(b"too late"), Step::PeerFin];
    let outcome = fixture.drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, closed(CloseReason::Drained));
    assert_eq!(fixture.common.bytes_dropped, 8, "after our FIN");
    assert_eq!(fixture.connection.bytes_in(), 4);
}

#[test]
fn drain_sends_fin_after_the_pending_output() {
    let mut fixture = Fixture::raw();
    fixture.drive(
        READABLE,
        &[input(b"abc"), accepts(b"a"), Step::WriteWouldBlock],
    );
    fixture.connection.drain();
    assert_eq!(fixture.drive(Readiness::NONE, &[]), Outcome::Event);
    assert_eq!(fixture.class(), Classes::STALLED);
    let steps = [
        accepts(b"bc"),
        Step::ReadWouldBlock,
        Step::Shutdown,
        Step::PeerFin,
    ];
    assert_eq!(
        fixture.drive(WRITABLE, &steps),
        closed(CloseReason::Drained)
    );
}

#[test]
fn drain_of_a_flooding_peer_is_bounded() {
    let mut fixture = Fixture::new(Raw, budget(4));
    fixture.connection.drain();
    for _ in 0..DRAIN_ITERATIONS {
        let steps = [input(b"abcd"), accepts(b"abcd")];
        assert_eq!(fixture.drive(Readiness::NONE, &steps), Outcome::Again);
    }
    let steps = [
        input(b"abcd"),
        accepts(b"abcd"),
        Step::Shutdown,
        input(b"efgh"),
    ];
    assert_eq!(fixture.drive(Readiness::NONE, &steps), Outcome::Again);
    let steps = [input(b"ijkl")];
    assert_eq!(
        fixture.drive(Readiness::NONE, &steps),
        Outcome::Again,
        "dropped"
    );
}

#[test]
fn peer_fin_during_a_drain_closes_as_peer_closed() {
    let mut fixture = Fixture::raw();
    fixture.connection.drain();
    let outcome = fixture.drive(Readiness::NONE, &[Step::PeerFin]);
    assert_eq!(outcome, closed(CloseReason::PeerClosed));
}

#[test]
fn peer_reset_during_a_drain_closes_as_peer_reset() {
    let mut fixture = Fixture::raw();
    fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    fixture.connection.drain();
    let steps = [Step::WriteError(io::ErrorKind::ConnectionReset)];
    let outcome = fixture.drive(READABLE | WRITABLE | DRAIN, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerReset));

    let mut fixture = Fixture::raw();
    fixture.connection.drain();
    let steps = [Step::ReadWouldBlock, Step::ShutdownError];
    let outcome = fixture.drive(Readiness::NONE, &steps);
    assert_eq!(outcome, closed(CloseReason::PeerReset));
}

#[test]
fn lingering_ends_on_fin_reset_or_deadline() {
    let lingering = || {
        let mut fixture = Fixture::raw();
        fixture.connection.drain();
        fixture.drive(
            Readiness::NONE,
            &[Step::ReadWouldBlock, Step::Shutdown, Step::ReadWouldBlock],
        );
        fixture
    };
    let outcome = lingering().drive(READABLE | DRAIN, &[Step::PeerFin]);
    assert_eq!(outcome, closed(CloseReason::Drained));
    let steps = [Step::ReadError(io::ErrorKind::ConnectionReset)];
    let outcome = lingering().drive(READABLE | DRAIN, &steps);
    assert_eq!(outcome, closed(CloseReason::Drained));
    assert_eq!(lingering().expire(), CloseReason::Drained);
    assert_eq!(lingering().connection.cut_short(), CloseReason::Drained);
}

#[test]
fn lingering_reads_on_after_a_full_read_only() {
    let mut fixture = Fixture::raw();
    fixture.connection.drain();
    let steps = [Step::ReadWouldBlock, Step::Shutdown, Step::ReadWouldBlock];
    assert_eq!(fixture.drive(Readiness::NONE, &steps), Outcome::Event);
    assert_eq!(fixture.drive(READABLE, &[input(b"x")]), Outcome::Event);
    let full = vec![b'x'; SCRATCH_SIZE];
    let steps = [input(&full), Step::ReadWouldBlock];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(fixture.common.bytes_dropped, 1 + SCRATCH_SIZE as u64);
}

#[test]
fn lingering_reads_at_most_the_budget_at_a_time() {
    let mut fixture = Fixture::new(Raw, budget(4));
    fixture.connection.drain();
    let steps = [Step::ReadWouldBlock, Step::Shutdown, Step::ReadWouldBlock];
    assert_eq!(fixture.drive(Readiness::NONE, &steps), Outcome::Event);
    assert_eq!(fixture.drive(READABLE, &[input(b"abcd")]), Outcome::Again);
    assert_eq!(fixture.drive(READABLE, &[input(b"e")]), Outcome::Event);
}

#[test]
fn expiry_reason_depends_on_pending_output() {
    let mut fixture = Fixture::raw();
    assert_eq!(fixture.expire(), CloseReason::Idle);
    assert_eq!(fixture.connection.cut_short(), CloseReason::DrainExpired);
    fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    assert_eq!(fixture.expire(), CloseReason::Stalled);
    assert_eq!(fixture.connection.cut_short(), CloseReason::DrainExpired);
}

#[test]
fn no_memory_for_pending_output_closes() {
    let mut fixture = Fixture::raw();
    fixture.common.pool.refuse(true);
    let outcome = fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    assert_eq!(outcome, closed(CloseReason::NoMemory));
    fixture.common.pool.refuse(false);
    let outcome = fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    assert_eq!(outcome, Outcome::Event);
}

#[test]
fn closing_returns_held_memory_to_the_pool() {
    let mut fixture = Fixture::raw();
    fixture.drive(READABLE, &[input(&[7; 40]), Step::WriteWouldBlock]);
    assert_eq!(fixture.common.pool.held(), Buffers::LEAST);
    fixture
        .common
        .pool
        .connection_closed(fixture.connection.buffers);
    assert_eq!(fixture.common.pool.held(), 0);
}
