//! The real network: mio's selector over the kernel's sockets.

use super::signals::signals_to_catch;
use super::sock_diag::SockDiag;
use super::stdio::{Direction, StandardStream};
use super::timer::Timer;
use super::{
    AcceptError, Ending, Key, ListenOptions, Net, Progress, Readiness, Ready, Signal, Source,
    Stream, Time, listener,
};
use mio::event::Event;
use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{SocketFlags, accept_with};
use signal_hook_mio::v1_0::Signals;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

// A key is carried by the selector as mio's `Token`, a `usize`.
const _: () = assert!(usize::BITS == 64, "echoloop needs a 64-bit machine");

/// How many events one wait takes from the kernel; more are given out by the next.
const EVENTS_PER_WAIT: usize = 1024;

/// The shortest time after which the kernel resets a closed connection that makes no progress. The kernel counts from when
/// the peer's window first was too small for the next segment, even if the peer then reads steadily, a little at a time;
/// so a shorter time would cut off slow readers of the last buffer.
const LEAST_ORPHAN_TIMEOUT: Duration = Duration::from_secs(10);

/// The kernel's sockets, clock and signals, over one mio `Poll`.
pub struct MioNet {
    poll: Poll,
    events: Events,
    /// The events of a wait in our words.
    translated: Box<[Ready]>,
    signals: Option<Signals>,
    timer: Option<Timer>,
    stdin: Option<StandardStream>,
    stdout: Option<StandardStream>,
    sock_diag: Option<SockDiag>,
    orphan_timeout: Option<Duration>,
    /// Always ready, and not yet told: no selector will do it.
    untold: Vec<Source>,
    origin: Instant,
}

