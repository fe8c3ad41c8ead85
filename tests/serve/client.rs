//! The other end of the wire: plain clients, resets, a client that sends more than anyone will hold, and chance.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::{Daemon, PATIENCE, eventually};
use crate::machine::TcpTable;

/// A connection on which no read or write can hang for ever, and which sends small pieces at once.
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    made_ready(stream)
}

/// As [`connect`], with `SO_SNDBUF` and `SO_RCVBUF` of this size, so that little stays in the kernel.
#[track_caller]
pub(crate) fn connect_with_buffers(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_send_buffer_size(bytes).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket
        .connect_timeout(&address.into(), PATIENCE)
        .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    made_ready(socket.into())
}

fn made_ready(stream: TcpStream) -> TcpStream {
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

/// Reads as many bytes as expected; they must be the ones expected.
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

/// Reads to the daemon's FIN; a reset is a failure.
#[track_caller]
pub(crate) fn read_to_fin(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => received,
        Err(error) => panic!("instead of a FIN, after {} bytes: {error}", received.len()),
    }
}

/// Reads, dropping what comes, until the daemon's reset; a FIN is not one.
#[track_caller]
pub(crate) fn assert_reset(mut stream: TcpStream) {
    let read = io::copy(&mut stream, &mut io::sink());
    let error = read.expect_err("a reset is expected, and here is a FIN");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Sends everything, half-closes, and reads to the daemon's FIN at the same time.
#[track_caller]
pub(crate) fn exchange(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    let mut sender = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender
                .write_all(data)
                .expect("the daemon takes everything while it is read from");
            sender
                .shutdown(Shutdown::Write)
                .expect("the connection still stands");
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

/// The daemon listens no more, or soon will not.
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

/// Reproducible chance: `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 1 up to `most`.
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

/// A prime, so that no power of two of bytes lost or doubled goes unseen.
const PERIOD: usize = 65_521;

/// Two periods of the text of every torrent: from each place in the first, a whole period follows.
static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| Random(862).bytes(PERIOD).repeat(2));

/// How long nothing must move before a torrent counts as stuck: longer than a delayed ACK (200 ms).
const QUIET: Duration = Duration::from_millis(300);

/// A client that sends one endless known text, and knows of each byte that comes back whether it is right.
pub(crate) struct Torrent {
    pub(crate) stream: TcpStream,
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl Torrent {
    /// Small kernel buffers on this side, so that the daemon soon feels that nobody reads.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = connect_with_buffers(address, 16 * 1024);
        Self {
            stream,
            sent: 0,
            received: 0,
        }
    }

    /// One that has sent all that it could, has read nothing, and is owed bytes from the daemon's own memory.
    #[track_caller]
    pub(crate) fn never_reading(daemon: &Daemon) -> Self {
        let mut torrents = [Self::connect(daemon.address())];
        push_until_stuck(&mut torrents, 64 << 20);
        let [torrent] = torrents;
        let account = torrent.account(daemon, &TcpTable::read());
        assert!(
            account.owed > 0,
            "the daemon owes nothing, so this shows nothing: {account:?}"
        );
        torrent
    }

    /// Sends what the kernel takes at once, up to `total` since the start; tells how much that was.
    #[track_caller]
    pub(crate) fn push(&mut self, total: usize) -> usize {
        match self.push_unless_reset(total) {
            Ok(count) => count,
            Err(error) => panic!("sending, after {} bytes: {error}", self.sent),
        }
    }

    /// The same, where the daemon may have reset the connection.
    pub(crate) fn push_unless_reset(&mut self, total: usize) -> io::Result<usize> {
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

    /// Reads what is there, checks it, and tells whether the daemon's FIN was behind it.
    #[track_caller]
    pub(crate) fn pull(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => self.check(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("reading, after {} bytes: {error}", self.received),
            }
        }
    }

    /// Reads everything to the daemon's FIN, and checks it.
    #[track_caller]
    pub(crate) fn pull_to_fin(&mut self) {
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
            "wrong bytes within {} after {}",
            piece.len(),
            self.received
        );
        self.received += piece.len();
        assert!(
            self.received <= self.sent,
            "more came back than the {} bytes sent",
            self.sent
        );
    }

    /// What the daemon has taken and given back so far; exact while nothing moves.
    #[track_caller]
    pub(crate) fn account(&self, daemon: &Daemon, table: &TcpTable) -> Account {
        let (here, there) = (self.stream.local_addr().unwrap(), daemon.address());
        let (mine, its) = (table.socket(here, there), table.socket(there, here));
        // While something moves, a byte may be counted twice.
        let read = self.sent.saturating_sub(mine.unacknowledged + its.unread);
        let written = self.received + mine.unread + its.unacknowledged;
        Account {
            read,
            owed: read.saturating_sub(written),
        }
    }
}

/// The daemon's side of a torrent, as the kernel's tables show it from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// Bytes that the daemon has read.
    pub(crate) read: usize,
    /// Bytes of these that it holds in its own memory.
    pub(crate) owed: usize,
}

/// All of them send, and none reads, until the kernel has taken nothing from any of them for a while.
#[track_caller]
pub(crate) fn push_until_stuck(torrents: &mut [Torrent], total: usize) {
    let mut last_progress = Instant::now();
    while last_progress.elapsed() < QUIET {
        let taken: usize = torrents.iter_mut().map(|torrent| torrent.push(total)).sum();
        if taken > 0 {
            last_progress = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    for torrent in torrents {
        assert!(
            torrent.sent < total,
            "nothing ever held back a client that does not read"
        );
    }
}
