//! The clients of a bad day: those who reset, those who half-close, and those who send and never read.

use crate::crowd::{Buffers, Client, Step, reset_on_close, step};
use crate::echo::{Echo, End, Heard, Random};
use mio::net::TcpStream;
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// How long a client waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first words of each client; that they come back shows that it is accepted.
const GREETING: u64 = 64;

/// How long a slow client does not read.
const SLOWNESS: Duration = Duration::from_millis(30);

/// How a client takes its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// With a reset, in the middle of an echo.
    Reset,
    /// With FIN; then everything must come back, and then the daemon's FIN.
    HalfClose,
}

/// A client that says several things, with time to think between them, and leaves.
#[derive(Debug)]
pub(crate) struct Talker {
    leave: Leave,
    echo: Echo,
    random: Random,
    /// What it still means to say.
    says_left: u64,
    /// Up to where it has decided to send.
    goal: u64,
    greeted: bool,
    fin_sent: bool,
    next_say: Instant,
    /// How long it thinks at least.
    pace: Duration,
    /// When it gives up, once it waits for the end.
    deadline: Option<Instant>,
    /// Whether it reads only now and then, so that the daemon owes it something again and again.
    slow: bool,
    /// When it reads again, if it is slow.
    next_read: Instant,
}

impl Talker {
    pub(crate) fn new(leave: Leave, seed: u64, pace: Duration) -> Talker {
        let mut random = Random::new(seed);
        Talker {
            leave,
            echo: Echo::new(random.next()),
            says_left: random.within(2..8),
            slow: random.within(0..4) == 0,
            next_read: Instant::now(),
            random,
            goal: GREETING,
            greeted: false,
            fin_sent: false,
            next_say: Instant::now() + PATIENCE,
            pace,
            deadline: None,
        }
    }

    /// How many bytes came back in order.
    pub(crate) fn received(&self) -> u64 {
        self.echo.received
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        self.echo.send_until(stream, self.goal)?;
        let now = Instant::now();
        if self.reads(now) && self.echo.receive(stream)? == Heard::Fin {
            return self.heard_fin();
        }
        if let Some(deadline) = self.deadline {
            return self.go_on_leaving(stream, deadline, now);
        }
        if !self.greeted && self.echo.received == GREETING {
            self.greeted = true;
            self.think(now);
        }
        if now < self.next_say {
            return Ok(Step::Until(self.next_say));
        }
        if !self.greeted {
            return Err(End::Silent);
        }
        self.say(now);
        self.echo.send_until(stream, self.goal)?;
        if self.says_left == 0 {
            let patience = match self.leave {
                Leave::HalfClose => PATIENCE,
                // In the middle: before the echo is on its way, or while it is.
                Leave::Reset => Duration::from_millis(self.random.within(0..3)),
            };
            self.deadline = Some(now + patience);
            return self.go_on_leaving(stream, now + patience, now);
        }
        Ok(Step::Until(self.next_say))
    }

    fn reads(&mut self, now: Instant) -> bool {
        if self.slow && self.greeted && now < self.next_read {
            return false;
        }
        self.next_read = now + SLOWNESS;
        true
    }

    /// Whether something is to come that it must wake up for by itself, as events are not heeded.
    fn waits_to_read(&self) -> bool {
        self.slow && self.greeted && (self.echo.received < self.echo.sent || self.fin_sent)
    }

    /// Decides what to say next: mostly a little, sometimes far more than the socket buffers take.
    fn say(&mut self, now: Instant) {
        let seldom = if self.slow { 8 } else { 64 };
        let length = match self.random.within(0..seldom) {
            0 => self.random.within(16_384..65_536),
            _ => self.random.within(1..2048),
        };
        self.goal += length;
        self.says_left -= 1;
        self.think(now);
    }

    /// For one to seven times its pace, it says nothing.
    fn think(&mut self, now: Instant) {
        let sevenths = u32::try_from(self.random.within(1000..7000)).unwrap_or_default();
        self.next_say = now + self.pace * sevenths / 1000;
    }

