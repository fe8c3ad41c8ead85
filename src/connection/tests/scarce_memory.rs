//! While memory is scarce, a connection is read up to its share. If the share is too small for any buffer, it is read
//! in small reads while the kernel accepts the output.

use super::*;
use crate::connection::reading::SMALL_READ;
use crate::connection::{Classes, Flags};

/// A connection that has a small share, while others hold `held` thousandths of the memory.
fn fixture(held: usize) -> Fixture<Raw> {
    let mut fixture = Fixture::raw();
    fixture.common.pool = Pool::new(1_000_000);
    for _ in 0..1_000 {
        fixture.common.pool.connection_opened();
    }
    fixture.common.pool.account(0, held * 1000);
    fixture
}

/// A connection that has a large share, while others hold `held` thousandths of the memory.
fn fixture_with_shares(held: usize) -> Fixture<Raw> {
    let mut fixture = Fixture::raw();
    fixture.common.pool = Pool::new(1_000_000);
    hold_output(&mut fixture.common.pool, held * 1000);
    fixture
}

#[test]
fn memory_accounted_by_the_owner_leaves_no_shares() {
    let mut fixture = Fixture::raw();
    fixture.common.pool = Pool::new(1_000_000);
    fixture.common.pool.account(0, 900_000);
    let outcome = fixture.drive_unchecked(READABLE, &[Step::OutputSpace(false)]);
    assert_eq!(outcome, Outcome::Memory);
}

#[test]
fn connection_below_its_share_skips_the_space_check() {
    let mut fixture = fixture_with_shares(900);
    let steps = [input(b"abc"), accepts(b"a"), Step::WriteWouldBlock];
    assert_eq!(fixture.drive_unchecked(READABLE, &steps), Outcome::Event);
    assert!(fixture.connection.footprint(&fixture.common.pool) < fixture.common.pool.share());
}

#[test]
fn connection_above_its_share_waits_for_memory() {
    let mut fixture = fixture_with_shares(900);
    fixture.common.limits.max_pending = 4 * SCRATCH_SIZE;
    let much = vec![b'x'; fixture.common.pool.share() - Buffers::LEAST];
    // The first read leaves space for the smallest buffer in its share, and the second uses that up.
    let steps = [
        input(&much),
        Step::WriteWouldBlock,
        input(&[b'y'; SMALLEST]),
    ];
    let outcome = fixture.drive_unchecked(READABLE | DRAIN, &steps);
    assert_eq!(outcome, Outcome::Memory);
}

#[test]
fn memory_waiter_closes_on_reset_and_on_fin() {
    let mut fixture = fixture(1000);
    let reset = io::ErrorKind::ConnectionReset;
    let outcome = fixture.drive_unchecked(READABLE, &[Step::Connected(Err(reset))]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerReset));
    let mut fixture = self::fixture(1000);
    let outcome = fixture.drive_unchecked(READABLE, &[Step::PeerFin]);
    assert_eq!(outcome, Outcome::Closed(CloseReason::PeerClosed));
}

#[test]
fn plentiful_memory_skips_the_space_check() {
    let mut fixture = fixture(499);
    let steps = [input(b"abc"), accepts(b"abc")];
    assert_eq!(fixture.drive_unchecked(READABLE, &steps), Outcome::Input);
}

#[test]
fn connection_without_output_is_served_in_scarcity() {
    let mut fixture = fixture(875);
    let steps = [Step::OutputSpace(true), input(b"abc"), accepts(b"abc")];
    assert_eq!(fixture.drive_unchecked(READABLE, &steps), Outcome::Event);
    assert_eq!(fixture.class(), Classes::IDLE);
}

#[test]
fn scarce_memory_makes_reads_small_and_checks_space() {
    let mut fixture = fixture(900);
    let much = [b'x'; SMALL_READ];
    let steps = [
        Step::OutputSpace(true),
        input(&much),
        accepts(&much),
        Step::OutputSpace(true),
        input(b"abc"),
        accepts(b"abc"),
    ];
    assert_eq!(fixture.drive_unchecked(READABLE, &steps), Outcome::Event);
}

#[test]
fn slow_reader_is_not_read_until_there_is_output_space() {
    let mut fixture = fixture(900);
    let outcome = fixture.drive_unchecked(READABLE, &[Step::OutputSpace(false)]);
    assert_eq!(outcome, Outcome::Memory);
    assert!(fixture.start_watching_writable());
    assert!(fixture.connection.set_new(Flags::WAITS_FOR_MEMORY));
    let class = fixture.class();
    assert_eq!(
        class,
        Class::NONE,
        "no timer runs while its input waits in the kernel"
    );
    let steps = [Step::OutputSpace(true), input(b"abc"), accepts(b"abc")];
    assert_eq!(fixture.drive_unchecked(WRITABLE, &steps), Outcome::Event);
    let class = fixture.class();
    assert_eq!(class, Classes::IDLE, "after its input was answered");
}

#[test]
fn connection_with_buffers_waits_for_memory() {
    let mut fixture = fixture(900);
    let steps = [
        Step::OutputSpace(true),
        input(b"abc"),
        accepts(b"a"),
        Step::WriteWouldBlock,
    ];
    assert_eq!(
        fixture.drive_unchecked(READABLE | DRAIN, &steps),
        Outcome::Event
    );
    fixture.common.limits.max_pending = 4 * SCRATCH_SIZE;
    assert_eq!(fixture.drive_unchecked(READABLE, &[]), Outcome::Memory);
}

#[test]
fn full_pool_blocks_all_reads() {
    let mut fixture = fixture(1000);
    assert_eq!(fixture.drive_unchecked(READABLE, &[]), Outcome::Memory);
}
