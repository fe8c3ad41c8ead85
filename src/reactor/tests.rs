//! The event loop over a fake network: the timeouts of its waits, and the order of its calls.

use super::*;
use crate::net::{AcceptError, ListenOptions, Signal, Stream};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A network in which every wait takes a millisecond and returns the events that the test has prepared.
#[derive(Default)]
struct FakeNet {
    now: Cell<u64>,
    waits: RefCell<Vec<Option<Duration>>>,
    events: RefCell<VecDeque<Vec<Ready>>>,
    endings: RefCell<Vec<Ending>>,
    register_fails: Cell<bool>,
}

#[derive(Debug, PartialEq)]
struct NoStream;

impl Stream for NoStream {
    const SHORT_READ_DRAINS: bool = true;

    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("the loop reads nothing")
    }

    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        unreachable!("the loop writes nothing")
    }

    fn takes_output(&mut self) -> bool {
        true
    }

    fn is_at_fin(&mut self) -> bool {
        false
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        unreachable!("the loop shuts nothing down")
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        unreachable!("the loop reads no socket error")
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        unreachable!("the loop reads no peer address")
    }
}

impl Net for FakeNet {
    type Listener = ();
    type Stream = NoStream;

    fn now(&self) -> Time {
        Time::from_nanos(self.now.get())
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.waits.borrow_mut().push(timeout);
        self.now.set(self.now.get() + 1_000_000);
        *ready = self.events.borrow_mut().pop_front().unwrap_or_default();
        Ok(())
    }

    fn listen(&mut self, _: &ListenOptions, _: Source) -> io::Result<()> {
        unreachable!("the loop opens no listener")
    }

    fn local_addr(&self, (): &()) -> io::Result<SocketAddr> {
        unreachable!("the loop reads no local address")
    }

    fn accept_from(&mut self, (): &()) -> Result<(NoStream, SocketAddr), AcceptError> {
        unreachable!("the loop accepts nothing")
    }

    fn has_waiting(&mut self, (): &()) -> bool {
        false
    }

    fn connect(&mut self, _: SocketAddr, _: Option<SocketAddr>) -> io::Result<NoStream> {
        unreachable!("the loop opens no connection")
    }

