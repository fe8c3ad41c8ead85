//! The bytes that one client sends, and the verification of their echo.

use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::sync::OnceLock;

/// The period of the pattern: a prime, so that a shift by the size of a buffer is detected.
const PERIOD: usize = 65_521;

/// The most bytes per read or write.
const PIECE: usize = 16 * 1024;

/// How a connection ended, from the client's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As the client expects.
    Expected,
    /// The daemon reset it.
    Reset,
    /// The daemon sent FIN before the whole echo.
    EarlyFin,
    /// The echo differs from what was sent.
    Wrong,
    /// An expected event did not happen in time.
    TimedOut,
    /// The daemon or this machine refused the connection.
    NotConnected,
    /// Another error of the socket.
    OtherError,
}

impl End {
    pub(crate) const COUNT: usize = 7;

    pub(crate) const ALL: [End; End::COUNT] = [
        End::Expected,
        End::Reset,
        End::EarlyFin,
        End::Wrong,
        End::TimedOut,
        End::NotConnected,
        End::OtherError,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            End::Expected => "as expected",
            End::Reset => "reset",
            End::EarlyFin => "early FIN",
            End::Wrong => "wrong bytes",
            End::TimedOut => "timed out",
            End::NotConnected => "not connected",
            End::OtherError => "other error",
        }
    }

    fn of_error(kind: ErrorKind) -> End {
        match kind {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Reset,
            ErrorKind::ConnectionRefused | ErrorKind::TimedOut => End::NotConnected,
            _ => End::OtherError,
        }
    }
}

/// The number of connections by end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends([u64; End::COUNT]);

impl Ends {
    pub(crate) fn count(&mut self, end: End) {
        self.0[end as usize] += 1;
    }

    pub(crate) fn of(&self, end: End) -> u64 {
        self.0[end as usize]
    }

    /// The number of unexpected ends.
    pub(crate) fn errors(&self) -> u64 {
        self.0.iter().sum::<u64>() - self.of(End::Expected)
    }

    /// All counts that are not zero.
    pub(crate) fn summary(&self) -> String {
        let counts = End::ALL.into_iter().filter(|end| self.of(*end) > 0);
        let counts: Vec<_> = counts
            .map(|end| format!("{} {}", self.of(end), end.text()))
            .collect();
        if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        }
    }
}

/// The bytes at `offset` of the stream of `seed`; at most [`PIECE`] bytes.
fn pattern(seed: u64, offset: u64, length: usize) -> &'static [u8] {
    static TWICE: OnceLock<Vec<u8>> = OnceLock::new();
    let twice = TWICE.get_or_init(|| {
        let mut random = Random::new(1);
        let once: Vec<u8> = (0..PERIOD).map(|_| random.byte()).collect();
        once.repeat(2)
    });
    let start = usize::try_from((seed + offset) % PERIOD as u64).unwrap();
    &twice[start..start + length.min(PIECE)]
}

/// The two directions of one connection. Invariant: the first `received` bytes of the echo match.
#[derive(Debug)]
pub(crate) struct Echo {
    seed: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// What the reads of a connection end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// No more input for now.
    WouldBlock,
    /// The daemon's FIN.
    Fin,
}

impl Echo {
    pub(crate) fn new(seed: u64) -> Echo {
        Echo {
            seed,
            sent: 0,
            received: 0,
        }
    }

    /// Sends up to `goal` bytes, counted from the start of the stream; fewer if the kernel accepts no more.
    pub(crate) fn send_until(&mut self, stream: &mut TcpStream, goal: u64) -> Result<(), End> {
        while self.sent < goal {
            let length = usize::try_from(goal - self.sent).unwrap_or(PIECE);
            match stream.write(pattern(self.seed, self.sent, length)) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The socket is still connecting.
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(End::of_error(error.kind())),
            }
        }
        Ok(())
    }

    /// Reads and verifies all available input.
    pub(crate) fn receive(&mut self, stream: &mut TcpStream) -> Result<Input, End> {
        let mut buffer = [0; PIECE];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(Input::Fin),
                Ok(count) => {
                    let expected = pattern(self.seed, self.received, count);
                    self.received += count as u64;
                    if self.received > self.sent || buffer[..count] != *expected {
                        return Err(End::Wrong);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Input::WouldBlock);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => {
                    return Ok(Input::WouldBlock);
                }
                Err(error) => return Err(End::of_error(error.kind())),
            }
        }
    }
}

/// Pseudo-random numbers, the same in every run (xorshift64*; Vigna, "An experimental exploration", 2016).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A number in `range`.
    pub(crate) fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }
}
