//! The simulated world behind the [`Net`] trait: what the real server runs on here.

use crate::world::{EndId, SharedWorld};
use echoloop::net::{
    AcceptError, Ending, Key, ListenOptions, Net, Ready, Signal, Source, Stream, Time,
};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A network of sockets made up. `DRAINS`: whether a short read has emptied the socket.
pub struct SimNet<const DRAINS: bool> {
    pub world: SharedWorld,
}

/// A socket made up.
pub struct SimStream<const DRAINS: bool> {
    world: SharedWorld,
    id: EndId,
}

/// A listening socket made up. Dropping it closes it.
pub struct SimListener {
    world: SharedWorld,
    index: usize,
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.world.borrow_mut().close_listener(self.index);
    }
}

/// Everybody has this address: nothing here depends on it.
pub fn somewhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7))
}

impl<const DRAINS: bool> Net for SimNet<DRAINS> {
    type Listener = SimListener;
    type Stream = SimStream<DRAINS>;

    fn now(&self) -> Time {
        Time::from_nanos(self.world.borrow().now)
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap());
        self.world.borrow_mut().wait(timeout, ready);
        Ok(())
    }

    fn listen(&mut self, _: &ListenOptions, source: Source) -> io::Result<SimListener> {
        let index = self.world.borrow_mut().listen();
        assert_eq!(source, Source::listener(u32::try_from(index).unwrap()));
        let world = self.world.clone();
        Ok(SimListener { world, index })
    }

    fn local_addr(&self, _: &SimListener) -> io::Result<SocketAddr> {
        Ok(somewhere())
    }

    fn accept(
        &mut self,
        listener: &SimListener,
    ) -> Result<(SimStream<DRAINS>, SocketAddr), AcceptError> {
        let accepted = self.world.borrow_mut().accept(listener.index);
        let id = accepted.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => AcceptError::Empty,
            _ => AcceptError::from(error),
        })?;
        let world = self.world.clone();
        Ok((SimStream { world, id }, somewhere()))
    }

    fn connect(&mut self, _: SocketAddr, _: Option<SocketAddr>) -> io::Result<SimStream<DRAINS>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn register(&mut self, stream: &SimStream<DRAINS>, key: Key, writable: bool) -> io::Result<()> {
        self.world.borrow_mut().register(stream.id, key, writable);
        Ok(())
    }

    fn watch_writable(&mut self, stream: &SimStream<DRAINS>, key: Key) -> io::Result<()> {
        self.world.borrow_mut().register(stream.id, key, true);
        Ok(())
    }

    fn close(&mut self, stream: SimStream<DRAINS>, ending: Ending) {
        let mut world = self.world.borrow_mut();
        world.server_close(stream.id, ending == Ending::Reset);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        self.world.borrow_mut().signals.pop_front()
    }
}

impl<const DRAINS: bool> Stream for SimStream<DRAINS> {
    const SHORT_READ_DRAINS: bool = DRAINS;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().server_read(self.id, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().server_write(self.id, bytes)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.world.borrow_mut().server_fin(self.id)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(somewhere())
    }
}
