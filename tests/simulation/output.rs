//! Standard output in a simulated world: a pipe that somebody reads, or reads no more for a while.

use crate::sim_net::{SimListener, SimNet, SimStream};
use crate::world::{MILLISECOND, World};
use echoloop::net::{
    AcceptError, Ending, Key, ListenOptions, Net, Readiness, Ready, Signal, Source, Time,
};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The pipe.
#[derive(Debug, Default)]
pub struct Pipe {
    /// All that was ever written to it.
    pub written: Vec<u8>,
    room: usize,
    /// A write has found no room: an event comes when there is some.
    is_armed: bool,
    /// The event has come, and was not told yet.
    pub is_pending: bool,
    /// How much it takes at once, and how long it pauses after that.
    capacity: usize,
    pause: u64,
    pub reads_at: u64,
}

impl Pipe {
    pub fn new(capacity: usize, pause: u64) -> Pipe {
        Pipe {
            capacity,
            pause,
            is_armed: true,
            ..Pipe::default()
        }
    }

    /// Somebody reads what is in it.
    pub fn is_read(&mut self, world: &mut World) {
        self.reads_at = world.now + world.rng.between(MILLISECOND, MILLISECOND + self.pause);
        self.room = self.capacity;
        if std::mem::take(&mut self.is_armed) {
            self.is_pending = true;
        }
    }

    fn write(&mut self, world: &mut World, bytes: &[u8]) -> io::Result<usize> {
        assert!(
            !self.is_armed,
            "a write without an event since the last one blocked"
        );
        assert!(!bytes.is_empty(), "a write of nothing");
        if world.fault(world.faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.room == 0 {
            self.is_armed = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut count = self.room.min(bytes.len());
        if count > 1 && world.fault(world.faults.partial_write) {
            count = 1 + world.rng.index(count);
        }
        self.room -= count;
        self.written.extend(&bytes[..count]);
        world.trace(8, count as u64);
        Ok(count)
    }
}

/// A simulated network with a standard output beside it.
pub struct WithOutput<const DRAINS: bool> {
    pub net: SimNet<DRAINS>,
    pub pipe: Rc<RefCell<Pipe>>,
}

impl<const DRAINS: bool> Net for WithOutput<DRAINS> {
    type Listener = SimListener;
    type Stream = SimStream<DRAINS>;

    fn now(&self) -> Time {
        self.net.now()
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        if !std::mem::take(&mut self.pipe.borrow_mut().is_pending) {
            return self.net.wait(timeout, ready);
        }
        self.net.wait(Some(Duration::ZERO), ready)?;
        ready.push(Ready {
            key: Key::of_source(Source::STDOUT),
            readiness: Readiness::WRITABLE,
        });
        Ok(())
    }

    fn write_stdout(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.net.world.borrow_mut();
        self.pipe.borrow_mut().write(&mut world, bytes)
    }

    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<SimListener> {
        self.net.listen(options, source)
    }

    fn local_addr(&self, listener: &SimListener) -> io::Result<SocketAddr> {
        self.net.local_addr(listener)
    }

    fn accept_from(
        &mut self,
        listener: &SimListener,
    ) -> Result<(Self::Stream, SocketAddr), AcceptError> {
        self.net.accept_from(listener)
    }

    fn has_waiting(&mut self, listener: &SimListener) -> bool {
        self.net.has_waiting(listener)
    }

    fn connect(
        &mut self,
        target: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<Self::Stream> {
        self.net.connect(target, local)
    }

    fn register(&mut self, stream: &Self::Stream, key: Key, writable: bool) -> io::Result<()> {
        self.net.register(stream, key, writable)
    }

    fn watch_writable(&mut self, stream: &Self::Stream, key: Key) -> io::Result<()> {
        self.net.watch_writable(stream, key)
    }

    fn close(&mut self, stream: Self::Stream, ending: Ending) {
        self.net.close(stream, ending);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        self.net.take_signal()
    }
}
