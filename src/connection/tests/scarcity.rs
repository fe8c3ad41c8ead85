//! What happens while memory is scarce: a connection is read up to its share. Where the share is too small to hold
//! anything, it is read in small reads, as long as the kernel takes the output.

use super::*;
use crate::connection::Classes;
use crate::connection::reading::SMALL_READ;

/// A connection, while others hold this many of a thousand parts of the memory.
fn rig(held: usize) -> Rig<Raw> {
    let mut rig = Rig::raw();
    rig.common.pool = Pool::new(1_000_000);
    for _ in 0..1_000 {
        rig.common.pool.connection_opened();
    }
    rig.common.pool.account(0, held * 1000);
    rig
}

/// As `rig`, with so few connections that each has a large share.
fn rig_with_shares(held: usize) -> Rig<Raw> {
    let mut rig = Rig::raw();
    rig.common.pool = Pool::new(1_000_000);
    hold(&mut rig.common.pool, held * 1000);
    rig
}

#[test]
fn memory_of_the_owner_leaves_no_shares() {
    let mut rig = Rig::raw();
    rig.common.pool = Pool::new(1_000_000);
    rig.common.pool.account(0, 900_000);
    let outcome = rig.drive_beside_others(READABLE, &[Step::Room(false)]);
    assert_eq!(outcome, Outcome::Memory);
}

#[test]
fn below_its_share_a_connection_is_read_without_a_look() {
    let mut rig = rig_with_shares(900);
    let steps = [input(b"abc"), takes(b"a"), Step::NoRoom];
    assert_eq!(rig.drive_beside_others(READABLE, &steps), Outcome::Event);
    assert!(rig.connection.footprint(&rig.common.pool) < rig.common.pool.share());
}

#[test]
fn above_its_share_a_connection_waits_for_memory() {
    let mut rig = rig_with_shares(900);
    rig.common.limits.max_pending = 4 * SCRATCH_SIZE;
    let much = vec![b'x'; rig.common.pool.share() - Buffers::LEAST];
    // What it takes to hold anything is granted again, and then its share is used up.
    let steps = [input(&much), Step::NoRoom, input(&[b'y'; SMALLEST])];
    let outcome = rig.drive_beside_others(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Memory);
}

#[test]
fn one_that_waits_for_memory_notices_a_reset_and_a_fin() {
    let mut rig = rig(1000);
    let reset = io::ErrorKind::ConnectionReset;
    let outcome = rig.drive_beside_others(READABLE, &[Step::Connected(Err(reset))]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerReset));
    let mut rig = self::rig(1000);
    let outcome = rig.drive_beside_others(READABLE, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

impl Rig<Raw> {
    fn drive_beside_others(&mut self, readiness: Readiness, steps: &[Step]) -> Outcome {
        let mut stream = Scripted {
            steps: steps.iter().cloned().collect(),
        };
        let mut bench = bench(&mut self.common, &mut self.write_buffer);
        let outcome = self
            .connection
            .drive(&mut stream, readiness, &mut self.scratch, &mut bench);
        assert!(stream.steps.is_empty(), "left over: {:?}", stream.steps);
        outcome
    }
}

#[test]
fn with_plenty_of_memory_nobody_looks_for_room() {
    let mut rig = rig(499);
    let steps = [input(b"abc"), takes(b"abc")];
    assert_eq!(rig.drive_beside_others(READABLE, &steps), Outcome::Input);
}

#[test]
fn who_owes_nothing_is_served_while_memory_is_scarce() {
    let mut rig = rig(875);
    let steps = [Step::Room(true), input(b"abc"), takes(b"abc")];
    assert_eq!(rig.drive_beside_others(READABLE, &steps), Outcome::Event);
    assert_eq!(rig.class(), Classes::IDLE);
}

#[test]
fn reads_are_small_then_and_each_waits_for_room() {
    let mut rig = rig(900);
    let much = [b'x'; SMALL_READ];
    let steps = [
        Step::Room(true),
        input(&much),
        takes(&much),
        Step::Room(true),
        input(b"abc"),
        takes(b"abc"),
    ];
    assert_eq!(rig.drive_beside_others(READABLE, &steps), Outcome::Event);
}

#[test]
fn who_takes_no_answers_is_not_read_until_there_is_room() {
    let mut rig = rig(900);
    let outcome = rig.drive_beside_others(READABLE, &[Step::Room(false)]);
    assert_eq!(outcome, Outcome::Memory);
    assert!(rig.watches());
    assert!(rig.connection.start_waiting_for_memory());
    let class = rig.class();
    assert_eq!(class, Class::NONE, "its input waits in the kernel");
    let steps = [Step::Room(true), input(b"abc"), takes(b"abc")];
    assert_eq!(rig.drive_beside_others(WRITABLE, &steps), Outcome::Event);
    let class = rig.class();
    assert_eq!(class, Classes::IDLE, "it has been served");
}

#[test]
fn who_holds_memory_already_waits_for_more() {
    let mut rig = rig(900);
    let steps = [Step::Room(true), input(b"abc"), takes(b"a"), Step::NoRoom];
    assert_eq!(
        rig.drive_beside_others(READABLE | DRAIN, &steps),
        Outcome::Event
    );
    rig.common.limits.max_pending = 4 * SCRATCH_SIZE;
    assert_eq!(rig.drive_beside_others(READABLE, &[]), Outcome::Memory);
}

#[test]
fn at_the_limit_nobody_is_read() {
    let mut rig = rig(1000);
    assert_eq!(rig.drive_beside_others(READABLE, &[]), Outcome::Memory);
}