    fn register(&mut self, _: &NoStream, _: Key, _: bool) -> io::Result<()> {
        if self.register_fails.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn watch_writable(&mut self, stream: &NoStream, key: Key) -> io::Result<()> {
        self.register(stream, key, true)
    }

    fn close(&mut self, _: NoStream, ending: Ending) {
        self.endings.borrow_mut().push(ending);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Ready(u32),
    RunAgain(u32),
    Expired(u32),
    Source(u32),
}

/// Records its calls. Closes expired connections.
#[derive(Default)]
struct RecordingHandler {
    calls: Vec<Call>,
    wake_at: Option<Time>,
    /// Runs this connection again whenever it is ready.
    requeues: Option<Key>,
}

impl Handler<FakeNet, ()> for RecordingHandler {
    fn ready(&mut self, reactor: &mut Reactor<FakeNet, ()>, key: Key, readiness: Readiness) {
        self.calls.push(if readiness == Readiness::NONE {
            Call::RunAgain(key.serial)
        } else {
            Call::Ready(key.serial)
        });
        if self.requeues == Some(key) {
            reactor.run_again(key).unwrap();
        }
    }

    fn expired(&mut self, reactor: &mut Reactor<FakeNet, ()>, key: Key) {
        self.calls.push(Call::Expired(key.serial));
        reactor.remove(key, Ending::Fin);
    }

    fn source_ready(&mut self, _: &mut Reactor<FakeNet, ()>, source: Source) {
        self.calls.push(Call::Source(source.0));
    }

    fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const CLASS: Class = Class::new(0);

/// The timeout of a wait that does not sleep.
const POLL: Option<Duration> = Some(Duration::ZERO);

fn reactor(spin: Duration) -> Reactor<FakeNet, ()> {
    let mut timeouts = [None; CLASSES];
    timeouts[0] = Some(Duration::from_secs(1));
    Reactor::new(FakeNet::default(), timeouts, spin)
}

fn insert(reactor: &mut Reactor<FakeNet, ()>) -> Key {
    reactor.insert(NoStream, (), false).unwrap()
}

fn run_iteration(reactor: &mut Reactor<FakeNet, ()>, handler: &mut RecordingHandler) {
    reactor.run_iteration(handler).unwrap();
}

fn ready(key: Key) -> Ready {
    Ready {
        key,
        readiness: Readiness::READABLE,
    }
}

fn waits(reactor: &Reactor<FakeNet, ()>) -> Vec<Option<Duration>> {
    reactor.net.waits.borrow().clone()
}

#[test]
fn wait_without_deadlines_has_no_timeout() {
    let mut reactor = reactor(Duration::ZERO);
    insert(&mut reactor);
    run_iteration(&mut reactor, &mut RecordingHandler::default());
    assert_eq!(waits(&reactor), [None]);
}

#[test]
fn wait_ends_at_the_first_deadline_or_wake_time() {
    let mut reactor = reactor(Duration::ZERO);
    let key = insert(&mut reactor);
    reactor.set_class(key, CLASS);
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    handler.wake_at = Some(Time::ZERO + 21 * MILLISECOND);
    run_iteration(&mut reactor, &mut handler);
    handler.wake_at = Some(Time::ZERO);
    run_iteration(&mut reactor, &mut handler);
    let until_due = Duration::from_secs(1) + TICK;
    let expected = [Some(until_due), Some(20 * MILLISECOND), POLL];
    assert_eq!(waits(&reactor), expected);
}

#[test]
fn spin_polls_for_its_duration_and_then_sleeps() {
    let mut reactor = reactor(3 * MILLISECOND);
    run_iteration(&mut reactor, &mut RecordingHandler::default());
    assert_eq!(waits(&reactor), [POLL, POLL, POLL, None]);
}

#[test]
fn spin_ends_at_the_first_event() {
    let mut reactor = reactor(100 * MILLISECOND);
    let key = insert(&mut reactor);
    *reactor.net.events.borrow_mut() = [vec![], vec![ready(key)]].into();
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(waits(&reactor).len(), 2);
    assert_eq!(handler.calls, [Call::Ready(1)]);
}

#[test]
fn spin_ends_at_the_wake_time() {
    let mut reactor = reactor(100 * MILLISECOND);
    let mut handler = RecordingHandler {
        wake_at: Some(Time::ZERO + 2 * MILLISECOND),
        ..RecordingHandler::default()
    };
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(waits(&reactor).len(), 2);
}

#[test]
fn events_come_before_deadlines_run_queue_and_sources() {
    let mut reactor = reactor(Duration::ZERO);
    let [queued, due, ready_key] = std::array::from_fn(|_| insert(&mut reactor));
    reactor.run_again(queued).unwrap();
    reactor.set_class(due, CLASS);
    reactor.net.now.set(2_000_000_000);
    let source = Key::of_source(Source::listener(6));
    *reactor.net.events.borrow_mut() = [vec![ready(source), ready(ready_key)]].into();
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    let (queued, due, ready_key) = (queued.serial, due.serial, ready_key.serial);
    assert_eq!(
        handler.calls,
        [
            Call::Ready(ready_key),
            Call::Expired(due),
            Call::RunAgain(queued),
            Call::Source(Source::listener(6).0)
        ]
    );
    assert_eq!(*reactor.net.endings.borrow(), [Ending::Fin]);
}

#[test]
fn run_again_runs_once_in_the_next_iteration() {
    let mut reactor = reactor(Duration::from_secs(1));
    let key = insert(&mut reactor);
    let mut handler = RecordingHandler {
        requeues: Some(key),
        ..RecordingHandler::default()
    };
    reactor.run_again(key).unwrap();
    reactor.run_again(key).unwrap();
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls, [Call::RunAgain(1)], "once in an iteration");
    handler.requeues = None;
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls, [Call::RunAgain(1), Call::RunAgain(1)]);
    assert_eq!(waits(&reactor), [POLL, POLL], "neither sleep nor spin");
}

#[test]
fn run_queue_skips_removed_connections() {
    let mut reactor = reactor(Duration::ZERO);
    let removed = insert(&mut reactor);
    reactor.run_again(removed).unwrap();
    reactor.remove(removed, Ending::Reset);
    let successor = insert(&mut reactor);
    assert_eq!(successor.slot, removed.slot);
    reactor.run_again(removed).unwrap();
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls, []);
    assert!(reactor.run_queue.is_empty());
}

