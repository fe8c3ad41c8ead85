//! Misbehaving clients: those that reset, those that half-close, and those that send but never read.

use crate::client_loop::{Buffers, Client, Step, reset_on_close, step};
use crate::echo::{Echo, End, Input, Random};
use mio::net::TcpStream;
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// The longest wait for an echo or the end of the connection.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The size of the first message; its echo shows that the daemon has accepted the connection.
const FIRST_MESSAGE: u64 = 64;

/// The time between two reads of a slow reader.
const READ_INTERVAL: Duration = Duration::from_millis(30);

/// How a client closes its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseBy {
    /// With RST, in the middle of an echo.
    Reset,
    /// With FIN; then the rest of the echo must come back, and then the daemon's FIN.
    HalfClose,
}

/// A client that sends several messages with pauses between them, and closes.
#[derive(Debug)]
pub(crate) struct EchoClient {
    close_by: CloseBy,
    echo: Echo,
    random: Random,
    /// Messages not sent yet.
    messages_left: u64,
    /// The end of the messages queued so far, in bytes from the start of the stream.
    goal: u64,
    accepted: bool,
    fin_sent: bool,
    next_message_at: Instant,
    /// The shortest pause between messages.
    min_pause: Duration,
    /// When the client gives up, once it has begun to close.
    deadline: Option<Instant>,
    /// Whether it is a slow reader, so that the daemon has pending output again and again.
    slow: bool,
    /// When a slow reader reads again.
    next_read_at: Instant,
}

impl EchoClient {
    pub(crate) fn new(close_by: CloseBy, seed: u64, min_pause: Duration) -> EchoClient {
        let mut random = Random::new(seed);
        EchoClient {
            close_by,
            echo: Echo::new(random.next()),
            messages_left: random.within(2..8),
            slow: random.within(0..4) == 0,
            next_read_at: Instant::now(),
            random,
            goal: FIRST_MESSAGE,
            accepted: false,
            fin_sent: false,
            next_message_at: Instant::now() + TIMEOUT,
            min_pause,
            deadline: None,
        }
    }

    /// The number of bytes received in order.
    pub(crate) fn received(&self) -> u64 {
        self.echo.received
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        self.echo.send_until(stream, self.goal)?;
        let now = Instant::now();
        if self.may_read(now) && self.echo.receive(stream)? == Input::Fin {
            return self.on_fin();
        }
        if let Some(deadline) = self.deadline {
            return self.continue_close(stream, deadline, now);
        }
        if !self.accepted && self.echo.received == FIRST_MESSAGE {
            self.accepted = true;
            self.schedule_next_message(now);
        }
        if now < self.next_message_at {
            return Ok(Step::Until(self.next_message_at));
        }
        if !self.accepted {
            return Err(End::TimedOut);
        }
        self.queue_message(now);
        self.echo.send_until(stream, self.goal)?;
        if self.messages_left == 0 {
            let timeout = match self.close_by {
                CloseBy::HalfClose => TIMEOUT,
                // In the middle of an echo: before its first byte is sent, or between two.
                CloseBy::Reset => Duration::from_millis(self.random.within(0..3)),
            };
            self.deadline = Some(now + timeout);
            return self.continue_close(stream, now + timeout, now);
        }
        Ok(Step::Until(self.next_message_at))
    }

    fn may_read(&mut self, now: Instant) -> bool {
        if self.slow && self.accepted && now < self.next_read_at {
            return false;
        }
        self.next_read_at = now + READ_INTERVAL;
        true
    }

    /// Whether it must wake by timer to read, as a slow reader ignores events.
    fn has_unread_echo(&self) -> bool {
        self.slow && self.accepted && (self.echo.received < self.echo.sent || self.fin_sent)
    }

    /// Queues the next message: mostly a short one, sometimes far more than the socket buffers hold.
    fn queue_message(&mut self, now: Instant) {
        let odds = if self.slow { 8 } else { 64 };
        let length = match self.random.within(0..odds) {
            0 => self.random.within(16_384..65_536),
            _ => self.random.within(1..2048),
        };
        self.goal += length;
        self.messages_left -= 1;
        self.schedule_next_message(now);
    }

