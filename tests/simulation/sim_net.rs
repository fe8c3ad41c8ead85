//! [`Net`] over the simulated network: the server and the clients under test run on this.

use crate::network::{SharedNetwork, SocketId};
use crate::selector::SUCCESSOR;
use echoloop::net::{
    AcceptError, Ending, Key, ListenOptions, Net, Numbered, Progress, Ready, Signal, Source,
    Stream, Time,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The sockets of one host. `DRAINS`: a short read proves that the socket is empty ([`Stream::SHORT_READ_DRAINS`]).
pub struct SimNet<const DRAINS: bool> {
    pub network: SharedNetwork,
    pub host: usize,
}

/// A file descriptor of a simulated connection's socket.
pub struct SimStream<const DRAINS: bool> {
    network: SharedNetwork,
    id: SocketId,
}

impl<const DRAINS: bool> Drop for SimStream<DRAINS> {
    fn drop(&mut self) {
        if let Ok(mut network) = self.network.try_borrow_mut() {
            network.sockets[self.id].fds -= 1;
        }
    }
}

impl<const DRAINS: bool> SimStream<DRAINS> {
    pub fn new(network: &SharedNetwork, id: SocketId) -> Self {
        network.borrow_mut().sockets[id].fds += 1;
        let network = network.clone();
        SimStream { network, id }
    }

    /// Another file descriptor of the same socket.
    pub fn duplicate(&self) -> Self {
        SimStream::new(&self.network, self.id)
    }

    /// Whether the connection is over: closed by both FINs or a reset, or refused.
    pub fn is_over(&self) -> bool {
        self.network.borrow().sockets[self.id].is_over()
    }

    /// Whether this client must receive every echo: it has sent FIN, and the server is not stopping.
    pub fn must_receive_all(&self) -> bool {
        let network = self.network.borrow();
        network.sockets[self.id].fin_sent && !network.stopping
    }
}

/// A file descriptor of a simulated listening socket. Dropping the last one closes the listener.
pub struct SimListener {
    network: SharedNetwork,
    index: usize,
}

impl SimListener {
    /// Another file descriptor of the same listener.
    pub fn duplicate(&self) -> SimListener {
        self.network.borrow_mut().listeners[self.index].fds += 1;
        SimListener {
            network: self.network.clone(),
            index: self.index,
        }
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        // Closing checks the accept queue; a run that has already failed must not panic again.
        if !std::thread::panicking() {
            self.network.borrow_mut().close_listener(self.index);
        }
    }
}

/// The loopback address with this host number.
pub fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, number], 7))
}

fn host_number(address: SocketAddr) -> u8 {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

impl<const DRAINS: bool> Net for SimNet<DRAINS> {
    type Listener = SimListener;
    type Stream = SimStream<DRAINS>;

    fn now(&self) -> Time {
        Time::from_nanos(self.network.borrow().now)
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap());
        self.network.borrow_mut().wait(self.host, timeout, ready);
        Ok(())
    }

    fn listen(&mut self, _: &ListenOptions, source: Source) -> io::Result<SimListener> {
        let index = self.network.borrow_mut().listen(source);
        let network = self.network.clone();
        Ok(SimListener { network, index })
    }

    fn register_listener(&mut self, listener: &mut SimListener, source: Source) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        if network.registration_fails() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        assert_eq!(self.host, SUCCESSOR, "registered twice");
        network.register_listener_of_successor(listener.index, source);
        Ok(())
    }

    fn local_addr(&self, _: &SimListener) -> io::Result<SocketAddr> {
        Ok(address(1))
    }

    fn accept_from(
        &mut self,
        listener: &SimListener,
    ) -> Result<(SimStream<DRAINS>, SocketAddr), AcceptError> {
        let accepted = self.network.borrow_mut().accept(listener.index);
        let (id, source) = accepted.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => AcceptError::Empty,
            _ => AcceptError::from(error),
        })?;
        Ok((SimStream::new(&self.network, id), address(source)))
    }

    fn has_waiting(&mut self, listener: &SimListener) -> bool {
        self.network.borrow_mut().has_waiting(listener.index)
    }

    fn connect(
        &mut self,
        _: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<SimStream<DRAINS>> {
        let source = local.map_or(1, host_number);
        let id = self.network.borrow_mut().program_connects(0, source)?;
        Ok(SimStream::new(&self.network, id))
    }

    fn register(&mut self, stream: &SimStream<DRAINS>, key: Key, writable: bool) -> io::Result<()> {
        let mut network = self.network.borrow_mut();
        if network.registration_fails() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if self.host == SUCCESSOR {
            network.register_with_successor(stream.id, key, writable);
        } else {
            network.register(self.host, stream.id, key, writable);
        }
        Ok(())
    }

    fn watch_writable(&mut self, stream: &SimStream<DRAINS>, key: Key) -> io::Result<()> {
        self.register(stream, key, true)
    }

    fn progress(&mut self, stream: &SimStream<DRAINS>) -> Option<Progress> {
        self.network.borrow_mut().program_progress(stream.id)
    }

    fn close(&mut self, stream: SimStream<DRAINS>, ending: Ending) {
        let mut network = self.network.borrow_mut();
        network.program_close(stream.id, ending == Ending::Reset);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        self.network.borrow_mut().hosts[self.host]
            .signals
            .pop_front()
    }
}

impl<const DRAINS: bool> Numbered for SimStream<DRAINS> {
    fn number(&self) -> u32 {
        self.id as u32
    }
}

impl<const DRAINS: bool> Stream for SimStream<DRAINS> {
    const SHORT_READ_DRAINS: bool = DRAINS;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.borrow_mut().program_read(self.id, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.network.borrow_mut().program_write(self.id, bytes)
    }

    fn takes_output(&mut self) -> bool {
        self.network.borrow_mut().program_poll_writable(self.id)
    }

    fn is_at_fin(&mut self) -> bool {
        let network = self.network.borrow();
        network.check_call(self.id);
        network.sockets[self.id].is_at_fin()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.network.borrow_mut().program_shutdown_write(self.id)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(self.network.borrow_mut().program_take_error(self.id))
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        if self.network.borrow().program_has_peer(self.id) {
            Ok(address(1))
        } else {
            Err(io::ErrorKind::NotConnected.into())
        }
    }
}
