//! The simulated world behind the [`Net`] trait: what the real server and real clients run on here.

use crate::world::{SharedWorld, SocketId};
use echoloop::net::{
    AcceptError, Ending, Key, ListenOptions, Net, Progress, Ready, Signal, Source, Stream, Time,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A network of sockets made up. `DRAINS`: whether a short read has emptied the socket.
pub struct SimNet<const DRAINS: bool> {
    pub world: SharedWorld,
    pub host: usize,
}

/// A socket made up.
pub struct SimStream<const DRAINS: bool> {
    world: SharedWorld,
    id: SocketId,
}

impl<const DRAINS: bool> SimStream<DRAINS> {
    /// Whether there is an end behind it: a reset, or that it was never let in.
    pub fn is_over(&self) -> bool {
        self.world.borrow().sockets[self.id].is_over()
    }

    /// Whether FIN was sent here, and the server has not been told to stop.
    pub fn is_to_get_all(&self) -> bool {
        let world = self.world.borrow();
        world.sockets[self.id].fin_sent && !world.stopping
    }
}

/// A listening socket made up. Dropping it closes it.
pub struct SimListener {
    world: SharedWorld,
    index: usize,
}

impl Drop for SimListener {
    fn drop(&mut self) {
        // In a run that has failed already there is nothing more to be checked.
        if !std::thread::panicking() {
            self.world.borrow_mut().close_listener(self.index);
        }
    }
}

/// The address of this number.
pub fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, number], 7))
}

fn number(address: SocketAddr) -> u8 {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

impl<const DRAINS: bool> Net for SimNet<DRAINS> {
    type Listener = SimListener;
    type Stream = SimStream<DRAINS>;

    fn now(&self) -> Time {
        Time::from_nanos(self.world.borrow().now)
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap());
        self.world.borrow_mut().wait(self.host, timeout, ready);
        Ok(())
    }

    fn listen(&mut self, _: &ListenOptions, source: Source) -> io::Result<SimListener> {
        let index = self.world.borrow_mut().listen(source);
        let world = self.world.clone();
        Ok(SimListener { world, index })
    }

    fn local_addr(&self, _: &SimListener) -> io::Result<SocketAddr> {
        Ok(address(1))
    }

    fn accept_from(
        &mut self,
        listener: &SimListener,
    ) -> Result<(SimStream<DRAINS>, SocketAddr), AcceptError> {
        let accepted = self.world.borrow_mut().accept(listener.index);
        let (id, source) = accepted.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => AcceptError::Empty,
            _ => AcceptError::from(error),
        })?;
        let world = self.world.clone();
        Ok((SimStream { world, id }, address(source)))
    }

    fn has_waiting(&mut self, listener: &SimListener) -> bool {
        self.world.borrow_mut().has_waiting(listener.index)
    }

    fn connect(
        &mut self,
        _: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<SimStream<DRAINS>> {
        let source = local.map_or(1, number);
        let id = self.world.borrow_mut().program_connects(0, source)?;
        let world = self.world.clone();
        Ok(SimStream { world, id })
    }

    fn register(&mut self, stream: &SimStream<DRAINS>, key: Key, writable: bool) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        if world.registration_fails() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        world.register(self.host, stream.id, key, writable);
        Ok(())
    }

    fn watch_writable(&mut self, stream: &SimStream<DRAINS>, key: Key) -> io::Result<()> {
        self.register(stream, key, true)
    }

    fn progress(&mut self, stream: &SimStream<DRAINS>) -> Option<Progress> {
        self.world.borrow_mut().program_progress(stream.id)
    }

    fn close(&mut self, stream: SimStream<DRAINS>, ending: Ending) {
        let mut world = self.world.borrow_mut();
        world.program_close(stream.id, ending == Ending::Reset);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        self.world.borrow_mut().hosts[self.host].signals.pop_front()
    }
}

impl<const DRAINS: bool> Stream for SimStream<DRAINS> {
    const SHORT_READ_DRAINS: bool = DRAINS;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().program_read(self.id, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().program_write(self.id, bytes)
    }

    fn takes_output(&mut self) -> bool {
        self.world.borrow_mut().program_poll_writable(self.id)
    }

    fn is_at_fin(&mut self) -> bool {
        self.world.borrow().sockets[self.id].is_at_fin()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.world.borrow_mut().program_shutdown_write(self.id)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(self.world.borrow_mut().program_take_error(self.id))
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        if self.world.borrow().program_has_peer(self.id) {
            Ok(address(1))
        } else {
            Err(io::ErrorKind::NotConnected.into())
        }
    }
}
