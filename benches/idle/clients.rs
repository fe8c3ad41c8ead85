//! Blocking clients of one daemon, which hold connections idle or in the middle of a message.

use crate::daemon::{Daemon, Memory};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A complete message in all protocols under test: a line, and a frame of four bytes whose header has four bytes.
const MESSAGE: &[u8] = b"\0\0\0\x04abc\n";

/// Connections per source address, so that ports suffice.
const PER_SOURCE: usize = 10_000;

/// The longest wait for an echo.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Clients that have each received one echo.
pub(crate) struct Clients<'a> {
    daemon: &'a Daemon,
    streams: Vec<TcpStream>,
    /// Sent first on each connection.
    header: &'static [u8],
    /// Distinguishes the sources of several generations of clients.
    opened: usize,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(daemon: &'a Daemon) -> Clients<'a> {
        Clients {
            daemon,
            streams: Vec::new(),
            header: b"",
            opened: 0,
        }
    }

    /// Clients that send a header, which has no reply, before all else.
    pub(crate) fn with_header(self, header: &'static [u8]) -> Clients<'a> {
        Clients { header, ..self }
    }

    /// Opens connections until there are `count`. Each echoes one message and then sends `rest`. Returns the daemon's
    /// memory, once the daemon has received everything.
    pub(crate) fn open_until(&mut self, count: usize, rest: &[u8]) -> Memory {
        while self.streams.len() < count {
            let host = u8::try_from(1 + self.opened / PER_SOURCE).unwrap();
            let source = Ipv4Addr::new(127, 0, host, 1);
            let mut stream = connect(source, self.daemon.address).unwrap();
            self.opened += 1;
            stream.write_all(self.header).unwrap();
            exchange(&mut stream, MESSAGE, MESSAGE).unwrap();
            stream.write_all(rest).unwrap();
            self.streams.push(stream);
        }
        self.daemon.wait_until_at_rest();
        self.daemon.memory()
    }

    /// Sends `message` on every connection and expects `reply`; returns the number of connections that fail.
    pub(crate) fn count_failures(&mut self, message: &[u8], reply: &[u8]) -> usize {
        let streams = self.streams.iter_mut();
        let exchanges = streams.map(|stream| exchange(stream, message, reply));
        exchanges.filter(io::Result::is_err).count()
    }

    /// Resets every connection, and waits until the daemon has closed all of them.
    pub(crate) fn reset_all(&mut self) {
        let fds = self.daemon.open_fds() - self.streams.len();
        self.streams.clear();
        let left = self.daemon.wait_for_open_fds(fds);
        assert!(left <= fds, "the daemon keeps connections open");
        self.daemon.wait_until_at_rest();
    }
}

fn exchange(stream: &mut TcpStream, message: &[u8], reply: &[u8]) -> io::Result<()> {
    stream.write_all(message)?;
    let mut received = vec![0; reply.len()];
    stream.read_exact(&mut received)?;
    if received == reply {
        Ok(())
    } else {
        Err(io::Error::other("echo mismatch"))
    }
}

/// Connects from `source`. Closing resets the connection, so that no socket remains in `TIME_WAIT`.
fn connect(source: Ipv4Addr, daemon: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&daemon.into())?;
    let stream = TcpStream::from(socket);
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}
