//! Test clients: plain connections, resets, a client that sends more than the daemon buffers, and random data.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::TcpTable;

/// Connects; reads and writes have a timeout, and small writes are sent at once (`TCP_NODELAY`).
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    with_timeouts(stream)
}

/// As [`connect`], with `SO_SNDBUF` and `SO_RCVBUF` of this size, so that the kernel buffers little.
#[track_caller]
pub(crate) fn connect_with_buffers(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_send_buffer_size(bytes).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket
        .connect_timeout(&address.into(), PATIENCE)
        .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    with_timeouts(socket.into())
}

fn with_timeouts(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `message`, which must fit into the kernel's buffers, and reads it back.
#[track_caller]
pub(crate) fn assert_echo(stream: &mut TcpStream, message: &[u8]) {
    stream
        .write_all(message)
        .unwrap_or_else(|error| panic!("sending {}: {error}", brief(message)));
    assert_reads(stream, message);
}

/// Reads as many bytes as `expected` has and compares them.
#[track_caller]
pub(crate) fn assert_reads(stream: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    if let Err(error) = stream.read_exact(&mut received) {
        panic!("waiting for the echo of {}: {error}", brief(expected));
    }
    assert!(
        received == expected,
        "sent {}, received {}",
        brief(expected),
        brief(&received)
    );
}

/// Reads to the daemon's FIN and returns the bytes; a reset is a failure.
#[track_caller]
pub(crate) fn read_to_fin(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => received,
        Err(error) => panic!("instead of a FIN, after {} bytes: {error}", received.len()),
    }
}

/// Reads and drops bytes until the daemon resets the connection; a FIN is a failure.
#[track_caller]
pub(crate) fn assert_reset(mut stream: TcpStream) {
    let read = io::copy(&mut stream, &mut io::sink());
    let error = read.expect_err("a reset, not a FIN");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// A connection after one echo; `None` if the daemon has refused it.
pub(crate) fn served(address: SocketAddr) -> Option<TcpStream> {
    echoed(TcpStream::connect_timeout(&address, PATIENCE).ok()?)
}

/// The connection after one echo; `None` if the daemon has refused it.
pub(crate) fn echoed(stream: TcpStream) -> Option<TcpStream> {
    let mut stream = with_timeouts(stream);
    stream.write_all(b"?").ok()?;
    let mut reply = [0];
    stream.read_exact(&mut reply).ok()?;
    assert_eq!(reply, *b"?", "the echo of `?`");
    Some(stream)
}

/// Connects, and is reset before a byte.
#[track_caller]
pub(crate) fn assert_refused(address: SocketAddr) {
    // On a busy machine the reset may arrive before connect returns.
    match TcpStream::connect(address) {
        Ok(stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_reset(stream);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// Sends `data`, half-closes and, at the same time, reads to the daemon's FIN.
#[track_caller]
pub(crate) fn exchange(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    let mut sender = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender
                .write_all(data)
                .expect("the daemon reads everything while its output is read");
            sender
                .shutdown(Shutdown::Write)
                .expect("the connection is still established");
        });
        read_to_fin(stream)
    })
}

/// Closes with RST instead of FIN.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// Waits until the daemon has closed its listener.
#[track_caller]
pub(crate) fn assert_refused_soon(address: SocketAddr) {
    eventually(PATIENCE, "new connections are refused", || {
        let refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
        TcpStream::connect_timeout(&address, PATIENCE).is_err_and(refused)
    });
}

fn brief(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(40)];
    format!("{} bytes `{}..`", bytes.len(), start.escape_ascii())
}

/// Reproducible random numbers: `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
/// 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 1 to `most`.
    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap();
        1 + usize::try_from(self.next() % most).unwrap()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .take(length)
            .collect()
    }
}

/// A prime, so that a power of two of bytes lost or duplicated is detected.
const PERIOD: usize = 65_521;

/// Two periods of the text of every bulk sender: a whole period follows each position in the first.
static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| Random(862).bytes(PERIOD).repeat(2));

/// How long the kernel must accept no byte before senders count as blocked: longer than a delayed ACK (200 ms).
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// A client that sends an endless known text and verifies each byte of its echo.
pub(crate) struct BulkSender {
    pub(crate) stream: TcpStream,
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl BulkSender {
    /// Connects with small kernel buffers, so that the daemon soon has pending output if the client does not read.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = connect_with_buffers(address, 16 * 1024);
        Self {
            stream,
            sent: 0,
            received: 0,
        }
    }

    /// A client that sent until it was blocked and has read nothing: the daemon holds pending output for it.
    #[track_caller]
    pub(crate) fn with_pending_output(daemon: &Daemon) -> Self {
        let mut senders = [Self::connect(daemon.address())];
        eventually(PATIENCE, "the daemon has pending output", || {
            send_until_blocked(&mut senders, 64 << 20);
            senders[0].progress(daemon, &TcpTable::read()).pending > 0
        });
        let [sender] = senders;
        sender
    }

