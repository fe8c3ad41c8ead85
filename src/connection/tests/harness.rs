//! A harness for connections: a reactor with a driver over scripted streams, whose clock the test sets.

use super::*;
use crate::connection::{Closed, Connections, Driver, Owner, Timeouts};
use crate::net::{AcceptError, Ending, Key, ListenOptions, Net, Progress, Ready, Signal, Source};
use crate::reactor::Reactor;
use std::time::Duration;

/// A network of scripted streams, with a clock that the test sets.
#[derive(Default)]
pub(super) struct FakeNet {
    now: u64,
    pub(super) watched: Vec<Key>,
    pub(super) watch_fails: bool,
    pub(super) endings: Vec<Ending>,
    /// What the kernel reports of each connection.
    pub(super) progress: Option<Progress>,
}

impl Net for FakeNet {
    type Listener = ();
    type Stream = ScriptedStream;

    fn now(&self) -> Time {
        Time::from_nanos(self.now)
    }

    fn wait(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        Ok(())
    }

    fn listen(&mut self, _: &ListenOptions, _: Source) -> io::Result<()> {
        Ok(())
    }

    fn local_addr(&self, (): &()) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn accept_from(&mut self, (): &()) -> Result<(ScriptedStream, SocketAddr), AcceptError> {
        Err(AcceptError::Empty)
    }

    fn has_waiting(&mut self, (): &()) -> bool {
        false
    }

    fn connect(&mut self, _: SocketAddr, _: Option<SocketAddr>) -> io::Result<ScriptedStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn register(&mut self, _: &ScriptedStream, _: Key, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn watch_writable(&mut self, _: &ScriptedStream, key: Key) -> io::Result<()> {
        if self.watch_fails {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.watched.push(key);
        Ok(())
    }

    fn close(&mut self, _: ScriptedStream, ending: Ending) {
        self.endings.push(ending);
    }

    fn progress(&mut self, _: &ScriptedStream) -> Option<Progress> {
        self.progress
    }

    fn take_signal(&mut self) -> Option<Signal> {
        None
    }
}

/// An owner that records the serial numbers of closed connections and their reasons.
pub(super) struct TestOwner<P: Protocol = Raw> {
    pub(super) driver: Driver<P>,
    pub(super) closed: Vec<(u32, CloseReason)>,
}

impl<P: Protocol> Owner<FakeNet, P> for TestOwner<P> {
    fn driver(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    fn closed(&mut self, _: &mut Connections<FakeNet, P>, key: Key, closed: Closed) {
        self.closed.push((key.serial, closed.reason));
    }
}

/// A reactor with an owner; the idle, stall and connect timeouts are ten seconds.
pub(super) struct Harness<P: Protocol = Raw> {
    pub(super) reactor: Connections<FakeNet, P>,
    pub(super) owner: TestOwner<P>,
}

impl Harness {
    pub(super) fn new(limits: Limits, max_buffered: usize) -> Self {
        Harness::with_protocol(Raw, limits, max_buffered)
    }
}

impl<P: Protocol> Harness<P> {
    pub(super) fn with_protocol(protocol: P, limits: Limits, max_buffered: usize) -> Self {
        let ten = Some(Duration::from_secs(10));
        let timeouts = Timeouts {
            idle: ten,
            stall: ten,
            connect: ten,
            handshake: ten,
        };
        let common = Common::new(protocol, limits, max_buffered);
        Harness {
            reactor: Reactor::new(FakeNet::default(), timeouts.by_class(), Duration::ZERO),
            owner: TestOwner {
                driver: Driver::new(common),
                closed: Vec::new(),
            },
        }
    }

    pub(super) fn open(&mut self) -> Key {
        self.open_with_steps(&[])
    }

    /// Opens a connection over a stream that follows `steps`.
    pub(super) fn open_with_steps(&mut self, steps: &[Step]) -> Key {
        let connection = Connection::open(self.owner.driver.common.protocol.session());
        let key = self
            .reactor
            .insert(ScriptedStream::new(steps), connection, false)
            .unwrap();
        assert_eq!(self.owner.driver.open(&mut self.reactor, key), None);
        key
    }

    fn for_each_stream(&mut self, mut change: impl FnMut(&mut ScriptedStream)) {
        for index in 0..self.reactor.slots_end() {
            if let Some(key) = self.reactor.key_at(index)
                && let Some(slot) = self.reactor.find(key)
            {
                change(&mut slot.stream);
            }
        }
    }

    pub(super) fn drive(
        &mut self,
        key: Key,
        readiness: Readiness,
        steps: &[Step],
    ) -> Option<CloseReason> {
        self.set_steps(key, steps);
        let reason = self.owner.driver.drive(&mut self.reactor, key, readiness);
        self.assert_no_steps_left(key);
        reason
    }

    /// The owner writes `word`, over a stream that follows `steps`.
    pub(super) fn write(&mut self, key: Key, steps: &[Step]) -> Option<CloseReason> {
        self.set_steps(key, steps);
        let driver = &mut self.owner.driver;
        driver.write(&mut self.reactor, key, |outbox| outbox.write(b"word"))
    }

    pub(super) fn set_steps(&mut self, key: Key, steps: &[Step]) {
        self.reactor.find(key).unwrap().stream = ScriptedStream::new(steps);
    }

    pub(super) fn assert_no_steps_left(&mut self, key: Key) {
        let slot = self.reactor.find(key).unwrap();
        slot.stream.assert_no_steps_left();
    }

    pub(super) fn class(&mut self, key: Key) -> Class {
        self.reactor.find(key).unwrap().class()
    }

    pub(super) fn pool(&mut self) -> &mut Pool {
        &mut self.owner.driver.common.pool
    }

    pub(super) fn resume_waiting(&mut self) -> Option<(Key, CloseReason)> {
        self.owner.driver.resume_waiting(&mut self.reactor)
    }

    pub(super) fn close(&mut self, key: Key, reason: CloseReason) {
        self.owner.close(&mut self.reactor, key, reason);
    }

    /// Runs one iteration at this second. Returns the connections closed since the previous one, with their reasons.
    pub(super) fn run_iteration_at(&mut self, second: u64) -> Vec<(u32, CloseReason)> {
        self.reactor.net.now = second * 1_000_000_000;
        // A connection is driven once before its deadline closes it: every call would block then.
        self.for_each_stream(|stream| stream.steps.push_back(Step::AllWouldBlock));
        self.owner.run_iteration(&mut self.reactor).unwrap();
        self.for_each_stream(|stream| {
            let is_script = |step: &Step| !matches!(step, Step::AllWouldBlock);
            stream.steps.retain(is_script);
        });
        std::mem::take(&mut self.owner.closed)
    }
}