    fn go_on_leaving(
        &mut self,
        stream: &mut TcpStream,
        deadline: Instant,
        now: Instant,
    ) -> Result<Step, End> {
        match self.leave {
            Leave::Reset if now >= deadline => {
                reset_on_close(stream);
                Ok(Step::End(End::AsMeant))
            }
            Leave::HalfClose if now >= deadline => Err(End::Silent),
            Leave::HalfClose if self.echo.sent == self.goal && !self.fin_sent => {
                stream.shutdown(Shutdown::Write).map_err(|_| End::Reset)?;
                self.fin_sent = true;
                Ok(Step::Until(deadline))
            }
            _ => Ok(Step::Until(deadline)),
        }
    }

    fn heard_fin(&self) -> Result<Step, End> {
        if self.fin_sent && self.echo.received == self.goal {
            Ok(Step::End(End::AsMeant))
        } else if self.echo.received == 0 {
            // Accepted and closed at once: refused.
            Err(End::NotConnected)
        } else {
            Err(End::EarlyFin)
        }
    }
}

impl Client for Talker {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        match step(|| self.advance(stream)) {
            Step::Until(due) if self.waits_to_read() => Step::Until(due.min(self.next_read)),
            step => step,
        }
    }

    fn is_served(&self) -> bool {
        self.echo.received > 0
    }

    fn buffers(&self) -> Option<Buffers> {
        self.slow.then_some(Buffers {
            send: 64 << 10,
            receive: 4096,
        })
    }
}

/// A client that, once greeted, sends for as long as anything is taken and never reads.
#[derive(Debug)]
pub(crate) struct Hog {
    echo: Echo,
    greeted: bool,
    /// When something of what it sends was taken last.
    pub(crate) moved_at: Instant,
    /// When it was reset, if it was.
    pub(crate) reset_at: Option<Instant>,
    /// For how long it waits to be reset.
    patience: Duration,
    send_buffer: usize,
}

impl Hog {
    pub(crate) fn new(seed: u64, patience: Duration) -> Hog {
        Hog {
            echo: Echo::new(seed),
            greeted: false,
            moved_at: Instant::now(),
            reset_at: None,
            patience,
            send_buffer: 4096,
        }
    }

    /// One that does not wait for a greeting, and has so many bytes on their way.
    pub(crate) fn rude(seed: u64, patience: Duration, send_buffer: usize) -> Hog {
        Hog {
            greeted: true,
            send_buffer,
            ..Hog::new(seed, patience)
        }
    }

    /// How many bytes were taken from it.
    pub(crate) fn sent(&self) -> u64 {
        self.echo.sent
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        if !self.greeted {
            self.echo.send_until(stream, GREETING)?;
            if self.echo.receive(stream)? == Heard::Fin {
                return Err(End::NotConnected);
            }
            if self.echo.received < GREETING {
                return self.wait();
            }
            self.greeted = true;
        }
        let before = self.echo.sent;
        let result = self.echo.send_until(stream, u64::MAX);
        let now = Instant::now();
        match result {
            Ok(()) if before != self.echo.sent => self.moved_at = now,
            Ok(()) => {}
            Err(End::Reset) => {
                self.reset_at = Some(now);
                return self.read_what_came_before_the_reset(stream);
            }
            Err(end) => return Err(end),
        }
        self.wait()
    }

    fn wait(&self) -> Result<Step, End> {
        let deadline = self.moved_at + self.patience;
        if Instant::now() >= deadline {
            return Err(End::Silent);
        }
        Ok(Step::Until(deadline))
    }

    /// As far as anything came back, it has to be right.
    fn read_what_came_before_the_reset(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        match self.echo.receive(stream) {
            Err(End::Wrong) => Err(End::Wrong),
            _ => Ok(Step::End(End::AsMeant)),
        }
    }
}

impl Client for Hog {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.greeted
    }

    fn buffers(&self) -> Option<Buffers> {
        Some(Buffers {
            send: self.send_buffer,
            // What the daemon sends is to fill it soon.
            receive: 4096,
        })
    }
}
