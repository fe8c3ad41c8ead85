//! Reading, answering and owing, while the connection stays open.

use super::*;
use crate::connection::Classes;

#[test]
fn a_message_costs_one_read_and_one_write() {
    let mut rig = Rig::raw();
    let steps = [input(b"hello"), takes(b"hello")];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Input);
    assert_eq!(rig.connection.bytes_in(), 5);
    assert_eq!(rig.connection.bytes_out(), 5);
    assert_eq!(rig.class(), Classes::IDLE);
}

#[test]
fn an_edge_with_urgent_data_is_read_past_the_short_read_at_the_mark() {
    let mut rig = Rig::raw();
    let steps = [
        input(b"abc"),
        takes(b"abc"),
        input(b"Xdef"),
        takes(b"Xdef"),
        Step::NoInput,
    ];
    assert_eq!(rig.drive(READABLE | DRAIN, &steps), Outcome::Event);
    // What made it necessary is over: the next short read counts as drained again.
    rig.drive(READABLE, &[input(b"g"), takes(b"g")]);
}

#[test]
fn a_spurious_event_does_nothing() {
    let mut rig = Rig::raw();
    assert_eq!(rig.drive(READABLE, &[Step::NoInput]), Outcome::Event);
    assert_eq!(rig.drive(WRITABLE, &[]), Outcome::Event);
    assert_eq!(rig.drive(Readiness::NONE, &[]), Outcome::Event);
}

#[test]
fn interrupted_calls_are_made_again() {
    let mut rig = Rig::raw();
    let steps = [
        Step::ReadFails(io::ErrorKind::Interrupted),
        input(b"a"),
        Step::WriteFails(io::ErrorKind::Interrupted),
        takes(b"a"),
    ];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
}

#[test]
fn what_a_partial_write_leaves_is_owed_and_sent_when_there_is_room() {
    let mut rig = Rig::raw();
    let steps = [input(b"abcdef"), takes(b"ab"), takes(b"c"), Step::NoRoom];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(rig.pending(), 3);
    assert_eq!(rig.class(), Classes::STALLED);
    assert!(rig.watches());
    assert!(!rig.watches(), "once for life");
    rig.drive(WRITABLE, &[takes(b"d"), Step::NoRoom]);
    rig.drive(WRITABLE, &[takes(b"ef")]);
    assert_eq!(rig.pending(), 0);
    assert_eq!(rig.class(), Classes::IDLE);
}

#[test]
fn one_that_owes_is_not_read_until_it_has_been_paid_and_then_without_a_new_event() {
    let mut rig = Rig::raw();
    rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    assert_eq!(rig.drive(READABLE, &[]), Outcome::Event, "no read");
    assert_eq!(rig.drive(WRITABLE, &[Step::NoRoom]), Outcome::Event);
    let steps = [takes(b"abc"), input(b"de"), takes(b"de")];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn without_an_edge_for_room_nothing_is_written() {
    let mut rig = Rig::raw();
    rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    assert_eq!(rig.drive(Readiness::NONE, &[]), Outcome::Event);
    assert_eq!(rig.drive(READABLE | DRAIN, &[]), Outcome::Event);
}

#[test]
fn with_a_larger_limit_reading_goes_on_while_a_whole_read_fits() {
    let limits = Limits {
        max_pending: 3 * SCRATCH_SIZE,
        budget: 100 * SCRATCH_SIZE,
    };
    let mut rig = Rig::new(Raw, limits);
    let full = vec![7; SCRATCH_SIZE];
    let steps = [input(&full), Step::NoRoom, input(&full), input(&full)];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(rig.pending(), 3 * SCRATCH_SIZE, "and no byte more");
    let rest = vec![7; 3 * SCRATCH_SIZE - 1];
    let steps = [Step::TakesCount(1), takes(&rest), Step::NoInput];
    assert_eq!(rig.drive(WRITABLE, &steps), Outcome::Event);
}

#[test]
fn with_a_smaller_limit_no_more_is_read_than_may_be_owed() {
    let limits = Limits {
        max_pending: 4,
        ..Limits::default()
    };
    let mut rig = Rig::new(Raw, limits);
    let steps = [input(b"abcd"), takes(b"abcd"), input(b"ef"), Step::NoRoom];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Event);
    assert_eq!(rig.pending(), 2);
}

