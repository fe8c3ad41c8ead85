//! The loop over a world that only keeps a diary: who is waited for, for how long, and in which order things are done.

use super::*;
use crate::net::{AcceptError, ListenOptions, Signal, Stream};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A world in which every wait takes a millisecond and finds what the test has laid out.
#[derive(Default)]
struct Diary {
    now: Cell<u64>,
    waits: RefCell<Vec<Option<Duration>>>,
    found: RefCell<VecDeque<Vec<Ready>>>,
    closed: RefCell<Vec<Ending>>,
    refuses: Cell<bool>,
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
        unreachable!("the loop ends nothing")
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        unreachable!("the loop connects nothing")
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        unreachable!("the loop knows nobody")
    }
}

impl Net for Diary {
    type Listener = ();
    type Stream = NoStream;

    fn now(&self) -> Time {
        Time::from_nanos(self.now.get())
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.waits.borrow_mut().push(timeout);
        self.now.set(self.now.get() + 1_000_000);
        *ready = self.found.borrow_mut().pop_front().unwrap_or_default();
        Ok(())
    }

    fn listen(&mut self, _: &ListenOptions, _: Source) -> io::Result<()> {
        unreachable!("the loop listens to nobody")
    }

    fn local_addr(&self, (): &()) -> io::Result<SocketAddr> {
        unreachable!("the loop has no address")
    }

    fn accept_from(&mut self, (): &()) -> Result<(NoStream, SocketAddr), AcceptError> {
        unreachable!("the loop accepts nobody")
    }

    fn has_waiting(&mut self, (): &()) -> bool {
        false
    }

    fn connect(&mut self, _: SocketAddr, _: Option<SocketAddr>) -> io::Result<NoStream> {
        unreachable!("the loop connects to nobody")
    }

