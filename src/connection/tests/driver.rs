//! The driver: timers, events and queues of a connection after it was driven.

use super::harness::Harness;
use super::*;
use crate::connection::Classes;
use crate::net::{Ending, Progress};
use crate::protocol::{Context, Finish};
use std::time::Duration;

#[test]
fn only_transferred_bytes_restart_the_idle_timer() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let [busy, spurious] = std::array::from_fn(|_| harness.open());
    assert_eq!(harness.run_iteration_at(6), []);
    let echo = [input(b"a"), accepts(b"a")];
    assert_eq!(harness.drive(busy, READABLE, &echo), None);
    assert_eq!(
        harness.drive(busy, READABLE, &echo),
        None,
        "in the same tick"
    );
    assert_eq!(
        harness.drive(spurious, READABLE, &[Step::ReadWouldBlock]),
        None
    );
    assert_eq!(
        harness.run_iteration_at(12),
        [(spurious.serial, CloseReason::Idle)]
    );
    assert_eq!(harness.run_iteration_at(16), []);
    assert_eq!(
        harness.run_iteration_at(17),
        [(busy.serial, CloseReason::Idle)]
    );
    assert!(harness.reactor.is_empty());
}

#[test]
fn only_accepted_output_restarts_the_stall_timer() {
    let mut harness = Harness::new(max_pending(4 * SCRATCH_SIZE), 1 << 20);
    let [slow_reader, only_sends] = std::array::from_fn(|_| harness.open());
    assert_eq!(harness.run_iteration_at(5), []);
    for key in [slow_reader, only_sends] {
        assert_eq!(
            harness.drive(key, READABLE, &[input(b"abc"), Step::WriteWouldBlock]),
            None
        );
        assert_eq!(harness.class(key), Classes::STALLED);
    }
    assert_eq!(harness.reactor.net.watched, [slow_reader, only_sends]);
    assert_eq!(harness.run_iteration_at(10), []);
    let steps = [accepts(b"a"), Step::WriteWouldBlock];
    assert_eq!(harness.drive(slow_reader, WRITABLE, &steps), None);
    assert_eq!(harness.drive(only_sends, READABLE, &[input(b"d")]), None);
    assert_eq!(
        harness.run_iteration_at(16),
        [(only_sends.serial, CloseReason::Stalled)]
    );
    assert_eq!(harness.reactor.net.endings, [Ending::Reset]);
    assert_eq!(harness.run_iteration_at(20), []);
    assert_eq!(
        harness.drive(slow_reader, WRITABLE, &[accepts(b"bc")]),
        None
    );
    assert_eq!(harness.class(slow_reader), Classes::IDLE, "flushed");
    assert_eq!(harness.reactor.net.watched.len(), 2, "watched once");
}

/// A peer whose receive window is closed repeats its ACK to each probe, and for the kernel that is an acknowledgement.
#[test]
fn repeated_acks_do_not_keep_a_stalled_connection_open() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    assert_eq!(harness.run_iteration_at(1), []);
    let key = harness.open();
    let steps = [input(b"abc"), Step::WriteWouldBlock];
    assert_eq!(harness.drive(key, READABLE, &steps), None);
    harness.reactor.net.progress = Some(Progress {
        unacknowledged: 0,
        since_acknowledged: Duration::from_secs(1),
        since_received: Duration::from_secs(1),
    });
    let closed = (2..60).find(|second| !harness.run_iteration_at(*second).is_empty());
    // The first report, at the stall timeout of ten seconds, may be true; the next ones name the same bytes.
    let second = closed.unwrap();
    assert!((20..=23).contains(&second), "after {second} s");
    assert_eq!(harness.reactor.net.endings, [Ending::Reset]);
}

#[test]
fn failed_writable_watch_closes_with_no_memory() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    harness.reactor.net.watch_fails = true;
    let steps = [input(b"abc"), Step::WriteWouldBlock];
    let reason = harness.drive(key, READABLE, &steps);
    assert_eq!(reason, Some(CloseReason::NoMemory));
    harness.close(key, CloseReason::NoMemory);
    assert_eq!(harness.pool().held(), 0, "its memory is released");
    assert_eq!(harness.reactor.net.endings, [Ending::Reset]);
}

#[test]
fn event_for_a_queued_connection_waits_until_it_runs() {
    let mut harness = Harness::new(budget(2), 1 << 20);
    let key = harness.open();
    assert_eq!(
        harness.drive(key, READABLE, &[input(b"ab"), accepts(b"ab")]),
        None
    );
    assert_eq!(
        harness.drive(key, READABLE | DRAIN, &[]),
        None,
        "does not run yet"
    );
    harness.set_steps(key, &[input(b"c"), accepts(b"c"), Step::ReadWouldBlock]);
    assert_eq!(harness.run_iteration_at(1), []);
    harness.assert_no_steps_left(key);
}

