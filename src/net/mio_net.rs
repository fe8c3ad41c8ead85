//! The network of the operating system: the kernel's sockets, over a mio selector (epoll).

mod event;
mod nested;

use super::signals::signals_to_catch;
use super::sock_diag::SockDiag;
use super::timer::Timer;
use super::{
    AcceptError, Ending, Key, ListenOptions, Net, Progress, Ready, Signal, Source, Stream, Time,
    listener,
};
use event::{always_ready, interest, ready_of, token};
use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::time::{ClockId, clock_gettime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use signal_hook_mio::v1_0::Signals;
use socket2::{SockAddr, SockRef};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The number of events that one wait takes from the kernel; the next wait takes the rest.
const EVENTS_PER_WAIT: usize = 1024;

/// The shortest time after which the kernel may reset a closed connection that makes no progress. The kernel counts
/// from the moment when the peer's window became too small for the next segment, even if the peer reads steadily in
/// small amounts. A shorter time would cut off slow readers of the last output.
const MIN_ORPHAN_TIMEOUT: Duration = Duration::from_secs(10);

/// The kernel's sockets, clock and signals, over one mio `Poll`.
pub struct MioNet {
    poll: Poll,
    events: Events,
    /// The events of a wait, translated.
    translated: Box<[Ready]>,
    signals: Option<Signals>,
    /// SIGHUP is a request to reload.
    reloads: bool,
    timer: Option<Timer>,
    sock_diag: Option<SockDiag>,
    orphan_timeout: Option<Duration>,
    /// Sources that are always ready and that epoll refuses; the next wait reports them, once.
    unreported: Vec<Source>,
    /// Another network watches the selector, so a wait never blocks.
    is_nested: bool,
    /// The origin of [`Time`] on the monotonic clock of the system.
    origin_nanos: u64,
}

impl MioNet {
    /// A network without signals: they keep their default effect on the process.
    ///
    /// # Errors
    /// The selector cannot be created, for example because no file descriptor is left.
    pub fn new() -> io::Result<MioNet> {
        Ok(MioNet {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_WAIT),
            translated: vec![always_ready(Source::TIMER); EVENTS_PER_WAIT].into_boxed_slice(),
            signals: None,
            reloads: false,
            timer: None,
            sock_diag: None,
            orphan_timeout: None,
            unreported: Vec::new(),
            is_nested: false,
            origin_nanos: monotonic_nanos(),
        })
    }

    /// A network that reports SIGTERM, SIGINT and SIGHUP as events of [`Source::SIGNALS`]. SIGINT and SIGHUP stay
    /// ignored if the process inherited them as ignored, as under `nohup`.
    ///
    /// # Errors
    /// As for [`MioNet::new`], and if the signals cannot be caught.
    pub fn with_signals() -> io::Result<MioNet> {
        let mut net = MioNet::new()?;
        let mut signals = Signals::new(signals_to_catch())?;
        net.register_source(&mut signals, Source::SIGNALS, Interest::READABLE)?;
        net.signals = Some(signals);
        Ok(net)
    }

    /// Makes timeouts of [`wait`](Net::wait) precise to the microsecond; `epoll_wait(2)` counts milliseconds. It takes
    /// one file descriptor.
    ///
    /// # Errors
    /// See `timerfd_create(2)` and `epoll_ctl(2)`.
    pub fn use_precise_timer(&mut self) -> io::Result<()> {
        let timer = Timer::new()?;
        self.watch_fd(&timer.fd, Source::TIMER, false)?;
        self.timer = Some(timer);
        Ok(())
    }

    /// Reports the readiness of a non-blocking file descriptor as `source`: input, or with `writable` output space. It
    /// stays registered until it is closed.
    ///
    /// A regular file is always ready, so epoll refuses it; then the next wait reports it, once.
    ///
    /// # Errors
    /// See `epoll_ctl(2)`.
    pub fn watch_fd(&mut self, fd: &impl AsFd, source: Source, writable: bool) -> io::Result<()> {
        let interest = if writable {
            Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        let registered =
            self.register_source(&mut SourceFd(&fd.as_fd().as_raw_fd()), source, interest);
        match registered {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => {
                self.unreported.push(source);
                Ok(())
            }
            registered => registered,
        }
    }

    /// Opens a `sock_diag` socket, which [`progress`](Net::progress) needs. It takes one file descriptor.
    ///
    /// # Errors
    /// See `socket(2)`; `NotFound` if the kernel lacks `tcp_diag`.
    pub fn open_sock_diag(&mut self) -> io::Result<()> {
        self.sock_diag = Some(SockDiag::open()?);
        Ok(())
    }

    /// Lets the kernel reset a closed connection whose peer acknowledges no byte, or keeps its window at zero, for
    /// `timeout`, but at least 10 s. By default the kernel keeps the memory of such a connection for minutes, where no
    /// limit counts it.
    pub fn set_orphan_timeout(&mut self, timeout: Duration) {
        // The kernel takes an int of milliseconds (tcp(7), TCP_USER_TIMEOUT).
        let max = Duration::from_millis(i32::MAX.unsigned_abs().into());
        self.orphan_timeout = Some(timeout.clamp(MIN_ORPHAN_TIMEOUT, max));
    }

    /// The origin of the clock, for [`set_origin`](MioNet::set_origin): nanoseconds on the monotonic clock of the system,
    /// which all its processes share.
    #[must_use]
    pub fn origin(&self) -> u64 {
        self.origin_nanos
    }

    /// Continues the clock of another process. Times that the other process has saved stay valid.
    pub fn set_origin(&mut self, origin: u64) {
        self.origin_nanos = origin;
    }

    /// The clock of this network, for [`Traced::start`](super::Traced::start). It does not follow
    /// [`set_origin`](MioNet::set_origin).
    pub fn clock(&self) -> impl Fn() -> Time + use<> {
        let origin = self.origin_nanos;
        move || Time::from_nanos(monotonic_nanos().saturating_sub(origin))
    }

    /// A listener that another process has opened.
    #[must_use]
    pub fn listener(socket: OwnedFd) -> TcpListener {
        TcpListener::from_std(socket.into())
    }

    /// The socket for queries, for a process that takes over the connections.
    pub fn sock_diag_fd(&self) -> Option<BorrowedFd<'_>> {
        self.sock_diag.as_ref().map(SockDiag::fd)
    }

    /// Uses a socket that another process has opened for queries.
    pub fn adopt_sock_diag(&mut self, socket: OwnedFd) {
        self.sock_diag = Some(SockDiag::from_fd(socket));
    }

    /// Also catches SIGUSR2, which requests an upgrade, and SIGUSR1, which requests a report, and takes SIGHUP as a request
    /// to reload. To be called after [`with_signals`](MioNet::with_signals).
    ///
    /// # Errors
    /// See sigaction(2).
    pub fn catch_requests(&mut self) -> io::Result<()> {
        self.reloads = true;
        match &mut self.signals {
            Some(signals) => signals
                .add_signal(SIGUSR2)
                .and_then(|()| signals.add_signal(SIGUSR1)),
            None => Ok(()),
        }
    }

    fn register_source(
        &self,
        io: &mut impl mio::event::Source,
        source: Source,
        interest: Interest,
    ) -> io::Result<()> {
        let token = token(Key::of_source(source));
        self.poll.registry().register(io, token, interest)
    }

    /// The timeout to pass to epoll for a wait of `timeout`, which the timer may end.
    fn epoll_timeout(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        if self.is_nested || !self.unreported.is_empty() {
            return Some(Duration::ZERO);
        }
        match (&mut self.timer, timeout) {
            (Some(timer), Some(timeout)) if timeout > Duration::ZERO => timer.wake_in(timeout),
            _ => timeout,
        }
    }
}