    fn register(&mut self, _: &NoStream, _: Key, _: bool) -> io::Result<()> {
        if self.refuses.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn watch_writable(&mut self, stream: &NoStream, key: Key) -> io::Result<()> {
        self.register(stream, key, true)
    }

    fn close(&mut self, _: NoStream, ending: Ending) {
        self.closed.borrow_mut().push(ending);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Ready(u32),
    Again(u32),
    Expired(u32),
    Source(u32),
}

/// Writes down what it is told. Who expires is closed.
#[derive(Default)]
struct Scribe {
    told: Vec<Told>,
    wake_at: Option<Time>,
    /// Asks for another turn whenever it is told of this connection.
    insists: Option<Key>,
}

impl Handler<Diary, ()> for Scribe {
    fn ready(&mut self, reactor: &mut Reactor<Diary, ()>, key: Key, readiness: Readiness) {
        self.told.push(if readiness == Readiness::NONE {
            Told::Again(key.serial)
        } else {
            Told::Ready(key.serial)
        });
        if self.insists == Some(key) {
            reactor.run_again(key).unwrap();
        }
    }

    fn expired(&mut self, reactor: &mut Reactor<Diary, ()>, key: Key) {
        self.told.push(Told::Expired(key.serial));
        reactor.remove(key, Ending::Fin);
    }

    fn source_ready(&mut self, _: &mut Reactor<Diary, ()>, source: Source) {
        self.told.push(Told::Source(source.0));
    }

    fn wake_at(&self) -> Option<Time> {
        self.wake_at
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const LINE: Class = Class::new(0);

fn reactor(spin: Duration) -> Reactor<Diary, ()> {
    let lengths = [Some(Duration::from_secs(1)), None, None, None, None, None];
    Reactor::new(Diary::default(), lengths, spin)
}

fn insert(reactor: &mut Reactor<Diary, ()>) -> Key {
    reactor.insert(NoStream, (), false).unwrap()
}

fn ready(key: Key) -> Ready {
    Ready {
        key,
        readiness: Readiness::READABLE,
    }
}

fn waits(reactor: &Reactor<Diary, ()>) -> Vec<Option<Duration>> {
    reactor.net.waits.borrow().clone()
}

#[test]
fn without_anything_due_it_sleeps_until_something_happens() {
    let mut reactor = reactor(Duration::ZERO);
    insert(&mut reactor);
    reactor.turn(&mut Scribe::default()).unwrap();
    assert_eq!(waits(&reactor), [None]);
}

#[test]
fn it_sleeps_until_the_first_that_is_due_or_the_handler_wants_a_turn() {
    let mut reactor = reactor(Duration::ZERO);
    let key = insert(&mut reactor);
    reactor.set_class(key, LINE);
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    scribe.wake_at = Some(Time::ZERO + 21 * MILLISECOND);
    reactor.turn(&mut scribe).unwrap();
    scribe.wake_at = Some(Time::ZERO);
    reactor.turn(&mut scribe).unwrap();
    let until_due = Duration::from_secs(1) + TICK;
    let expected = [
        Some(until_due),
        Some(20 * MILLISECOND),
        Some(Duration::ZERO),
    ];
    assert_eq!(waits(&reactor), expected);
}

#[test]
fn it_spins_for_as_long_as_it_is_told_before_it_sleeps() {
    let mut reactor = reactor(3 * MILLISECOND);
    reactor.turn(&mut Scribe::default()).unwrap();
    let poll = Some(Duration::ZERO);
    assert_eq!(waits(&reactor), [poll, poll, poll, None]);
}

#[test]
fn spinning_ends_with_the_first_thing_that_is_ready() {
    let mut reactor = reactor(100 * MILLISECOND);
    let key = insert(&mut reactor);
    let found = [vec![], vec![ready(key)]];
    *reactor.net.found.borrow_mut() = found.into();
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(waits(&reactor).len(), 2);
    assert_eq!(scribe.told, [Told::Ready(1)]);
}

#[test]
fn spinning_ends_when_something_falls_due() {
    let mut reactor = reactor(100 * MILLISECOND);
    let mut scribe = Scribe {
        wake_at: Some(Time::ZERO + 2 * MILLISECOND),
        ..Scribe::default()
    };
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(waits(&reactor).len(), 2);
}

#[test]
fn in_a_turn_come_first_connections_then_deadlines_then_second_turns_then_sources() {
    let mut reactor = reactor(Duration::ZERO);
    let [queued, due, eager] = std::array::from_fn(|_| insert(&mut reactor));
    reactor.run_again(queued).unwrap();
    reactor.set_class(due, LINE);
    reactor.net.now.set(2_000_000_000);
    let source = Key::of_source(Source::listener(6));
    *reactor.net.found.borrow_mut() = [vec![ready(source), ready(eager)]].into();
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    let (queued, due, eager) = (queued.serial, due.serial, eager.serial);
    assert_eq!(
        scribe.told,
        [
            Told::Ready(eager),
            Told::Expired(due),
            Told::Again(queued),
            Told::Source(Source::listener(6).0)
        ]
    );
    assert_eq!(*reactor.net.closed.borrow(), [Ending::Fin]);
}

#[test]
fn who_asks_for_another_turn_has_it_in_the_next_without_a_sleep_and_once() {
    let mut reactor = reactor(Duration::from_secs(1));
    let key = insert(&mut reactor);
    let mut scribe = Scribe {
        insists: Some(key),
        ..Scribe::default()
    };
    reactor.run_again(key).unwrap();
    reactor.run_again(key).unwrap();
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told, [Told::Again(1)], "once, and not again at once");
    scribe.insists = None;
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told, [Told::Again(1), Told::Again(1)]);
    let poll = Some(Duration::ZERO);
    assert_eq!(waits(&reactor), [poll, poll], "no sleep, and no spinning");
}

#[test]
fn a_turn_asked_for_by_the_dead_is_nobodys() {
    let mut reactor = reactor(Duration::ZERO);
    let gone = insert(&mut reactor);
    reactor.run_again(gone).unwrap();
    reactor.remove(gone, Ending::Reset);
    let heir = insert(&mut reactor);
    assert_eq!(heir.slot, gone.slot);
    reactor.run_again(gone).unwrap();
    let source = Source::listener(0);
    reactor.run_source_again(source).unwrap();
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told, [Told::Source(source.0)]);
    assert!(reactor.run_queue.is_empty());
}

#[test]
fn a_queued_source_with_an_event_is_handled_once() {
    let mut reactor = reactor(Duration::ZERO);
    let [first, second] = [0, 1].map(Source::listener);
    for source in [first, second, first] {
        reactor.run_source_again(source).unwrap();
    }
    let event = |source| ready(Key::of_source(source));
    *reactor.net.found.borrow_mut() = [vec![event(second)], vec![event(second)]].into();
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told, [Told::Source(first.0), Told::Source(second.0)]);
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told[2..], [Told::Source(second.0)]);
    assert_eq!(waits(&reactor)[0], Some(Duration::ZERO), "no sleep before");
}

