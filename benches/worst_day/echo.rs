//! Bytes that are told apart from one another, and what one client has sent of them and got back.

use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::sync::OnceLock;

/// After how many bytes the pattern begins anew: a prime, so that no buffer's size hides a shift.
const PERIOD: usize = 65_521;

/// The most bytes that are written or read at once.
const PIECE: usize = 16 * 1024;

/// How a client's connection ended, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As the client meant it to end.
    AsMeant,
    /// The daemon reset it.
    Reset,
    /// The daemon sent FIN before everything had come back.
    EarlyFin,
    /// What came back is not what was sent.
    Wrong,
    /// Something that had to come did not come in time.
    Silent,
    /// It was not connected: the daemon or this machine refused.
    NotConnected,
    /// Another error of the socket.
    OtherError,
}

impl End {
    pub(crate) const COUNT: usize = 7;

    pub(crate) const ALL: [End; End::COUNT] = [
        End::AsMeant,
        End::Reset,
        End::EarlyFin,
        End::Wrong,
        End::Silent,
        End::NotConnected,
        End::OtherError,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            End::AsMeant => "as meant",
            End::Reset => "reset",
            End::EarlyFin => "early FIN",
            End::Wrong => "wrong bytes",
            End::Silent => "silent",
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

/// How many connections ended in which way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends([u64; End::COUNT]);

impl Ends {
    pub(crate) fn count(&mut self, end: End) {
        self.0[end as usize] += 1;
    }

    pub(crate) fn of(&self, end: End) -> u64 {
        self.0[end as usize]
    }

    /// How many ended otherwise than they were meant to.
    pub(crate) fn errors(&self) -> u64 {
        self.0.iter().sum::<u64>() - self.of(End::AsMeant)
    }

    /// The counts that are not zero.
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

/// What stands at `offset` of the stream that `seed` begins; at most [`PIECE`] bytes.
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

/// The two directions of one client's connection. Invariant: the first `received` bytes came back as they were sent.
#[derive(Debug)]
pub(crate) struct Echo {
    seed: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// There is no more for now.
    NoMore,
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

    /// Sends up to `goal` bytes, counted from the beginning; fewer if the kernel takes no more.
    pub(crate) fn send_until(&mut self, stream: &mut TcpStream, goal: u64) -> Result<(), End> {
        while self.sent < goal {
            let length = usize::try_from(goal - self.sent).unwrap_or(PIECE);
            match stream.write(pattern(self.seed, self.sent, length)) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // So says a socket that is still connecting, on some kernels.
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(End::of_error(error.kind())),
            }
        }
        Ok(())
    }

    /// Reads and verifies all that is there.
    pub(crate) fn receive(&mut self, stream: &mut TcpStream) -> Result<Heard, End> {
        let mut buffer = [0; PIECE];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(Heard::Fin),
                Ok(count) => {
                    let expected = pattern(self.seed, self.received, count);
                    self.received += count as u64;
                    if self.received > self.sent || buffer[..count] != *expected {
                        return Err(End::Wrong);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Heard::NoMore),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(Heard::NoMore),
                Err(error) => return Err(End::of_error(error.kind())),
            }
        }
    }
}

/// Random numbers that are the same in every run (xorshift64*; Vigna, "An experimental exploration", 2016).
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

    /// A number of `range`.
    pub(crate) fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }
}