impl Net for MioNet {
    type Listener = TcpListener;
    /// The standard library's stream: it has four bytes in every build, and mio's adds nothing on Linux, since
    /// registration is by file descriptor.
    type Stream = TcpStream;

    #[inline]
    fn now(&self) -> Time {
        Time::from_nanos(monotonic_nanos().saturating_sub(self.origin_nanos))
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let timeout = self.epoll_timeout(timeout);
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        // Translated in place and copied at once: a push per event would check the capacity each time.
        let mut count = 0;
        for (translated, event) in self.translated.iter_mut().zip(&self.events) {
            *translated = ready_of(event);
            count += 1;
        }
        ready.extend_from_slice(&self.translated[..count]);
        if self.timer.is_some() {
            ready.retain(|event| event.key != Key::of_source(Source::TIMER));
        }
        ready.extend(self.unreported.drain(..).map(always_ready));
        Ok(())
    }

    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<TcpListener> {
        let mut listener = TcpListener::from_std(listener::open(options)?);
        self.register_listener(&mut listener, source)?;
        Ok(listener)
    }

    fn register_listener(&mut self, listener: &mut TcpListener, source: Source) -> io::Result<()> {
        self.register_source(listener, source, Interest::READABLE)
    }

    fn close_listener(&mut self, mut listener: TcpListener) {
        // An error would be that it is not registered.
        let _ = self.poll.registry().deregister(&mut listener);
    }