#[test]
fn one_turn_fires_so_many_deadlines_and_no_more() {
    let mut reactor = reactor(Duration::ZERO);
    for _ in 0..=DEADLINES_PER_TURN {
        let key = insert(&mut reactor);
        reactor.set_class(key, LINE);
    }
    reactor.net.now.set(2_000_000_000);
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told.len(), DEADLINES_PER_TURN);
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told.len(), DEADLINES_PER_TURN + 1);
    assert!(reactor.is_empty());
    assert_eq!(
        waits(&reactor),
        [Some(Duration::ZERO); 2],
        "what is due waits not"
    );
}

#[test]
fn one_turn_gives_so_many_second_turns_and_those_of_the_dead_do_not_count() {
    let mut reactor = reactor(Duration::ZERO);
    let keys: Vec<Key> = (0..=RUNS_PER_TURN + 10)
        .map(|_| insert(&mut reactor))
        .collect();
    for key in &keys {
        reactor.run_again(*key).unwrap();
    }
    for key in &keys[..10] {
        reactor.remove(*key, Ending::Fin);
    }
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told.len(), RUNS_PER_TURN);
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told.len(), RUNS_PER_TURN + 1);
}

#[test]
fn a_stream_that_cannot_be_watched_is_given_back() {
    let mut reactor = reactor(Duration::ZERO);
    reactor.net.refuses.set(true);
    let (stream, error) = reactor.insert(NoStream, (), false).unwrap_err();
    assert_eq!(
        (stream, error.kind()),
        (NoStream, io::ErrorKind::StorageFull)
    );
    assert!(reactor.is_empty());
    reactor.net.refuses.set(false);
    let key = insert(&mut reactor);
    assert_eq!(key.serial, 1, "no number is used up");
    assert_eq!((reactor.len(), reactor.is_empty()), (1, false));
    assert_eq!(reactor.key_at(0), Some(key));
    assert!(reactor.slots_end() >= 1);
    reactor.net.refuses.set(true);
    assert!(reactor.watch_writable(key).is_err());
    assert!(reactor.remove(key, Ending::Reset).is_some());
    assert!(reactor.remove(key, Ending::Reset).is_none(), "closed once");
    assert!(reactor.watch_writable(key).is_ok(), "nobody is there");
    assert_eq!(*reactor.net.closed.borrow(), [Ending::Reset]);
}

#[test]
fn without_memory_there_is_no_slot_and_no_other_turn_but_who_has_one_coming_keeps_it() {
    let mut reactor = reactor(Duration::ZERO);
    let [queued, other] = std::array::from_fn(|_| insert(&mut reactor));
    reactor.run_again(queued).unwrap();
    reactor.refuse(true);
    let (stream, error) = reactor.insert(NoStream, (), false).unwrap_err();
    assert_eq!(
        (stream, error.kind()),
        (NoStream, io::ErrorKind::OutOfMemory)
    );
    assert_eq!(reactor.run_again(other), Err(OutOfMemory));
    assert_eq!(reactor.run_again(queued), Ok(()), "it needs none");
    reactor.refuse(false);
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told, [Told::Again(queued.serial)]);
    assert_eq!(reactor.run_again(other), Ok(()), "it has none coming yet");
    assert_eq!(insert(&mut reactor).serial, 3, "no number is used up");
}

#[test]
fn a_touch_starts_the_time_anew() {
    let mut reactor = reactor(Duration::ZERO);
    let key = insert(&mut reactor);
    reactor.set_class(key, LINE);
    assert!(
        reactor.borrow(key).unwrap().is_touched(),
        "it has just begun"
    );
    reactor.net.now.set(1_000_000_000);
    let mut scribe = Scribe::default();
    reactor.turn(&mut scribe).unwrap();
    assert!(
        !reactor.borrow(key).unwrap().is_touched(),
        "not in this tick"
    );
    reactor.touch(key);
    reactor.net.now.set(2_000_000_000);
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told, [], "not due yet");
    reactor.net.now.set(2_300_000_000);
    reactor.turn(&mut scribe).unwrap();
    assert_eq!(scribe.told, [Told::Expired(1)]);
}
