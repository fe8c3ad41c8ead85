//! Connections over scripted streams: a script lists the expected calls with their results, and the connection must
//! make exactly these calls.

mod alloc_failures;
mod closing;
mod driver;
mod echoing;
mod half_closing;
mod harness;
mod layers;
mod least_rate;
mod messages;
mod owner_writes;
mod random_io;
mod records;
mod scarce_memory;
mod sessions;

use super::buffers::Buffers;
use super::by_size::BuffersId;
use super::fifo::SMALLEST;
use super::{CloseReason, Common, Connection, DriveContext, Limits, Outcome, Pool};
use crate::net::{Key, Readiness, Stream, Time};
use crate::protocol::{Outbox, Protocol, Raw, Session};
use crate::reactor::{Class, SCRATCH_SIZE, Scratch, scratch};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

/// An expected call on a stream, and its result.
#[derive(Clone, Debug)]
enum Step {
    /// A read returns these bytes.
    Input(Vec<u8>),
    ReadWouldBlock,
    /// A read returns the peer's FIN.
    PeerFin,
    ReadError(io::ErrorKind),
    /// A write begins with exactly these bytes, and the kernel accepts these.
    Accepts(Vec<u8>),
    /// A write of any bytes, of which the kernel accepts at most this many.
    AcceptsCount(usize),
    WriteWouldBlock,
    WriteError(io::ErrorKind),
    /// Whether the kernel would accept a small write.
    OutputSpace(bool),
    /// FIN is sent.
    Shutdown,
    /// FIN cannot be sent, since the peer has reset the connection.
    ShutdownError,
    /// Whether the handshake has completed, or the error of the socket.
    Connected(Result<bool, io::ErrorKind>),
    /// From here on every call would block, however many calls there are.
    AllWouldBlock,
}

fn input(bytes: &[u8]) -> Step {
    Step::Input(bytes.to_vec())
}

fn accepts(bytes: &[u8]) -> Step {
    Step::Accepts(bytes.to_vec())
}

/// The default limits with another `max_pending`.
fn max_pending(max_pending: usize) -> Limits {
    Limits {
        max_pending,
        ..Limits::default()
    }
}

/// The default limits with another budget.
fn budget(budget: usize) -> Limits {
    Limits {
        budget,
        ..Limits::default()
    }
}

/// A stream that follows a script. A call that does not match the next step fails the test.
#[derive(Debug)]
struct ScriptedStream<const SHORT_READ_DRAINS: bool = true> {
    steps: VecDeque<Step>,
}

impl<const SHORT_READ_DRAINS: bool> ScriptedStream<SHORT_READ_DRAINS> {
    fn new(steps: &[Step]) -> Self {
        let steps = steps.iter().cloned().collect();
        ScriptedStream { steps }
    }

    fn next(&mut self, call: &str) -> Step {
        if let Some(Step::AllWouldBlock) = self.steps.front() {
            return Step::AllWouldBlock;
        }
        let step = self.steps.pop_front();
        step.unwrap_or_else(|| panic!("{call}, but no step is left"))
    }

    fn assert_no_steps_left(&self) {
        assert!(self.steps.is_empty(), "steps left: {:?}", self.steps);
    }
}

impl<const SHORT_READ_DRAINS: bool> Stream for ScriptedStream<SHORT_READ_DRAINS> {
    const SHORT_READ_DRAINS: bool = SHORT_READ_DRAINS;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next("a read") {
            Step::Input(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Step::ReadWouldBlock | Step::AllWouldBlock => Err(io::ErrorKind::WouldBlock.into()),
            Step::PeerFin => Ok(0),
            Step::ReadError(kind) => Err(kind.into()),
            step => panic!("a read, but the step is {step:?}"),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.next("a write") {
            Step::Accepts(accepted) => {
                let written = bytes.get(..accepted.len());
                assert_eq!(written, Some(&*accepted), "bytes written");
                Ok(accepted.len())
            }
            Step::AcceptsCount(count) => Ok(count.min(bytes.len())),
            Step::WriteWouldBlock | Step::AllWouldBlock => Err(io::ErrorKind::WouldBlock.into()),
            Step::WriteError(kind) => Err(kind.into()),
            step => panic!("a write of {} bytes, but the step is {step:?}", bytes.len()),
        }
    }

    fn takes_output(&mut self) -> bool {
        match self.next("an output space check") {
            Step::OutputSpace(has_space) => has_space,
            step => panic!("an output space check, but the step is {step:?}"),
        }
    }

    fn is_at_fin(&mut self) -> bool {
        // The connection does not read a FIN that it has found here.
        let is_at_fin = matches!(self.steps.front(), Some(Step::PeerFin));
        if is_at_fin {
            self.steps.pop_front();
        }
        is_at_fin
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self.next("a shutdown") {
            Step::Shutdown => Ok(()),
            Step::ShutdownError => Err(io::ErrorKind::NotConnected.into()),
            step => panic!("a shutdown, but the step is {step:?}"),
        }
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        match self.steps.front() {
            Some(Step::Connected(Err(kind))) => {
                let error = io::Error::from(*kind);
                self.steps.pop_front();
                Ok(Some(error))
            }
            _ => Ok(None),
        }
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.steps.front() {
            Some(Step::Connected(Ok(true))) => Ok(SocketAddr::from(([127, 0, 0, 1], 1))),
            Some(Step::Connected(Ok(false)) | Step::AllWouldBlock) => {
                Err(io::ErrorKind::NotConnected.into())
            }
            step => panic!("a getpeername, but the step is {step:?}"),
        }
    }

    fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        let is_connected = self.peer_addr().is_ok();
        self.next("a check whether the stream is connected");
        Ok(is_connected)
    }
}

