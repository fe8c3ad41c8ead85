//! The network, the clock and signals behind one trait, [`Net`]: every source of nondeterminism.
//!
//! This is the only module of the library that makes system calls on file descriptors. [`MioNet`] implements [`Net`] with the kernel's
//! sockets; the tests have a simulated implementation whose bytes, faults and time are drawn from a seed.

mod accept_error;
mod listener;
mod mio_net;
mod netlink;
#[cfg(feature = "program")]
mod packets;
#[cfg(feature = "program")]
mod private_network;
mod ready;
#[cfg(feature = "program")]
mod route_netlink;
mod signals;
mod sock_diag;
mod timer;
mod traced;
#[cfg(feature = "program")]
mod tun;
mod writer;

pub use accept_error::AcceptError;
pub use listener::{DEFAULT_BACKLOG, ListenOptions, SocketBuffer, backlog_in_force};
pub use mio_net::MioNet;
#[cfg(feature = "program")]
pub use packets::PacketLink;
#[cfg(feature = "program")]
pub use private_network::{PrivateNetworkError, enter_private_network};
pub use ready::{Key, Readiness, Ready, Source};
pub use signals::Signal;
pub use sock_diag::{AcceptQueue, AcceptQueueReader};
pub use traced::{
    Note, Numbered, Opening, Recording, Ring, TraceEvent, TraceKind, Traced, TracedStream,
};
#[cfg(feature = "program")]
pub use tun::{PORTS_PER_SOURCE, PrefixAddresses, Tun, TunError};
pub use writer::NonBlockingWriter;

pub use crate::time::Time;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// The time of day, as the time since 1970-01-01 00:00 UTC. It may jump, so it is used for dates only.
#[must_use]
pub fn time_of_day() -> Duration {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed();
    since_1970.unwrap_or_default()
}

/// A network: sockets, a clock and signals.
///
/// Readiness is edge-triggered, as in mio: after an event no further event is guaranteed until a call on that stream
/// has returned [`WouldBlock`](io::ErrorKind::WouldBlock).
pub trait Net {
    /// A listening socket.
    type Listener;
    /// The socket of a connection.
    type Stream: Stream;

    /// The current time.
    fn now(&self) -> Time;

    /// Waits until a source is ready, `timeout` has passed (`None`: no limit) or a signal arrives, and replaces the
    /// contents of `ready` with the events. An expired timeout and an interrupted call give no events and no error.
    ///
    /// # Errors
    /// An error of the selector (epoll); the loop cannot continue then.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// Opens a listener whose readiness is reported as `source`.
    ///
    /// # Errors
    /// Errors of socket(2), bind(2) or listen(2): the address is in use, not permitted, or not of this machine.
    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<Self::Listener>;

    /// Registers a listener for events that another process has opened. Only needed to take over listeners.
    ///
    /// # Errors
    /// The error of the selector.
    fn register_listener(&mut self, _: &mut Self::Listener, _: Source) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Closes a listener that another process may have as well: the selector would report its events until all have
    /// closed it.
    fn close_listener(&mut self, listener: Self::Listener) {
        drop(listener);
    }