    /// Sends what the kernel accepts without blocking, up to `total` bytes since the start; returns the count.
    #[track_caller]
    pub(crate) fn send_up_to(&mut self, total: usize) -> usize {
        match self.try_send_up_to(total) {
            Ok(count) => count,
            Err(error) => panic!("sending, after {} bytes: {error}", self.sent),
        }
    }

    /// As [`Self::send_up_to`], if the daemon may have reset the connection.
    pub(crate) fn try_send_up_to(&mut self, total: usize) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let before = self.sent;
        while self.sent < total {
            let start = self.sent % PERIOD;
            let length = PERIOD.min(total - self.sent);
            match self.stream.write(&TEXT[start..start + length]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.sent - before)
    }

    /// Reads and verifies what is available; returns whether the daemon's FIN followed.
    #[track_caller]
    pub(crate) fn receive_available(&mut self) -> bool {
        match self.try_receive_available() {
            Ok(fin) => fin,
            Err(error) => panic!("reading, after {} bytes: {error}", self.received),
        }
    }

    /// As [`Self::receive_available`], if the daemon may have reset the connection.
    #[track_caller]
    pub(crate) fn try_receive_available(&mut self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => self.check(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads to the daemon's FIN and verifies every byte.
    #[track_caller]
    pub(crate) fn receive_to_fin(&mut self) {
        self.stream.set_nonblocking(false).unwrap();
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => self.check(&buffer[..count]),
                Err(error) => panic!("instead of a FIN, after {} bytes: {error}", self.received),
            }
        }
    }

    #[track_caller]
    fn check(&mut self, piece: &[u8]) {
        let start = self.received % PERIOD;
        let right = piece == &TEXT[start..start + piece.len()];
        assert!(
            right,
            "echo mismatch in {} bytes after {} correct ones",
            piece.len(),
            self.received
        );
        self.received += piece.len();
        assert!(
            self.received <= self.sent,
            "more bytes received than the {} sent",
            self.sent
        );
    }

    /// What the daemon has read and what of it is pending; exact while no byte is in transit.
    #[track_caller]
    pub(crate) fn progress(&self, daemon: &Daemon, table: &TcpTable) -> Progress {
        let (here, there) = (self.stream.local_addr().unwrap(), daemon.address());
        let (ours, theirs) = (table.socket(here, there), table.socket(there, here));
        // While bytes are in transit, one may be counted twice.
        let read = self
            .sent
            .saturating_sub(ours.unacknowledged + theirs.unread);
        let written = self.received + ours.unread + theirs.unacknowledged;
        Progress {
            read,
            pending: read.saturating_sub(written),
        }
    }
}

/// The daemon's side of a [`BulkSender`], computed from the kernel's socket table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Bytes that the daemon has read.
    pub(crate) read: usize,
    /// Bytes of these that are pending output.
    pub(crate) pending: usize,
}

/// Sends on all of them, reading nothing, until the kernel has accepted no byte from any of them for [`QUIET`].
#[track_caller]
pub(crate) fn send_until_blocked(senders: &mut [BulkSender], total: usize) {
    if let Err(error) = try_send_until_blocked(senders, total, QUIET) {
        panic!("sending: {error}");
    }
}

/// As [`send_until_blocked`], if the daemon may have reset a connection.
#[track_caller]
pub(crate) fn try_send_until_blocked(
    senders: &mut [BulkSender],
    total: usize,
    quiet: Duration,
) -> io::Result<()> {
    send_until_quiet(quiet, || {
        let counts = senders
            .iter_mut()
            .map(|sender| sender.try_send_up_to(total));
        counts.sum::<io::Result<usize>>()
    })?;
    for sender in senders {
        assert!(
            sender.sent < total,
            "back-pressure never stopped a client that does not read"
        );
    }
    Ok(())
}

/// Writes without blocking; returns the count, 0 if the kernel has no room.
pub(crate) fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.set_nonblocking(true)?;
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// Repeats `send`, which returns the count of bytes sent, until it has sent nothing for this time. The last attempt
/// begins when the time is over: while this process did not run, the peer may have made room.
pub(crate) fn send_until_quiet(
    quiet: Duration,
    mut send: impl FnMut() -> io::Result<usize>,
) -> io::Result<()> {
    let mut last = Instant::now();
    loop {
        let is_over = last.elapsed() >= quiet;
        if send()? > 0 {
            last = Instant::now();
        } else if is_over {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asserts that a quarter of the rounds took less than 20 ms: Nagle's algorithm delays nearly each by a delayed ACK, 40 ms
/// or more, and a busy machine only some of them.
#[track_caller]
pub(crate) fn assert_no_nagle_delay(rounds: impl Iterator<Item = Duration>) {
    let mut rounds: Vec<Duration> = rounds.collect();
    rounds.sort_unstable();
    let quarter = rounds[rounds.len() / 4];
    assert!(quarter < Duration::from_millis(20), "{rounds:?}");
}