    /// Schedules the next message after one to seven pauses.
    fn schedule_next_message(&mut self, now: Instant) {
        let thousandths = u32::try_from(self.random.within(1000..7000)).unwrap_or_default();
        self.next_message_at = now + self.min_pause * thousandths / 1000;
    }

    fn continue_close(
        &mut self,
        stream: &mut TcpStream,
        deadline: Instant,
        now: Instant,
    ) -> Result<Step, End> {
        match self.close_by {
            CloseBy::Reset if now >= deadline => {
                reset_on_close(stream);
                Ok(Step::End(End::Expected))
            }
            CloseBy::HalfClose if now >= deadline => Err(End::TimedOut),
            CloseBy::HalfClose if self.echo.sent == self.goal && !self.fin_sent => {
                stream.shutdown(Shutdown::Write).map_err(|_| End::Reset)?;
                self.fin_sent = true;
                Ok(Step::Until(deadline))
            }
            _ => Ok(Step::Until(deadline)),
        }
    }

    fn on_fin(&self) -> Result<Step, End> {
        if self.fin_sent && self.echo.received == self.goal {
            Ok(Step::End(End::Expected))
        } else if self.echo.received == 0 {
            // Accepted and closed at once: refused.
            Err(End::NotConnected)
        } else {
            Err(End::EarlyFin)
        }
    }
}

impl Client for EchoClient {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        match step(|| self.advance(stream)) {
            Step::Until(due) if self.has_unread_echo() => Step::Until(due.min(self.next_read_at)),
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

/// A client that waits for its first echo, and then sends as fast as the kernel allows and never reads.
#[derive(Debug)]
pub(crate) struct NonReader {
    echo: Echo,
    accepted: bool,
    /// When the kernel last accepted bytes.
    pub(crate) last_progress_at: Instant,
    /// When the connection was reset.
    pub(crate) reset_at: Option<Instant>,
    /// The longest time without progress.
    timeout: Duration,
    send_buffer: usize,
}

impl NonReader {
    pub(crate) fn new(seed: u64, timeout: Duration) -> NonReader {
        NonReader {
            echo: Echo::new(seed),
            accepted: false,
            last_progress_at: Instant::now(),
            reset_at: None,
            timeout,
            send_buffer: 4096,
        }
    }

    /// A client that does not wait for a first echo, with a send buffer of this size.
    pub(crate) fn sending_at_once(seed: u64, timeout: Duration, send_buffer: usize) -> NonReader {
        NonReader {
            accepted: true,
            send_buffer,
            ..NonReader::new(seed, timeout)
        }
    }

    /// The number of bytes that the kernel accepted.
    pub(crate) fn sent(&self) -> u64 {
        self.echo.sent
    }

    fn advance(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        if !self.accepted {
            self.echo.send_until(stream, FIRST_MESSAGE)?;
            if self.echo.receive(stream)? == Input::Fin {
                return Err(End::NotConnected);
            }
            if self.echo.received < FIRST_MESSAGE {
                return self.wait();
            }
            self.accepted = true;
        }
        let before = self.echo.sent;
        let result = self.echo.send_until(stream, u64::MAX);
        let now = Instant::now();
        match result {
            Ok(()) if before != self.echo.sent => self.last_progress_at = now,
            Ok(()) => {}
            Err(End::Reset) => {
                self.reset_at = Some(now);
                return self.verify_before_reset(stream);
            }
            Err(end) => return Err(end),
        }
        self.wait()
    }

    fn wait(&self) -> Result<Step, End> {
        let deadline = self.last_progress_at + self.timeout;
        if Instant::now() >= deadline {
            return Err(End::TimedOut);
        }
        Ok(Step::Until(deadline))
    }

    /// Bytes received before the reset must match.
    fn verify_before_reset(&mut self, stream: &mut TcpStream) -> Result<Step, End> {
        match self.echo.receive(stream) {
            Err(End::Wrong) => Err(End::Wrong),
            _ => Ok(Step::End(End::Expected)),
        }
    }
}

impl Client for NonReader {
    fn drive(&mut self, stream: &mut TcpStream) -> Step {
        step(|| self.advance(stream))
    }

    fn is_served(&self) -> bool {
        self.accepted
    }

    fn buffers(&self) -> Option<Buffers> {
        Some(Buffers {
            send: self.send_buffer,
            // Small, so that the daemon's output soon fills it.
            receive: 4096,
        })
    }
}