#[test]
fn a_used_up_budget_is_resumed_without_a_new_event() {
    let limits = Limits {
        budget: 8,
        max_pending: 4,
    };
    let mut rig = Rig::new(Raw, limits);
    let steps = [
        input(b"abcd"),
        takes(b"abcd"),
        input(b"efgh"),
        takes(b"efgh"),
    ];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Again);
    let steps = [input(b"ij"), takes(b"ij")];
    assert_eq!(rig.drive(Readiness::NONE, &steps), Outcome::Input);
}

#[test]
fn the_last_read_of_a_budget_is_no_larger_than_what_is_left_of_it() {
    let limits = Limits {
        budget: 6,
        max_pending: 4,
    };
    let mut rig = Rig::new(Raw, limits);
    let steps = [input(b"abcd"), takes(b"abcd"), input(b"ef"), takes(b"ef")];
    assert_eq!(rig.drive(READABLE, &steps), Outcome::Again);
}

#[test]
fn nobody_reads_while_all_together_hold_too_much() {
    let mut rig = Rig::raw();
    rig.common.pool = crate::connection::Pool::new(1000);
    rig.common.pool.account(0, 1000);
    let mut stream = Scripted {
        steps: VecDeque::new(),
    };
    let mut bench = bench(&mut rig.common, &mut rig.write_buffer);
    let scratch = &mut rig.scratch;
    let outcome = rig
        .connection
        .drive(&mut stream, READABLE, scratch, &mut bench);
    assert_eq!(outcome, Outcome::Memory);
    rig.common.pool.account(1000, 0);
    let steps = [input(b"a"), takes(b"a")];
    assert_eq!(rig.drive(Readiness::NONE, &steps), Outcome::Input);
}

#[test]
fn one_that_waits_for_memory_stands_in_line_once() {
    let mut rig = Rig::raw();
    assert!(rig.connection.start_waiting_for_memory());
    assert!(!rig.connection.start_waiting_for_memory(), "twice in line");
    // The other mark is not touched by that.
    rig.drive(READABLE, &[input(b"abc"), Step::NoRoom]);
    assert!(rig.watches());
    rig.connection.stop_waiting_for_memory();
    assert!(rig.connection.start_waiting_for_memory());
    assert!(!rig.watches(), "once for life");
}

/// The same stream, but in a world where a short read promises nothing (mio's documented contract).
#[derive(Debug)]
struct Weak(Scripted);

impl Stream for Weak {
    const SHORT_READ_DRAINS: bool = false;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn is_at_fin(&mut self) -> bool {
        self.0.is_at_fin()
    }

    fn takes_output(&mut self) -> bool {
        self.0.takes_output()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown_write()
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

#[test]
fn where_a_short_read_promises_nothing_it_is_read_until_it_would_block() {
    let mut rig = Rig::raw();
    let steps = [
        input(b"a"),
        takes(b"a"),
        input(b"b"),
        takes(b"b"),
        Step::NoInput,
    ];
    let mut stream = Weak(Scripted {
        steps: steps.into_iter().collect(),
    });
    let mut bench = bench(&mut rig.common, &mut rig.write_buffer);
    let scratch = &mut rig.scratch;
    let outcome = rig
        .connection
        .drive(&mut stream, READABLE, scratch, &mut bench);
    assert_eq!(outcome, Outcome::Event);
    assert!(stream.0.steps.is_empty(), "left over: {:?}", stream.0.steps);
}