#[test]
fn memory_waiters_resume_and_closed_ones_are_skipped() {
    let mut harness = Harness::new(max_pending(8), 64);
    let [holder, first, closed, last] = std::array::from_fn(|_| harness.open());
    let steps = [input(b"abc"), Step::WriteWouldBlock];
    assert_eq!(harness.drive(holder, READABLE, &steps), None);
    assert!(harness.pool().is_full());
    for key in [closed, first, closed, last] {
        assert_eq!(harness.drive(key, READABLE, &[]), None, "waits for memory");
    }
    assert_eq!(harness.resume_waiting(), None);
    assert_eq!(harness.run_iteration_at(1), [], "no memory is free yet");
    for key in [holder, closed] {
        harness.close(key, CloseReason::PeerReset);
    }
    harness.owner.closed.clear();
    assert_eq!(harness.resume_waiting(), None);
    for key in [first, last] {
        harness.set_steps(key, &[input(b"x"), accepts(b"x")]);
    }
    assert_eq!(harness.run_iteration_at(1), []);
    for key in [first, last] {
        harness.assert_no_steps_left(key);
    }
}

#[test]
fn waiting_for_memory_suspends_the_idle_timer() {
    let mut harness = Harness::new(Limits::default(), 1);
    let [holder, waiter] = std::array::from_fn(|_| harness.open());
    harness.drive(holder, READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    assert_eq!(harness.drive(waiter, READABLE, &[]), None);
    assert_eq!(harness.run_iteration_at(9), []);
    harness.drive(holder, WRITABLE, &[accepts(b"a"), Step::WriteWouldBlock]);
    assert_eq!(harness.run_iteration_at(18), [], "not idle");
    harness.drive(holder, WRITABLE, &[accepts(b"bc")]);
    assert_eq!(harness.resume_waiting(), None);
    harness.set_steps(waiter, &[input(b"x"), accepts(b"x")]);
    assert_eq!(harness.run_iteration_at(19), []);
    harness.assert_no_steps_left(waiter);
    assert_eq!(harness.class(waiter), Classes::IDLE, "after it was read");
    assert_eq!(harness.run_iteration_at(28), [], "the timer was restarted");
}

#[test]
fn stall_timer_runs_while_waiting_for_memory() {
    let mut harness = Harness::new(max_pending(4 * SCRATCH_SIZE), 10_000);
    let key = harness.open();
    harness.drive(key, READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    harness.pool().account(0, 10_000);
    assert_eq!(harness.drive(key, READABLE, &[]), None, "waits for memory");
    assert_eq!(harness.run_iteration_at(8), []);
    harness.pool().account(10_000, 0);
    assert_eq!(harness.resume_waiting(), None);
    assert_eq!(harness.run_iteration_at(9), []);
    assert_eq!(
        harness.run_iteration_at(11),
        [(key.serial, CloseReason::Stalled)]
    );
}

#[test]
fn memory_queue_does_not_grow_with_closed_connections() {
    let mut harness = Harness::new(Limits::default(), 1);
    let holder = harness.open();
    harness.drive(holder, READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    for _ in 0..1000 {
        let key = harness.open();
        assert_eq!(harness.drive(key, READABLE, &[]), None);
        harness.close(key, CloseReason::PeerReset);
        assert_eq!(harness.resume_waiting(), None);
        assert!(harness.pool().waiting.len() < 300);
    }
}

#[test]
fn owner_write_is_sent_or_becomes_pending_output() {
    let mut harness = Harness::new(Limits::default(), 1 << 20);
    let key = harness.open();
    assert_eq!(harness.write(key, &[accepts(b"word")]), None);
    let steps = [accepts(b"w"), Step::WriteWouldBlock];
    assert_eq!(harness.write(key, &steps), None);
    assert_eq!(harness.write(key, &[]), None, "after the pending output");
    let driver = &mut harness.owner.driver;
    let pending = driver.pending_output(&mut harness.reactor, key);
    assert_eq!(pending, Some(7));
    assert_eq!(harness.reactor.net.watched, [key]);
    let reason = harness.drive(
        key,
        WRITABLE,
        &[Step::WriteError(io::ErrorKind::BrokenPipe)],
    );
    assert_eq!(reason, Some(CloseReason::PeerReset));
    let reactor = &mut harness.reactor;
    let driver = &mut harness.owner.driver;
    let closed = driver.close(reactor, key, CloseReason::PeerReset);
    let closed = closed.unwrap();
    assert_eq!((closed.bytes_in, closed.bytes_out), (0, 5));
    let error = closed.error.map(|error| error.kind());
    assert_eq!(error, Some(io::ErrorKind::BrokenPipe));
}

/// A protocol whose session sends `bye` when it opens, and finishes.
struct Goodbye;
struct GoodbyeSession;

impl Protocol for Goodbye {
    type Session = GoodbyeSession;

    fn name(&self) -> &'static str {
        "goodbye"
    }

    fn session(&mut self) -> GoodbyeSession {
        GoodbyeSession
    }
}

impl Session for GoodbyeSession {
    type Shared = Goodbye;

    fn open(&mut self, _: Context<'_, Goodbye>, outbox: &mut Outbox<'_>) {
        outbox.write(b"bye");
        outbox.finish(Finish::Done);
    }

    fn receive<'a>(&mut self, _: &'a [u8], _: Context<'_, Goodbye>, _: &mut Outbox<'a>) -> usize {
        unreachable!("the session has finished")
    }
}

#[test]
fn session_finished_on_open_sends_fin_without_an_event() {
    let mut harness = Harness::with_protocol(Goodbye, Limits::default(), 1 << 20);
    let key = harness.open_with_steps(&[accepts(b"bye"), Step::Shutdown, Step::ReadWouldBlock]);
    assert_eq!(harness.run_iteration_at(1), []);
    harness.assert_no_steps_left(key);
    assert_eq!(harness.class(key), Classes::LINGER);
}
