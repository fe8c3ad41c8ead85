//! A scripted socket, which records and checks the calls.

use crate::size::Size;
use arbitrary::{Arbitrary, Result, Unstructured};
use echoloop::net::{Readiness, Stream};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The result of a read.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// This many bytes and one, in as many reads as the buffers require.
    Bytes(Size),
    Blocks,
    Interrupted,
    Fin,
    Fails(Failure),
}

/// The result of a write.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// Space for this many bytes and one.
    Takes(Size),
    Blocks,
    Interrupted,
    /// Zero bytes written without an error, which no kernel does.
    TakesNothing,
    Fails(Failure),
}

// Results that end a connection are rare, so that most runs do something before.

impl<'a> Arbitrary<'a> for Read {
    fn arbitrary(source: &mut Unstructured<'a>) -> Result<Read> {
        Ok(match source.int_in_range(0..=15)? {
            0..=9 => Read::Bytes(source.arbitrary()?),
            10..=12 => Read::Blocks,
            13 => Read::Interrupted,
            14 => Read::Fin,
            _ => Read::Fails(source.arbitrary()?),
        })
    }
}

impl<'a> Arbitrary<'a> for Write {
    fn arbitrary(source: &mut Unstructured<'a>) -> Result<Write> {
        Ok(match source.int_in_range(0..=31)? {
            0..=18 => Write::Takes(source.arbitrary()?),
            19..=27 => Write::Blocks,
            28..=29 => Write::Interrupted,
            30 => Write::TakesNothing,
            _ => Write::Fails(source.arbitrary()?),
        })
    }
}

/// The state of a connecting socket.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Connect {
    Established,
    Pending,
    Fails(Failure),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Failure {
    Reset,
    Broken,
    TimedOut,
    Unreachable,
    Refused,
    NotConnected,
    Other,
}

impl Failure {
    pub fn kind(self) -> ErrorKind {
        match self {
            Failure::Reset => ErrorKind::ConnectionReset,
            Failure::Broken => ErrorKind::BrokenPipe,
            Failure::TimedOut => ErrorKind::TimedOut,
            Failure::Unreachable => ErrorKind::HostUnreachable,
            Failure::Refused => ErrorKind::ConnectionRefused,
            Failure::NotConnected => ErrorKind::NotConnected,
            Failure::Other => ErrorKind::Other,
        }
    }
}

/// The call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Read(ErrorKind),
    Write(ErrorKind),
    Shutdown,
    Connect,
}

/// The bytes that the peer sends.
#[derive(Clone, Debug)]
pub enum Content {
    /// A byte that depends on its position.
    Positions,
    /// These bytes, repeated.
    Cycle(Vec<u8>),
}

impl Content {
    pub fn byte(&self, position: usize) -> u8 {
        match self {
            Content::Positions => {
                let mixed = (position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                mixed.to_be_bytes()[0]
            }
            Content::Cycle(bytes) if bytes.is_empty() => 0,
            Content::Cycle(bytes) => bytes[position % bytes.len()],
        }
    }
}

/// The socket. `DRAINS`: whether a short read has drained it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Script<const DRAINS: bool> {
    content: Content,
    pub reads: VecDeque<Read>,
    pub writes: VecDeque<Write>,
    pub connects: VecDeque<Connect>,
    /// FIN cannot be sent, since the peer has reset the connection.
    pub shutdown_fails: bool,
    /// At the end of the script, writes accept everything.
    pub accepts_all: bool,
    /// Readiness reported by an event since the last call that would block.
    pub reported: Readiness,
    /// Bytes read before FIN was sent.
    pub read: usize,
    /// Bytes read after FIN was sent.
    pub read_after_fin: usize,
    pub written: Vec<u8>,
    /// Accepted, or found to be established.
    pub established: bool,
    /// A FIN sent now is a half-close: input is still processed.
    pub reads_after_fin: bool,
    pub fin_sent: bool,
    pub fin_read: bool,
    /// The call that failed.
    pub broken: Option<Broken>,
    /// The number of calls after which this counts as an endless loop.
    pub calls_left: usize,
}

impl<const DRAINS: bool> Script<DRAINS> {
    pub fn new(content: Content, established: bool) -> Self {
        Script {
            content,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            connects: VecDeque::new(),
            shutdown_fails: false,
            accepts_all: false,
            reported: Readiness::NONE,
            read: 0,
            read_after_fin: 0,
            written: Vec::new(),
            established,
            reads_after_fin: false,
            fin_sent: false,
            fin_read: false,
            broken: None,
            calls_left: 0,
        }
    }

    /// The number of remaining steps.
    pub fn len(&self) -> usize {
        self.reads.len() + self.writes.len() + self.connects.len()
    }

