//! Sockets on loopback, a clock, and conditions for the traps.

use rustix::event::Timespec;
use rustix::io::ioctl_fionread;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::time::{ClockId, clock_gettime};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The time after which an experiment fails, if what it waits for does not happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// A free port of this machine.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The time since the machine started.
pub(super) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// A listener on a free port.
pub(super) fn listener() -> io::Result<TcpListener> {
    TcpListener::bind(ANY_PORT)
}

/// A client of a listener, and its connection at the server. Their calls fail after [`PATIENCE`].
pub(super) fn pair_of(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((client, server))
}

/// A client, and its connection at the server.
pub(super) fn pair() -> io::Result<(TcpStream, TcpStream)> {
    pair_of(&listener()?)
}

/// A socket that is bound to a local address, without `SO_REUSEADDR`.
pub(super) fn bound(local: SocketAddr) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &local)?;
    Ok(socket)
}

/// Connects from a local address.
pub(super) fn connect_from(local: SocketAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = bound(local)?;
    connect(&socket, &server)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One message to an echo server, and its reply.
pub(super) fn ping(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])
}

/// A script of sh(1) without a message on stderr. SIGPIPE has its default action there.
pub(super) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stderr(Stdio::null());
    command
}

/// The bytes that can be read from a socket.
pub(super) fn unread(socket: impl AsFd) -> io::Result<u64> {
    Ok(ioctl_fionread(socket)?)
}

/// Waits until a condition holds; false if it does not within `patience`.
pub(super) fn holds_within(
    patience: Duration,
    mut condition: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    let deadline = now() + patience;
    while !condition()? {
        if now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

/// Waits until a condition holds.
///
/// # Errors
/// It does not within [`PATIENCE`].
pub(super) fn until(condition: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    if holds_within(PATIENCE, condition)? {
        Ok(())
    } else {
        Err(ErrorKind::TimedOut.into())
    }
}

/// Waits until an amount has not grown for `settled`, and returns it.
pub(super) fn until_steady(
    settled: Duration,
    mut amount: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut last = amount()?;
    while holds_within(settled, || {
        let next = amount()?;
        let has_grown = next > last;
        last = next.max(last);
        Ok(has_grown)
    })? {}
    Ok(last)
}

/// The result of a thread; a panic in it is an error.
pub(super) fn join<T>(thread: thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    let panicked = |_| io::Error::other("a thread of the experiment panicked");
    thread.join().map_err(panicked)?
}

/// No bytes, if the call would have blocked.
pub(super) fn unless_blocked(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}