    /// The address to which a listener is bound. If the port was 0, this has the port that the kernel chose.
    ///
    /// # Errors
    /// See getsockname(2).
    fn local_addr(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// Accepts a connection, and returns its socket and the peer's address, even if the peer has reset the connection.
    ///
    /// # Errors
    /// See [`AcceptError`], which classifies them by the reaction they need.
    fn accept_from(
        &mut self,
        listener: &Self::Listener,
    ) -> Result<(Self::Stream, SocketAddr), AcceptError>;

    /// As [`accept_from`](Net::accept_from), without the peer's address. This saves the kernel copying it, a thirtieth
    /// of the cost of accepting.
    ///
    /// # Errors
    /// As for [`accept_from`](Net::accept_from).
    fn accept(&mut self, listener: &Self::Listener) -> Result<Self::Stream, AcceptError> {
        self.accept_from(listener).map(|(stream, _)| stream)
    }

    /// Whether a connection is in the accept queue. If not, an event follows for the next one. It costs a third of an
    /// [`accept`](Net::accept) on an empty queue, for which the kernel allocates a socket first.
    fn has_waiting(&mut self, listener: &Self::Listener) -> bool;

    /// Starts to connect to `target`, from the address `local` if given (port 0: the kernel chooses a port that is free
    /// for this target). The result is reported as a writable event; see [`Stream::connected`].
    ///
    /// # Errors
    /// Immediate errors of socket(2), bind(2) or connect(2): `AddrNotAvailable` if no port is left, or if `local` is not
    /// an address of this machine.
    fn connect(
        &mut self,
        target: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<Self::Stream>;

    /// Reports the readiness of `stream` under `key` from now on: input and urgent data, and output space if
    /// `writable`. Existing readiness is reported too. Called once per stream.
    ///
    /// # Errors
    /// See `epoll_ctl(2)`, such as out of memory.
    fn register(&mut self, stream: &Self::Stream, key: Key, writable: bool) -> io::Result<()>;

    /// Adds output space to the events of a registered stream.
    ///
    /// # Errors
    /// As for [`register`](Net::register).
    fn watch_writable(&mut self, stream: &Self::Stream, key: Key) -> io::Result<()>;

    /// The progress of a connection as the kernel reports it, beyond the results of reads and writes; `None` if
    /// unavailable, or if the connection has ended. Timeouts need it, because a peer acknowledges bytes long after they
    /// were written.
    fn progress(&mut self, _stream: &Self::Stream) -> Option<Progress> {
        None
    }

    /// Closes a stream. No further events are reported for it, except those that [`wait`](Net::wait) has returned
    /// already.
    fn close(&mut self, stream: Self::Stream, ending: Ending);

    /// The next signal received since the last call; to be called after an event for [`Source::SIGNALS`].
    fn take_signal(&mut self) -> Option<Signal>;

    /// Takes a note of a decision about a connection, or with the key of a source about the event loop, for a
    /// [trace](Traced). Called on rare paths only.
    #[inline]
    fn note(&mut self, _key: Key, _note: Note) {}

    /// Whether the network records reads and writes, as [`Traced`] can. To be called once in an iteration.
    #[inline]
    fn is_recording(&self) -> bool {
        false
    }
}

/// The progress of a connection as the kernel reports it (`tcp_info` and `SIOCOUTQ`, tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were written and that the peer has not acknowledged, sent or not.
    pub unacknowledged: u64,
    /// How long the peer has acknowledged no byte. It exceeds the true time by at most a round trip. It may be shorter,
    /// since the kernel also records ACKs that acknowledge no byte.
    pub since_acknowledged: Duration,
    /// The time since the last byte arrived from the peer.
    pub since_received: Duration,
}

/// How a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With FIN, after the output in the kernel's send buffer. If unread input is left, the kernel sends RST instead.
    Fin,
    /// As `Fin`, with an empty send buffer: nothing was written, or the peer has reset the connection.
    Empty,
    /// With RST: the peer learns that bytes were lost.
    Reset,
}

/// The socket of a connection. Its calls never block.
pub trait Stream {
    /// Whether a read that did not fill its buffer has emptied the socket, so that an edge follows for the next byte.
    ///
    /// True for epoll (epoll(7), question 9), with the exceptions of [`Readiness::DRAIN`]. mio guarantees less.
    const SHORT_READ_DRAINS: bool;

    /// Reads into `buffer`; 0 is the peer's FIN.
    ///
    /// # Errors
    /// See read(2): `WouldBlock` if no input is available.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes`, and returns the number of bytes written.
    ///
    /// # Errors
    /// See send(2): `WouldBlock` if the send buffer is full.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Reads as [`read`](Stream::read), at a lower cost, while the network [does not record](Net::is_recording).
    ///
    /// # Errors
    /// As for [`read`](Stream::read).
    #[inline]
    fn read_unrecorded(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    /// Writes as [`write`](Stream::write), at a lower cost, while the network [does not record](Net::is_recording).
    ///
    /// # Errors
    /// As for [`write`](Stream::write).
    #[inline]
    fn write_unrecorded(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    /// Whether a small write would be accepted completely now. If not, a writable edge follows when it would, provided
    /// that the stream is registered for it. True after an error, which the write then returns.
    fn takes_output(&mut self) -> bool;

    /// Whether the peer has sent FIN and all input before it has been read.
    fn is_at_fin(&mut self) -> bool;

    /// Sends FIN after the bytes written so far.
    ///
    /// # Errors
    /// See shutdown(2): `NotConnected` if the peer has reset the connection.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Returns and clears the pending error of the socket (`SO_ERROR`, socket(7)).
    ///
    /// # Errors
    /// See getsockopt(2).
    fn take_error(&mut self) -> io::Result<Option<io::Error>>;

    /// The peer's address. It is no longer available after a reset.
    ///
    /// # Errors
    /// See getpeername(2): `NotConnected` before the connection is established and after a reset.
    fn peer_addr(&self) -> io::Result<SocketAddr>;

    /// Whether a connection started with [`Net::connect`] is established; to be called after a writable event.
    ///
    /// # Errors
    /// The reason why connecting failed.
    fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        match self.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}