impl MioNet {
    /// A network without signals: they have their usual effect on the process.
    ///
    /// # Errors
    /// What the selector says, such as no descriptor left.
    pub fn new() -> io::Result<MioNet> {
        Ok(MioNet {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_WAIT),
            translated: vec![always_ready(Source::TIMER); EVENTS_PER_WAIT].into_boxed_slice(),
            signals: None,
            timer: None,
            stdin: None,
            stdout: None,
            sock_diag: None,
            orphan_timeout: None,
            untold: Vec::new(),
            origin: Instant::now(),
        })
    }

    /// A network to which SIGTERM, SIGINT and SIGHUP come as events under [`Source::SIGNALS`]. SIGINT and SIGHUP stay
    /// ignored where the process inherited them so, as under `nohup`.
    ///
    /// # Errors
    /// As [`MioNet::new`], and when the signals cannot be caught.
    pub fn with_signals() -> io::Result<MioNet> {
        let mut net = MioNet::new()?;
        let mut signals = Signals::new(signals_to_catch())?;
        let token = token(Key::of_source(Source::SIGNALS));
        let registry = net.poll.registry();
        registry.register(&mut signals, token, Interest::READABLE)?;
        net.signals = Some(signals);
        Ok(net)
    }

    /// From now on sleeps end to the microsecond, not to the millisecond that `epoll_wait(2)` counts in.
    ///
    /// # Errors
    /// What `timerfd_create(2)` or the selector say.
    pub fn keep_time_precisely(&mut self) -> io::Result<()> {
        let timer = Timer::new()?;
        self.watch(timer.descriptor(), Source::TIMER, Interest::READABLE)?;
        self.timer = Some(timer);
        Ok(())
    }

    /// From now on standard input can be read, and its readiness is told.
    ///
    /// # Errors
    /// What it says when looked at, or the selector.
    pub fn take_stdin(&mut self) -> io::Result<()> {
        let stdin = StandardStream::open(Direction::In)?;
        self.watch_standard(&stdin, Source::STDIN, Interest::READABLE)?;
        self.stdin = Some(stdin);
        Ok(())
    }

    /// From now on standard output can be written to, and its readiness is told.
    ///
    /// # Errors
    /// As [`take_stdin`](MioNet::take_stdin).
    pub fn take_stdout(&mut self) -> io::Result<()> {
        let stdout = StandardStream::open(Direction::Out)?;
        self.watch_standard(&stdout, Source::STDOUT, Interest::WRITABLE)?;
        self.stdout = Some(stdout);
        Ok(())
    }

    /// Opens a socket to `sock_diag`, so that [`progress`](Net::progress) has answers. It takes one file descriptor.
    ///
    /// # Errors
    /// What `socket(2)` says, or that the kernel lacks `tcp_diag`.
    pub fn open_sock_diag(&mut self) -> io::Result<()> {
        self.sock_diag = Some(SockDiag::open()?);
        Ok(())
    }

    /// Lets the kernel reset a closed connection whose peer acknowledges no byte, or keeps its window at zero, for
    /// `timeout`, or [`LEAST_ORPHAN_TIMEOUT`] if that is longer. Otherwise such a connection keeps its memory for minutes,
    /// where no limit counts it.
    pub fn set_orphan_timeout(&mut self, timeout: Duration) {
        // The kernel takes an int of milliseconds (tcp(7), TCP_USER_TIMEOUT).
        let most = Duration::from_millis(i32::MAX.unsigned_abs().into());
        self.orphan_timeout = Some(timeout.clamp(LEAST_ORPHAN_TIMEOUT, most));
    }

    fn watch_standard(
        &mut self,
        stream: &StandardStream,
        source: Source,
        interest: Interest,
    ) -> io::Result<()> {
        if stream.is_always_ready() {
            self.untold.push(source);
            return Ok(());
        }
        self.watch(stream.descriptor(), source, interest)
    }

    fn watch(&mut self, descriptor: RawFd, source: Source, interest: Interest) -> io::Result<()> {
        let token = token(Key::of_source(source));
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&descriptor), token, interest)
    }

    /// What the selector is to wait for at most, when `timeout` is asked for: a timer may see to it.
    fn selector_timeout(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.untold.is_empty() {
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
    /// The standard library's stream, because it is four bytes in every build and mio adds nothing on Linux: readiness
    /// is asked for by descriptor.
    type Stream = TcpStream;

    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let timeout = self.selector_timeout(timeout);
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        // Into places that are there, and then all at once: to push each would ask for room each time.
        let mut count = 0;
        for (place, event) in self.translated.iter_mut().zip(&self.events) {
            *place = ready_of(event);
            count += 1;
        }
        ready.extend_from_slice(&self.translated[..count]);
        if self.timer.is_some() {
            ready.retain(|event| event.key != Key::of_source(Source::TIMER));
        }
        ready.extend(self.untold.drain(..).map(always_ready));
        Ok(())
    }

    fn listen(&mut self, options: &ListenOptions, source: Source) -> io::Result<TcpListener> {
        let mut listener = TcpListener::from_std(listener::open(options)?);
        let token = token(Key::of_source(source));
        let registry = self.poll.registry();
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(listener)
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
        let mut asked = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::ZERO) != Ok(0)
    }

    fn connect(&mut self, target: SocketAddr, local: Option<SocketAddr>) -> io::Result<TcpStream> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(target), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_out_of_band_inline(true)?;
        if let Some(local) = local {
            if local.port() == 0 {
                // The port is picked by connect, which knows the target: so one address has its ports once for each
                // target, and not once (ip(7)).
                setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            }
            socket.bind(&SockAddr::from(local))?;
        }
        match socket.connect(&SockAddr::from(target)) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
            _ => Ok(socket.into()),
        }
    }

    fn register(&mut self, stream: &TcpStream, key: Key, writable: bool) -> io::Result<()> {
        let descriptor = stream.as_raw_fd();
        let mut source = SourceFd(&descriptor);
        let registry = self.poll.registry();
        registry.register(&mut source, token(key), interest(writable))
    }

    fn watch_writable(&mut self, stream: &TcpStream, key: Key) -> io::Result<()> {
        let descriptor = stream.as_raw_fd();
        let mut source = SourceFd(&descriptor);
        let registry = self.poll.registry();
        registry.reregister(&mut source, token(key), interest(true))
    }

    fn progress(&mut self, stream: &TcpStream) -> Option<Progress> {
        let sock_diag = self.sock_diag.as_mut()?;
        sock_diag.progress(stream.local_addr().ok()?, stream.peer_addr().ok()?)
    }

    fn close(&mut self, stream: TcpStream, ending: Ending) {
        match ending {
            // Lingering for zero seconds makes close send RST (socket(7), SO_LINGER). Should it fail, it is a FIN.
            Ending::Reset => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            // Not before: on an open connection the user timeout replaces that of keepalive.
            Ending::Fin if self.orphan_timeout.is_some() => {
                let _ = SockRef::from(&stream).set_tcp_user_timeout(self.orphan_timeout);
            }
            Ending::Fin | Ending::Empty => {}
        }
        // Closing the only descriptor of a socket takes it out of epoll (epoll(7), question 6).
        drop(stream);
    }

    fn read_stdin(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stdin {
            Some(stdin) => stdin.read(buffer),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn write_stdout(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stdout {
            Some(stdout) => stdout.write(bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn take_signal(&mut self) -> Option<Signal> {
        let mut pending = self.signals.as_mut()?.pending();
        pending.find_map(Signal::from_number)
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
        // The kernel says yes while a third of the send buffer is free, and takes a write whole that fits a segment
        // (`sk_stream_is_writeable` in its sources); with a no it begins to look out for room.
        let mut asked = [PollFd::new(self.as_fd(), PollFlags::POLLOUT)];
        poll(&mut asked, PollTimeout::ZERO) != Ok(0)
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

fn always_ready(source: Source) -> Ready {
    Ready {
        key: Key::of_source(source),
        readiness: Readiness::READABLE | Readiness::WRITABLE,
    }
}

fn interest(writable: bool) -> Interest {
    let input = Interest::READABLE | Interest::PRIORITY;
    if writable {
        input | Interest::WRITABLE
    } else {
        input
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "usize has 64 bits, asserted above"
)]
fn token(key: Key) -> Token {
    Token(key.to_u64() as usize)
}

#[inline]
fn ready_of(event: &Event) -> Ready {
    let readiness = Readiness::READABLE.when(event.is_readable())
        | Readiness::WRITABLE.when(event.is_writable());
    Ready {
        key: Key::from_u64(event.token().0 as u64),
        readiness: if event.is_read_closed() || event.is_error() || event.is_priority() {
            readiness | closing(event)
        } else {
            readiness
        },
    }
}

/// What an event says beyond plain readiness: with an end, an error or urgent data, there is something to be learnt.
#[cold]
fn closing(event: &Event) -> Readiness {
    Readiness::READABLE | Readiness::DRAIN | Readiness::WRITABLE.when(event.is_write_closed())
}