    fn local_addr(&self, listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    fn accept_from(
        &mut self,
        listener: &TcpListener,
    ) -> Result<(TcpStream, SocketAddr), AcceptError> {
        let (stream, peer) = listener.accept()?;
        Ok((stream.into(), peer))
    }

    fn accept(&mut self, listener: &TcpListener) -> Result<TcpStream, AcceptError> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let stream = accept_with(listener, flags).map_err(io::Error::from)?;
        Ok(stream.into())
    }

    fn has_waiting(&mut self, listener: &TcpListener) -> bool {
        is_ready_or_failed(listener, PollFlags::IN)
    }

    fn connect(&mut self, target: SocketAddr, local: Option<SocketAddr>) -> io::Result<TcpStream> {
        let socket = listener::tcp_socket(target)?;
        if let Some(local) = local {
            if local.port() == 0 {
                // connect chooses the port, for its target. So each address has all its ports for each target, not only
                // once (ip(7)).
                setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            }
            socket.bind(&SockAddr::from(local))?;
        }
        match socket.connect(&SockAddr::from(target)) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
            _ => Ok(socket.into()),
        }
    }

    fn register(&mut self, stream: &TcpStream, key: Key, writable: bool) -> io::Result<()> {
        let (fd, registry) = (stream.as_raw_fd(), self.poll.registry());
        registry.register(&mut SourceFd(&fd), token(key), interest(writable))
    }

    fn watch_writable(&mut self, stream: &TcpStream, key: Key) -> io::Result<()> {
        let (fd, registry) = (stream.as_raw_fd(), self.poll.registry());
        registry.reregister(&mut SourceFd(&fd), token(key), interest(true))
    }

    fn progress(&mut self, stream: &TcpStream) -> Option<Progress> {
        let sock_diag = self.sock_diag.as_mut()?;
        sock_diag.progress(stream.local_addr().ok()?, stream.peer_addr().ok()?)
    }

    fn close(&mut self, stream: TcpStream, ending: Ending) {
        match ending {
            // With a linger time of zero, close sends RST (socket(7), SO_LINGER). If setting it fails, close sends FIN.
            Ending::Reset => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            // Only at the close: on an open connection the user timeout would replace the timeout of keepalive.
            Ending::Fin if self.orphan_timeout.is_some() => {
                let _ = SockRef::from(&stream).set_tcp_user_timeout(self.orphan_timeout);
            }
            Ending::Fin | Ending::Empty => {}
        }
        // Closing the only file descriptor of a socket removes it from epoll (epoll(7), question 6).
        drop(stream);
    }

    fn take_signal(&mut self) -> Option<Signal> {
        let mut pending = self.signals.as_mut()?.pending();
        pending.find_map(|number| Signal::from_number(number, self.reloads))
    }
}

impl Stream for TcpStream {
    const SHORT_READ_DRAINS: bool = true;

    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn takes_output(&mut self) -> bool {
        // The kernel reports POLLOUT while a third of the send buffer is free, and then accepts a write of up to a
        // segment completely (`sk_stream_is_writeable`). Otherwise this call arms the edge.
        is_ready_or_failed(self, PollFlags::OUT)
    }

    fn is_at_fin(&mut self) -> bool {
        matches!(self.peek(&mut [0]), Ok(0))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        TcpStream::take_error(self)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        TcpStream::peer_addr(self)
    }
}

/// The monotonic clock of the system. Read without `Instant`, whose checked arithmetic takes longer than the clock itself:
/// the load tester reads it for every message. By libc and not by rustix, which calls the vDSO even under valgrind, where
/// it is not mapped.
#[inline]
fn monotonic_nanos() -> u64 {
    // It cannot fail: the clock exists on every system with epoll.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        let seconds = now.tv_sec().cast_unsigned() * 1_000_000_000;
        seconds + now.tv_nsec().cast_unsigned()
    })
}

/// Whether poll(2) reports an event now. True if it fails: the next call on the file descriptor returns the error.
fn is_ready_or_failed(fd: &impl AsFd, events: PollFlags) -> bool {
    poll(&mut [PollFd::new(fd, events)], Some(&Timespec::default())) != Ok(0)
}
