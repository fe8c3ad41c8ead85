//! The network, the clock and the signals: everything that is not deterministic, behind one seam.
//!
//! This is the only room that makes system calls on descriptors. [`Net`] is what the loop needs of a world;
//! [`MioNet`] is the real one, and the tests have one that they make up (bytes, faults and time from a seed).

mod accept_error;
mod descriptors;
mod interfaces;
mod limit;
mod listener;
mod mio_net;
mod ready;
mod signals;
mod sock_diag;
mod stdio;
mod timer;

pub use accept_error::AcceptError;
pub use descriptors::{RESERVED_DESCRIPTORS, descriptor_limits, raise_descriptor_limit};
pub use interfaces::interface_addresses;
pub use limit::Limit;
pub use listener::{DEFAULT_BACKLOG, ListenOptions, SocketBuffer, backlog_in_force};
pub use mio_net::MioNet;
pub use ready::{Key, Readiness, Ready, Source};
pub use signals::Signal;
pub use stdio::stdout_is_null;

pub use crate::time::Time;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The time of day: how long it is since 1970 began, in UTC. It may jump; nothing but dates is made of it.
#[must_use]
pub fn time_of_day() -> Duration {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A world of sockets, time and signals.
///
/// Readiness is edge-triggered, by mio's contract: after an event nothing more is promised until a call on that stream
/// has returned [`WouldBlock`](io::ErrorKind::WouldBlock).
pub trait Net {
    /// A socket that listens.
    type Listener;
    /// A connection's socket.
    type Stream: Stream;

    /// The time now.
    fn now(&self) -> Time;

    /// Sleeps until something is ready, `timeout` has passed (`None`: for ever) or a signal came, and fills `ready`
    /// anew. Nothing ready is not an error, an interruption by a signal neither.
    ///
    /// # Errors
    /// What the selector says; the loop cannot go on then.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// Opens a listener whose readiness comes under `source`.
    ///
    /// # Errors
    /// What `socket`, `bind` or `listen` say: the address is in use, not permitted, not of this machine.
    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<Self::Listener>;

    /// The address a listener is bound to, with the port that was picked for it.
    ///
    /// # Errors
    /// What `getsockname` says.
    fn local_addr(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// Takes a connection from the queue, with its peer's address, which this call knows even where the peer has reset
    /// the connection already.
    ///
    /// # Errors
    /// See [`AcceptError`], which says what to do about each.
    fn accept_from(
        &mut self,
        listener: &Self::Listener,
    ) -> Result<(Self::Stream, SocketAddr), AcceptError>;

    /// As [`accept_from`](Net::accept_from), for those who do not ask where it comes from. The kernel then saves itself
    /// telling, which is a thirtieth of what it costs to take a connection in.
    ///
    /// # Errors
    /// As there.
    fn accept(&mut self, listener: &Self::Listener) -> Result<Self::Stream, AcceptError> {
        self.accept_from(listener).map(|(stream, _)| stream)
    }

    /// Whether a connection waits in the queue; after a no, an event comes for the next one. It costs a third of an
    /// [`accept`](Net::accept) that finds nothing, for which the kernel makes a socket beforehand.
    fn has_waiting(&mut self, listener: &Self::Listener) -> bool;

    /// Begins to connect to `target`, from the address `local` if one is given (port 0 lets the kernel pick one that is
    /// free for this target). The outcome comes as a writable event.
    ///
    /// # Errors
    /// What `socket`, `bind` or `connect` say at once: `AddrNotAvailable` when no port is left, or the address is not
    /// of this machine.
    fn connect(
        &mut self,
        target: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<Self::Stream>;

    /// From now on the readiness of `stream` comes under `key`: input, urgent data, and room for output if
    /// `writable`. What is ready already is told too. Called once for a stream.
    ///
    /// # Errors
    /// What the selector says, such as out of memory.
    fn register(&mut self, stream: &Self::Stream, key: Key, writable: bool) -> io::Result<()>;

    /// As [`register`](Net::register), for a stream that is registered already: room for output is told too.
    ///
    /// # Errors
    /// As there.
    fn watch_writable(&mut self, stream: &Self::Stream, key: Key) -> io::Result<()>;

    /// What the kernel knows of a connection's progress beyond what reads and writes show; `None` where that cannot be
    /// asked for, or the connection has ended. For deadlines: a peer acknowledges bytes long after they were written.
    fn progress(&mut self, stream: &Self::Stream) -> Option<Progress> {
        let _ = stream;
        None
    }

    /// Closes a stream. No event comes for it any more, except one that [`wait`](Net::wait) has given out already.
    fn close(&mut self, stream: Self::Stream, ending: Ending);

    /// Reads from standard input without waiting; 0 is its end. Readiness comes under [`Source::STDIN`], by the same
    /// contract as that of streams.
    ///
    /// # Errors
    /// As read(2): `WouldBlock` when there is nothing to read now. `NotConnected` where the world has no
    /// standard input, or was not asked for it.
    fn read_stdin(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let _ = buffer;
        Err(io::ErrorKind::NotConnected.into())
    }

    /// Writes some of `bytes` to standard output without waiting, and says how many. Readiness comes under
    /// [`Source::STDOUT`].
    ///
    /// # Errors
    /// As write(2): `WouldBlock` when nothing is taken now, `BrokenPipe` when nobody reads it any more.
    /// `NotConnected` where the world has no standard output, or was not asked for it.
    fn write_stdout(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = bytes;
        Err(io::ErrorKind::NotConnected.into())
    }

    /// The next signal that has come since the last call, after an event for [`Source::SIGNALS`].
    fn take_signal(&mut self) -> Option<Signal>;
}

/// The kernel's account of one connection (`tcp_info` and `SIOCOUTQ` of tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were written and that the peer has not acknowledged, sent or not.
    pub unacknowledged: u64,
    /// For how long the peer has acknowledged no byte, as far as the kernel can tell: never more than the truth by more
    /// than a round trip, but it may be less, since the kernel notes acknowledgements of no byte too.
    pub since_acknowledged: Duration,
    /// How long ago the last byte arrived from the peer.
    pub since_received: Duration,
}

/// How a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With FIN, after what the kernel still holds. (With RST all the same where the peer sent what nobody read.)
    Fin,
    /// As `Fin`, where the kernel holds no output: nothing was written, or the peer has reset the connection.
    Empty,
    /// With RST: the peer learns that it did not get everything.
    Reset,
}

/// A connection's socket. It never blocks.
pub trait Stream {
    /// Whether a read that did not fill its buffer has emptied the socket, so that an edge comes for the next byte.
    ///
    /// True for epoll (epoll(7), question 9), with the exceptions of [`Readiness::DRAIN`]. mio promises less.
    const SHORT_READ_DRAINS: bool;

    /// Reads into `buffer`; 0 is the peer's FIN.
    ///
    /// # Errors
    /// As read(2): `WouldBlock` when there is nothing to read.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes` and says how many.
    ///
    /// # Errors
    /// As send(2): `WouldBlock` when the kernel takes nothing now.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether a small write would be taken whole now; after a no, a writable edge comes when it would, if the stream is
    /// watched for that. An error counts as a yes: the write tells.
    fn takes_output(&mut self) -> bool;

    /// Whether the peer has sent FIN and everything before it has been read.
    fn is_at_fin(&mut self) -> bool;

    /// Sends FIN after what was written.
    ///
    /// # Errors
    /// As shutdown(2): `NotConnected` when the peer has reset the connection.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Takes the error that the socket holds, if it holds one (`SO_ERROR`).
    ///
    /// # Errors
    /// As getsockopt(2).
    fn take_error(&mut self) -> io::Result<Option<io::Error>>;

    /// The peer's address. After a reset the kernel no longer knows it.
    ///
    /// # Errors
    /// As getpeername(2): `NotConnected` before the connection stands and after a reset.
    fn peer_addr(&self) -> io::Result<SocketAddr>;

    /// Whether a connection that was begun stands now; asked for after a writable event.
    ///
    /// # Errors
    /// Why it failed.
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