#[test]
fn deadlines_per_iteration_are_bounded() {
    let mut reactor = reactor(Duration::ZERO);
    for _ in 0..=DEADLINES_PER_ITERATION {
        let key = insert(&mut reactor);
        reactor.set_class(key, CLASS);
    }
    reactor.net.now.set(2_000_000_000);
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls.len(), DEADLINES_PER_ITERATION);
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls.len(), DEADLINES_PER_ITERATION + 1);
    assert!(reactor.is_empty());
    assert_eq!(waits(&reactor), [POLL, POLL], "deadlines are due");
}

#[test]
fn queue_runs_are_bounded_not_counting_removed_keys() {
    let mut reactor = reactor(Duration::ZERO);
    let keys: Vec<Key> = (0..=RUNS_PER_ITERATION + 10)
        .map(|_| insert(&mut reactor))
        .collect();
    for key in &keys {
        reactor.run_again(*key).unwrap();
    }
    for key in &keys[..10] {
        reactor.remove(*key, Ending::Fin);
    }
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls.len(), RUNS_PER_ITERATION);
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls.len(), RUNS_PER_ITERATION + 1);
}

#[test]
fn insert_returns_the_stream_if_registration_fails() {
    let mut reactor = reactor(Duration::ZERO);
    reactor.net.register_fails.set(true);
    let (stream, error) = reactor.insert(NoStream, (), false).unwrap_err();
    assert_eq!(
        (stream, error.kind()),
        (NoStream, io::ErrorKind::StorageFull)
    );
    assert!(reactor.is_empty());
    reactor.net.register_fails.set(false);
    let key = insert(&mut reactor);
    assert_eq!(key.serial, 1, "no serial is used up");
    assert_eq!((reactor.len(), reactor.is_empty()), (1, false));
    assert_eq!(reactor.key_at(0), Some(key));
    assert!(reactor.slots_end() >= 1);
    reactor.net.register_fails.set(true);
    assert!(reactor.watch_writable(key).is_err());
    assert!(reactor.remove(key, Ending::Reset).is_some());
    assert!(reactor.remove(key, Ending::Reset).is_none(), "was removed");
    assert!(reactor.watch_writable(key).is_ok(), "a removed key");
    assert_eq!(*reactor.net.endings.borrow(), [Ending::Reset]);
}

#[test]
fn without_memory_insert_fails_and_queued_entries_stay() {
    let mut reactor = reactor(Duration::ZERO);
    let [queued, other] = std::array::from_fn(|_| insert(&mut reactor));
    reactor.run_again(queued).unwrap();
    reactor.set_out_of_memory(true);
    let (stream, error) = reactor.insert(NoStream, (), false).unwrap_err();
    assert_eq!(
        (stream, error.kind()),
        (NoStream, io::ErrorKind::OutOfMemory)
    );
    assert_eq!(reactor.run_again(other), Err(OutOfMemory));
    assert_eq!(reactor.run_again(queued), Ok(()), "it is queued already");
    reactor.set_out_of_memory(false);
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls, [Call::RunAgain(queued.serial)]);
    assert_eq!(reactor.run_again(other), Ok(()), "it was not queued before");
    assert_eq!(insert(&mut reactor).serial, 3, "no serial is used up");
}

#[test]
fn touch_restarts_the_timer() {
    let mut reactor = reactor(Duration::ZERO);
    let key = insert(&mut reactor);
    reactor.set_class(key, CLASS);
    assert!(reactor.borrow(key).unwrap().is_touched(), "just started");
    reactor.net.now.set(1_000_000_000);
    let mut handler = RecordingHandler::default();
    run_iteration(&mut reactor, &mut handler);
    assert!(!reactor.borrow(key).unwrap().is_touched(), "next tick");
    reactor.touch(key);
    reactor.net.now.set(2_000_000_000);
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls, [], "not due yet");
    reactor.net.now.set(2_300_000_000);
    run_iteration(&mut reactor, &mut handler);
    assert_eq!(handler.calls, [Call::Expired(1)]);
}