    /// Begins a drive. Every call consumes a step or finds none, and every byte, including the `unconsumed` ones, may
    /// cause one write; more calls are an endless loop.
    pub fn begin(&mut self, unconsumed: usize) {
        self.calls_left = 16 + 2 * self.len() + 2 * unconsumed;
    }

    fn call(&mut self) {
        assert!(self.calls_left > 0, "an endless loop of socket calls");
        self.calls_left -= 1;
        assert_eq!(self.broken, None, "a call on a failed socket");
    }

    fn deliver(&mut self, count: usize, buffer: &mut [u8]) -> usize {
        let given = count.min(buffer.len());
        let position = self.read + self.read_after_fin;
        for (offset, place) in buffer[..given].iter_mut().enumerate() {
            *place = self.content.byte(position + offset);
        }
        self.calls_left += 4 + 2 * given;
        if count > given {
            let rest = Size::of(count - given - 1);
            self.reads.push_front(Read::Bytes(rest));
        }
        if self.fin_sent {
            self.read_after_fin += given;
        } else {
            self.read += given;
        }
        let is_short = given < buffer.len();
        if is_short && DRAINS && !self.reported.contains(Readiness::DRAIN) {
            self.reported = self.reported.difference(Readiness::READABLE);
        }
        given
    }
}

impl<const DRAINS: bool> Stream for Script<DRAINS> {
    const SHORT_READ_DRAINS: bool = DRAINS;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call();
        assert!(!buffer.is_empty(), "an empty read looks like FIN");
        assert!(
            self.established,
            "a read before the connection is established"
        );
        assert!(!self.fin_read, "a read after the peer's FIN");
        match self.reads.pop_front() {
            Some(Read::Bytes(count)) => Ok(self.deliver(count.get() + 1, buffer)),
            Some(Read::Blocks) | None => {
                let drained = Readiness::READABLE | Readiness::DRAIN;
                self.reported = self.reported.difference(drained);
                Err(ErrorKind::WouldBlock.into())
            }
            Some(Read::Interrupted) => Err(ErrorKind::Interrupted.into()),
            Some(Read::Fin) => {
                self.fin_read = true;
                Ok(0)
            }
            Some(Read::Fails(failure)) => {
                self.broken = Some(Broken::Read(failure.kind()));
                Err(failure.kind().into())
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call();
        assert!(!bytes.is_empty(), "an empty write");
        assert!(
            self.established,
            "a write before the connection is established"
        );
        assert!(!self.fin_sent, "a write after FIN");
        match self.writes.pop_front() {
            Some(Write::Takes(count)) => {
                let count = bytes.len().min(count.get() + 1);
                self.written.extend(&bytes[..count]);
                Ok(count)
            }
            None if self.accepts_all => {
                self.written.extend(bytes);
                Ok(bytes.len())
            }
            Some(Write::Blocks) | None => {
                self.reported = self.reported.difference(Readiness::WRITABLE);
                Err(ErrorKind::WouldBlock.into())
            }
            Some(Write::Interrupted) => Err(ErrorKind::Interrupted.into()),
            Some(Write::TakesNothing) => {
                self.broken = Some(Broken::Write(ErrorKind::WriteZero));
                Ok(0)
            }
            Some(Write::Fails(failure)) => {
                self.broken = Some(Broken::Write(failure.kind()));
                Err(failure.kind().into())
            }
        }
    }

    fn takes_output(&mut self) -> bool {
        // Only a hint: the next write may block nevertheless.
        true
    }

    fn is_at_fin(&mut self) -> bool {
        // Called only while memory is scarce, which it is not here.
        false
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.call();
        assert!(self.established, "FIN before the connection is established");
        assert!(!self.fin_sent, "FIN sent twice");
        if self.shutdown_fails {
            self.broken = Some(Broken::Shutdown);
            return Err(ErrorKind::NotConnected.into());
        }
        self.fin_sent = true;
        if !self.reads_after_fin {
            // The peer's FIN may have been received already, without another edge.
            self.reported |= Readiness::READABLE | Readiness::DRAIN;
        }
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        unreachable!("`connected` does not call it");
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        unreachable!("`connected` does not call it");
    }

    fn connected(&mut self) -> io::Result<bool> {
        self.call();
        match self.connects.pop_front() {
            Some(Connect::Pending) => {
                self.reported = self.reported.difference(Readiness::WRITABLE);
                Ok(false)
            }
            None if !self.accepts_all => {
                self.reported = self.reported.difference(Readiness::WRITABLE);
                Ok(false)
            }
            Some(Connect::Established) | None => {
                self.established = true;
                Ok(true)
            }
            Some(Connect::Fails(failure)) => {
                self.broken = Some(Broken::Connect);
                Err(failure.kind().into())
            }
        }
    }
}
