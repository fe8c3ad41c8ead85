//! A socket that does what a script says, and keeps a record of what was asked of it.

use crate::size::Size;
use arbitrary::{Arbitrary, Result, Unstructured};
use echoloop::net::{Readiness, Stream};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// What a read finds.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// So many bytes and one, over as many reads as the buffers make of it.
    Bytes(Size),
    Blocks,
    Interrupted,
    Fin,
    Fails(Failure),
}

/// What a write finds.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// Room for so many bytes and one.
    Takes(Size),
    Blocks,
    Interrupted,
    /// It takes nothing and gives no error, which is unheard of.
    TakesNothing,
    Fails(Failure),
}

// What ends a connection is drawn seldom, so that most runs come to something before it.

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

/// What a look at a connection that was begun finds.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Connect {
    Stands,
    NotYet,
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

/// The call that has told the connection of its end, where that was not FIN.
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
    /// A byte for each position that tells where it is from.
    Positions,
    /// These again and again.
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

/// The socket. `DRAINS`: whether a short read has emptied it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Script<const DRAINS: bool> {
    content: Content,
    pub reads: VecDeque<Read>,
    pub writes: VecDeque<Write>,
    pub connects: VecDeque<Connect>,
    /// FIN cannot be sent, since the peer has reset the connection.
    pub shutdown_fails: bool,
    /// Where the script has nothing to say, writes take everything.
    pub generous: bool,
    /// What was told by an event and not yet taken back by a call that would block.
    pub told: Readiness,
    /// Bytes read before FIN was sent.
    pub read: usize,
    /// Bytes read after FIN was sent.
    pub read_after_fin: usize,
    pub written: Vec<u8>,
    /// It was accepted, or a connection that was begun was found to stand.
    pub stands: bool,
    /// A FIN that is sent now says only that all is said: what comes is still heard.
    pub hears_on: bool,
    pub fin_sent: bool,
    pub fin_read: bool,
    /// What broke the connection.
    pub broken: Option<Broken>,
    /// How many calls may still be made before this counts as an endless loop.
    pub patience: usize,
}

impl<const DRAINS: bool> Script<DRAINS> {
    pub fn new(content: Content, stands: bool) -> Self {
        Script {
            content,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            connects: VecDeque::new(),
            shutdown_fails: false,
            generous: false,
            told: Readiness::NONE,
            read: 0,
            read_after_fin: 0,
            written: Vec::new(),
            stands,
            hears_on: false,
            fin_sent: false,
            fin_read: false,
            broken: None,
            patience: 0,
        }
    }

    /// How many steps are left.
    pub fn len(&self) -> usize {
        self.reads.len() + self.writes.len() + self.connects.len()
    }

    /// A drive begins. Every call uses up a step or finds that none is left, and every byte may be answered by a write
    /// of its own, the `kept` ones too; what goes on for longer goes on for ever.
    pub fn begin(&mut self, kept: usize) {
        self.patience = 16 + 2 * self.len() + 2 * kept;
    }

    fn call(&mut self) {
        assert!(self.patience > 0, "it calls the socket again and again");
        self.patience -= 1;
        assert_eq!(self.broken, None, "a call on a socket that is broken");
    }

    fn give(&mut self, count: usize, buffer: &mut [u8]) -> usize {
        let given = count.min(buffer.len());
        let position = self.read + self.read_after_fin;
        for (offset, place) in buffer[..given].iter_mut().enumerate() {
            *place = self.content.byte(position + offset);
        }
        self.patience += 4 + 2 * given;
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
        if is_short && DRAINS && !self.told.contains(Readiness::DRAIN) {
            self.told = self.told.without(Readiness::READABLE);
        }
        given
    }
}

impl<const DRAINS: bool> Stream for Script<DRAINS> {
    const SHORT_READ_DRAINS: bool = DRAINS;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call();
        assert!(!buffer.is_empty(), "a read for nothing looks like FIN");
        assert!(self.stands, "a read before it stands");
        assert!(!self.fin_read, "a read behind the peer's FIN");
        match self.reads.pop_front() {
            Some(Read::Bytes(count)) => Ok(self.give(count.get() + 1, buffer)),
            Some(Read::Blocks) | None => {
                let drained = Readiness::READABLE | Readiness::DRAIN;
                self.told = self.told.without(drained);
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
        assert!(!bytes.is_empty(), "a write for nothing");
        assert!(self.stands, "a write before it stands");
        assert!(!self.fin_sent, "a write behind FIN");
        match self.writes.pop_front() {
            Some(Write::Takes(count)) => {
                let count = bytes.len().min(count.get() + 1);
                self.written.extend(&bytes[..count]);
                Ok(count)
            }
            None if self.generous => {
                self.written.extend(bytes);
                Ok(bytes.len())
            }
            Some(Write::Blocks) | None => {
                self.told = self.told.without(Readiness::WRITABLE);
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
        // The kernel's word is not a promise: the next write may find no room all the same.
        true
    }

    fn is_at_fin(&mut self) -> bool {
        // It is asked only while memory is scarce, which it never is here.
        false
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.call();
        assert!(self.stands, "FIN before it stands");
        assert!(!self.fin_sent, "FIN is sent twice");
        if self.shutdown_fails {
            self.broken = Some(Broken::Shutdown);
            return Err(ErrorKind::NotConnected.into());
        }
        self.fin_sent = true;
        if !self.hears_on {
            // Whether the peer's FIN has come already is not known, and no edge need come for it.
            self.told |= Readiness::READABLE | Readiness::DRAIN;
        }
        Ok(())
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        unreachable!("`connected` does not ask");
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        unreachable!("`connected` does not ask");
    }

    fn connected(&mut self) -> io::Result<bool> {
        self.call();
        match self.connects.pop_front() {
            Some(Connect::NotYet) => {
                self.told = self.told.without(Readiness::WRITABLE);
                Ok(false)
            }
            None if !self.generous => {
                self.told = self.told.without(Readiness::WRITABLE);
                Ok(false)
            }
            Some(Connect::Stands) | None => {
                self.stands = true;
                Ok(true)
            }
            Some(Connect::Fails(failure)) => {
                self.broken = Some(Broken::Connect);
                Err(failure.kind().into())
            }
        }
    }
}
