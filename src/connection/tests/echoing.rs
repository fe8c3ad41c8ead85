//! Reads, replies and pending output of a connection that stays open.

use super::*;
use crate::connection::{Classes, Flags};

#[test]
fn message_takes_one_read_and_one_write() {
    let mut fixture = Fixture::raw();
    let steps = [input(b"hello"), accepts(b"hello")];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Input);
    assert_eq!(fixture.connection.bytes_in(), 5);
    assert_eq!(fixture.connection.bytes_out(), 5);
    assert_eq!(fixture.class(), Classes::IDLE);
}

#[test]
fn urgent_data_edge_is_read_past_the_short_read() {
    let mut fixture = Fixture::raw();
    let steps = [
        input(b"abc"),
        accepts(b"abc"),
        input(b"Xdef"),
        accepts(b"Xdef"),
        Step::ReadWouldBlock,
    ];
    assert_eq!(fixture.drive(READABLE | DRAIN, &steps), Outcome::Event);
    // The next edge has no urgent data: a short read has drained the socket again.
    fixture.drive(READABLE, &[input(b"g"), accepts(b"g")]);
}

#[test]
fn spurious_event_does_nothing() {
    let mut fixture = Fixture::raw();
    assert_eq!(
        fixture.drive(READABLE, &[Step::ReadWouldBlock]),
        Outcome::Event
    );
    assert_eq!(fixture.drive(WRITABLE, &[]), Outcome::Event);
    assert_eq!(fixture.drive(Readiness::NONE, &[]), Outcome::Event);
}

#[test]
fn interrupted_calls_are_retried() {
    let mut fixture = Fixture::raw();
    let steps = [
        Step::ReadError(io::ErrorKind::Interrupted),
        input(b"a"),
        Step::WriteError(io::ErrorKind::Interrupted),
        accepts(b"a"),
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
}

#[test]
fn partial_write_leaves_output_pending_until_writable() {
    let mut fixture = Fixture::raw();
    let steps = [
        input(b"abcdef"),
        accepts(b"ab"),
        accepts(b"c"),
        Step::WriteWouldBlock,
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(fixture.pending_output(), 3);
    assert_eq!(fixture.class(), Classes::STALLED);
    assert!(fixture.start_watching_writable());
    assert!(!fixture.start_watching_writable(), "watched once");
    fixture.drive(WRITABLE, &[accepts(b"d"), Step::WriteWouldBlock]);
    fixture.drive(WRITABLE, &[accepts(b"ef")]);
    assert_eq!(fixture.pending_output(), 0);
    assert_eq!(fixture.class(), Classes::IDLE);
}

#[test]
fn pending_output_blocks_reads_until_it_is_flushed() {
    let mut fixture = Fixture::raw();
    fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    assert_eq!(fixture.drive(READABLE, &[]), Outcome::Event, "no read");
    assert_eq!(
        fixture.drive(WRITABLE, &[Step::WriteWouldBlock]),
        Outcome::Event
    );
    let steps = [accepts(b"abc"), input(b"de"), accepts(b"de")];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn pending_output_waits_for_a_writable_event() {
    let mut fixture = Fixture::raw();
    fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    assert_eq!(fixture.drive(Readiness::NONE, &[]), Outcome::Event);
    assert_eq!(fixture.drive(READABLE | DRAIN, &[]), Outcome::Event);
}

#[test]
fn reads_continue_while_a_full_read_fits_the_limit() {
    let limits = Limits {
        max_pending: 3 * SCRATCH_SIZE,
        budget: 100 * SCRATCH_SIZE,
    };
    let mut fixture = Fixture::new(Raw, limits);
    let full = vec![7; SCRATCH_SIZE];
    let steps = [
        input(&full),
        Step::WriteWouldBlock,
        input(&full),
        input(&full),
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(fixture.pending_output(), 3 * SCRATCH_SIZE, "at the limit");
    let rest = vec![7; 3 * SCRATCH_SIZE - 1];
    let steps = [Step::AcceptsCount(1), accepts(&rest), Step::ReadWouldBlock];
    assert_eq!(fixture.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn read_size_is_capped_by_the_output_limit() {
    let mut fixture = Fixture::new(Raw, max_pending(4));
    let steps = [
        input(b"abcd"),
        accepts(b"abcd"),
        input(b"ef"),
        Step::WriteWouldBlock,
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(fixture.pending_output(), 2);
}

#[test]
fn exhausted_budget_resumes_without_an_event() {
    let limits = Limits {
        max_pending: 4,
        budget: 8,
    };
    let mut fixture = Fixture::new(Raw, limits);
    let steps = [
        input(b"abcd"),
        accepts(b"abcd"),
        input(b"efgh"),
        accepts(b"efgh"),
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Again);
    let steps = [input(b"ij"), accepts(b"ij")];
    assert_eq!(fixture.drive(Readiness::NONE, &steps), Outcome::Input);
}

#[test]
fn last_read_is_capped_by_the_remaining_budget() {
    let limits = Limits {
        max_pending: 4,
        budget: 6,
    };
    let mut fixture = Fixture::new(Raw, limits);
    let steps = [
        input(b"abcd"),
        accepts(b"abcd"),
        input(b"ef"),
        accepts(b"ef"),
    ];
    assert_eq!(fixture.drive(READABLE, &steps), Outcome::Again);
}

#[test]
fn full_pool_blocks_reads_until_memory_is_free() {
    let mut fixture = Fixture::raw();
    fixture.common.pool = Pool::new(1000);
    fixture.common.pool.account(0, 1000);
    let outcome = fixture.drive_unchecked(READABLE, &[]);
    assert_eq!(outcome, Outcome::Memory);
    fixture.common.pool.account(1000, 0);
    let steps = [input(b"a"), accepts(b"a")];
    assert_eq!(fixture.drive(Readiness::NONE, &steps), Outcome::Input);
}

#[test]
fn connection_is_queued_for_memory_once() {
    let mut fixture = Fixture::raw();
    assert!(fixture.connection.set_new(Flags::WAITS_FOR_MEMORY));
    assert!(
        !fixture.connection.set_new(Flags::WAITS_FOR_MEMORY),
        "queued twice"
    );
    // Waiting for memory and watching output space are independent.
    fixture.drive(READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    assert!(fixture.start_watching_writable());
    fixture.connection.flags.remove(Flags::WAITS_FOR_MEMORY);
    assert!(fixture.connection.set_new(Flags::WAITS_FOR_MEMORY));
    assert!(!fixture.start_watching_writable(), "watched once");
}

#[test]
fn undrained_short_read_is_followed_by_more_reads() {
    let mut fixture = Fixture::raw();
    let steps = [
        input(b"a"),
        accepts(b"a"),
        input(b"b"),
        accepts(b"b"),
        Step::ReadWouldBlock,
    ];
    // mio guarantees an edge only after a read has returned `WouldBlock`.
    let mut stream = ScriptedStream::<false>::new(&steps);
    let outcome = fixture.drive_stream(&mut stream, READABLE);
    assert_eq!(outcome, Outcome::Event);
    stream.assert_no_steps_left();
}
