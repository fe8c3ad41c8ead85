//! A harness for connections: a reactor over scripted sockets, with a driver, in which time is what the test says.

use super::*;
use crate::connection::{Closed, Connections, Driver, Owner, Timeouts};
use crate::net::{AcceptError, Ending, Key, ListenOptions, Net, Ready, Signal, Source};
use crate::reactor::Reactor;
use std::time::Duration;

/// A world of scripted sockets. Time is what the test says it is.
#[derive(Default)]
pub(super) struct FakeNet {
    now: u64,
    pub(super) watched: Vec<Key>,
    pub(super) refuses: bool,
    pub(super) closed: Vec<Ending>,
}

impl Net for FakeNet {
    type Listener = ();
    type Stream = Scripted;

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

    fn accept_from(&mut self, (): &()) -> Result<(Scripted, SocketAddr), AcceptError> {
        Err(AcceptError::Empty)
    }

    fn has_waiting(&mut self, (): &()) -> bool {
        false
    }

    fn connect(&mut self, _: SocketAddr, _: Option<SocketAddr>) -> io::Result<Scripted> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn register(&mut self, _: &Scripted, _: Key, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn watch_writable(&mut self, _: &Scripted, key: Key) -> io::Result<()> {
        if self.refuses {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.watched.push(key);
        Ok(())
    }

    fn close(&mut self, _: Scripted, ending: Ending) {
        self.closed.push(ending);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        None
    }
}

/// Drives connections, and records which have closed and why.
pub(super) struct TestOwner<P: Protocol = Raw> {
    pub(super) driver: Driver<P>,
    pub(super) ended: Vec<(u32, CloseReason)>,
}

impl<P: Protocol> Owner<FakeNet, P> for TestOwner<P> {
    fn driver(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    fn closed(&mut self, _: &mut Connections<FakeNet, P>, key: Key, closed: Closed) {
        self.ended.push((key.serial, closed.reason));
    }
}

/// A reactor with a driver, on which idle, stalled and connecting ones have ten seconds.
pub(super) struct Harness<P: Protocol = Raw> {
    pub(super) reactor: Connections<FakeNet, P>,
    pub(super) owner: TestOwner<P>,
}

const SECOND: u64 = 1_000_000_000;

impl Harness {
    pub(super) fn new(limits: Limits, max_buffered: usize) -> Self {
        Harness::speaking(Raw, limits, max_buffered)
    }
}

impl<P: Protocol> Harness<P> {
    pub(super) fn speaking(protocol: P, limits: Limits, max_buffered: usize) -> Self {
        let ten = Some(Duration::from_secs(10));
        let timeouts = Timeouts {
            idle: ten,
            stall: ten,
            connect: ten,
        };
        let common = Common::new(protocol, limits, max_buffered);
        Harness {
            reactor: Reactor::new(FakeNet::default(), timeouts.by_class(), Duration::ZERO),
            owner: TestOwner {
                driver: Driver::new(common),
                ended: Vec::new(),
            },
        }
    }

    pub(super) fn open(&mut self) -> Key {
        self.open_over(&[])
    }

    /// Opens a connection over a socket that follows `steps`.
    pub(super) fn open_over(&mut self, steps: &[Step]) -> Key {
        let stream = Scripted {
            steps: steps.iter().cloned().collect(),
        };
        let connection = Connection::open(self.owner.driver.common.protocol.session());
        let key = self.reactor.insert(stream, connection, false).unwrap();
        assert_eq!(self.owner.driver.open(&mut self.reactor, key), None);
        key
    }

    fn for_each_stream(&mut self, mut change: impl FnMut(&mut Scripted)) {
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
        let stream = &mut self.reactor.find(key).unwrap().stream;
        stream.steps = steps.iter().cloned().collect();
        let ended = self.owner.driver.drive(&mut self.reactor, key, readiness);
        let left = &self.reactor.find(key).unwrap().stream.steps;
        assert!(left.is_empty(), "left over: {left:?}");
        ended
    }

    /// A turn at this second, and who ended in it.
    pub(super) fn turn_at(&mut self, second: u64) -> Vec<(u32, CloseReason)> {
        self.reactor.net.now = second * SECOND;
        // Before a deadline closes a connection, it is driven once: nothing moves then.
        self.for_each_stream(|stream| stream.steps.push_back(Step::Quiet));
        self.reactor.turn(&mut self.owner).unwrap();
        self.for_each_stream(|stream| stream.steps.retain(|step| !matches!(step, Step::Quiet)));
        std::mem::take(&mut self.owner.ended)
    }
}