/// The context of the connection with serial number 1 at time zero.
fn drive_context<'a, P>(
    common: &'a mut Common<P>,
    write_buffer: &'a mut Vec<u8>,
) -> DriveContext<'a, P> {
    let key = Key { slot: 0, serial: 1 };
    DriveContext::new(key, Time::ZERO, common, write_buffer)
}

/// One connection without a reactor, with all that driving it takes.
struct Fixture<P: Protocol> {
    common: Common<P>,
    connection: Connection<P::Session>,
    scratch: Box<Scratch>,
    write_buffer: Vec<u8>,
}

impl Fixture<Raw> {
    fn raw() -> Self {
        Fixture::new(Raw, Limits::default())
    }
}

impl<P: Protocol> Fixture<P> {
    fn new(mut protocol: P, limits: Limits) -> Self {
        let connection = Connection::open(protocol.session());
        Fixture {
            common: Common::new(protocol, limits, 1 << 30),
            connection,
            scratch: scratch(),
            write_buffer: Vec::new(),
        }
    }

    /// A fixture whose connection is still connecting.
    fn connecting(protocol: P, limits: Limits) -> Self {
        let mut fixture = Fixture::new(protocol, limits);
        fixture.connection = Connection::connecting(fixture.common.protocol.session());
        fixture
    }

    fn drive_stream(&mut self, stream: &mut impl Stream, readiness: Readiness) -> Outcome {
        let mut cx = drive_context(&mut self.common, &mut self.write_buffer);
        self.connection
            .drive(stream, readiness, &mut self.scratch, &mut cx)
    }

    /// Drives the connection over a stream that must follow all `steps`, and checks the invariants.
    fn drive(&mut self, readiness: Readiness, steps: &[Step]) -> Outcome {
        let outcome = self.drive_unchecked(readiness, steps);
        self.check_invariants();
        outcome
    }

    /// As [`drive`](Self::drive), but without the check, which fails while others hold memory of the pool.
    fn drive_unchecked(&mut self, readiness: Readiness, steps: &[Step]) -> Outcome {
        let mut stream = ScriptedStream::<true>::new(steps);
        let outcome = self.drive_stream(&mut stream, readiness);
        stream.assert_no_steps_left();
        outcome
    }

    /// The owner closes its side, over a stream that must follow all `steps`.
    fn half_close(&mut self, steps: &[Step]) -> Result<(), CloseReason> {
        let mut stream = ScriptedStream::<true>::new(steps);
        let mut cx = drive_context(&mut self.common, &mut self.write_buffer);
        let result = self.connection.half_close(&mut stream, &mut cx);
        stream.assert_no_steps_left();
        result
    }

    /// The owner writes, over a stream that must follow all `steps`.
    fn write(
        &mut self,
        steps: &[Step],
        write: impl FnOnce(&mut Outbox<'_>),
    ) -> Result<bool, CloseReason> {
        let mut stream = ScriptedStream::<true>::new(steps);
        let mut cx = drive_context(&mut self.common, &mut self.write_buffer);
        let result = self.connection.write(&mut stream, &mut cx, write);
        stream.assert_no_steps_left();
        result
    }

    fn write_bytes(&mut self, bytes: &[u8], steps: &[Step]) -> Result<bool, CloseReason> {
        self.write(steps, |outbox| outbox.write(bytes))
    }

    fn last_error(&self) -> Option<io::ErrorKind> {
        self.common.last_error.as_ref().map(io::Error::kind)
    }

    fn class(&self) -> Class {
        self.connection.class()
    }

    /// Why the connection closes if its deadline passes now.
    fn expire(&self) -> CloseReason {
        self.connection.expire()
    }

    fn pending_output(&self) -> usize {
        self.connection.pending_output(&self.common.pool)
    }

    fn start_watching_writable(&mut self) -> bool {
        self.connection.start_watching_writable()
    }

    /// Checks the invariants of a connection that was driven and holds all memory of the pool.
    fn check_invariants(&self) {
        let pool = &self.common.pool;
        if let Some(buffers) = pool.buffers.get(self.connection.buffers) {
            assert!(
                !buffers.output.is_empty() || !buffers.input.is_empty(),
                "empty buffers were not freed"
            );
            assert!(
                !self.connection.is_input_blocked() || !buffers.input.is_empty(),
                "input is blocked, but there is none"
            );
        }
        let is_pending = self.pending_output() > 0;
        assert_eq!(self.connection.has_pending_output(), is_pending);
        assert_eq!(
            pool.held(),
            self.connection.footprint(pool),
            "memory accounted"
        );
    }
}

/// Makes another connection hold so many bytes of memory with pending output.
fn hold_output(pool: &mut Pool, bytes: usize) {
    let mut id = BuffersId::NONE;
    let key = Key {
        slot: u32::MAX,
        serial: 1,
    };
    let buffers = pool.hold(&mut id, key).unwrap();
    let entry = Buffers::LEAST - SMALLEST;
    buffers.output.push(&vec![0; bytes - entry]).unwrap();
    pool.update(&mut id, super::by_size::Kind::Pending);
    assert_eq!(pool.held_by(id), bytes);
}

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;
const DRAIN: Readiness = Readiness::DRAIN;
