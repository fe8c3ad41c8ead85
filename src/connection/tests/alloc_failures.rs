//! No memory for an entry of the run queue or of the queue for memory: no connection is forgotten.

use super::harness::Harness;
use super::*;

#[test]
fn memory_waiters_run_at_once_if_they_cannot_be_queued() {
    let mut harness = Harness::new(Limits::default(), 1);
    let [holder, closing, first, last] = std::array::from_fn(|_| harness.open());
    harness.drive(holder, READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    for key in [closing, first, last] {
        assert_eq!(harness.drive(key, READABLE, &[]), None, "waits for memory");
    }
    harness.drive(holder, WRITABLE, &[accepts(b"abc")]);
    harness.set_steps(closing, &[Step::PeerFin]);
    for key in [first, last] {
        harness.set_steps(key, &[input(b"x"), accepts(b"x")]);
    }
    harness.reactor.set_out_of_memory(true);
    assert_eq!(
        harness.resume_waiting(),
        Some((closing, CloseReason::PeerClosed))
    );
    assert_eq!(harness.resume_waiting(), None);
    for key in [first, last] {
        // The run queue is empty, so a connection left in the queue for memory might never run.
        harness.assert_no_steps_left(key);
    }
}

#[test]
fn connection_that_cannot_be_queued_closes() {
    let mut harness = Harness::new(budget(2), 1 << 20);
    let key = harness.open();
    harness.reactor.set_out_of_memory(true);
    let reason = harness.drive(key, READABLE, &[input(b"ab"), accepts(b"ab")]);
    assert_eq!(reason, Some(CloseReason::NoMemory));

    let mut harness = Harness::new(Limits::default(), 1);
    let [holder, waiter] = std::array::from_fn(|_| harness.open());
    harness.drive(holder, READABLE, &[input(b"abc"), Step::WriteWouldBlock]);
    harness.pool().refuse(true);
    let reason = harness.drive(waiter, READABLE, &[]);
    assert_eq!(reason, Some(CloseReason::NoMemory));
}

#[test]
fn unqueued_lingering_connection_closes_at_its_deadline() {
    let mut harness = Harness::new(budget(SCRATCH_SIZE), 1 << 20);
    let key = harness.open();
    harness.reactor.set_out_of_memory(true);
    harness.reactor.find(key).unwrap().tenant.drain();
    let flood = vec![b'x'; SCRATCH_SIZE];
    let steps = [Step::ReadWouldBlock, Step::Shutdown, input(&flood)];
    assert_eq!(harness.drive(key, Readiness::NONE, &steps), None);
    assert_eq!(harness.run_iteration_at(1), []);
    assert_eq!(
        harness.run_iteration_at(3),
        [(key.serial, CloseReason::Drained)]
    );
}
