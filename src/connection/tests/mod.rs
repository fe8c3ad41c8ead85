//! Connections against a script: what the socket does is a list of steps, and the connection must take exactly these.

mod closing;
mod driving;
mod echoing;
mod half_closing;
mod harness;
mod messages;
mod random;
mod records;
mod refusals;
mod scarcity;
mod sessions;
mod words;

use super::buffers::Buffers;
use super::by_size::BuffersId;
use super::fifo::SMALLEST;
use super::{CloseReason, Common, Connection, DriveContext, Limits, Outcome, Pool};
use crate::net::{Key, Readiness, Stream, Time};
use crate::protocol::{Protocol, Raw, Session};
use crate::reactor::{Class, SCRATCH_SIZE, Scratch, scratch};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

/// One call that is expected of the connection, and how the socket answers.
#[derive(Clone, Debug)]
enum Step {
    /// A read finds these bytes.
    Input(Vec<u8>),
    /// A read finds nothing.
    NoInput,
    /// A read finds the peer's FIN.
    PeerFin,
    /// A read fails.
    ReadFails(io::ErrorKind),
    /// A write takes exactly these bytes of what it is offered.
    Takes(Vec<u8>),
    /// A write takes this many bytes, whatever they are.
    TakesCount(usize),
    /// A write finds no room.
    NoRoom,
    /// A write fails.
    WriteFails(io::ErrorKind),
    /// Whether the kernel would take a small answer.
    Room(bool),
    /// FIN is sent.
    Fin,
    /// FIN cannot be sent, since the peer has reset.
    FinFails,
    /// Whether a connection that was begun stands.
    Connected(Result<bool, io::ErrorKind>),
    /// From here on nothing moves: every call would block, however many there are.
    Quiet,
}

fn input(bytes: &[u8]) -> Step {
    Step::Input(bytes.to_vec())
}

fn takes(bytes: &[u8]) -> Step {
    Step::Takes(bytes.to_vec())
}

/// A socket that follows a script. A call that does not fit the next step fails the test, and so does a step left over.
#[derive(Debug)]
struct Scripted {
    steps: VecDeque<Step>,
}

impl Scripted {
    fn next(&mut self, call: &str) -> Step {
        if let Some(Step::Quiet) = self.steps.front() {
            return Step::Quiet;
        }
        let step = self.steps.pop_front();
        step.unwrap_or_else(|| panic!("{call}, but no step is left"))
    }
}

impl Stream for Scripted {
    const SHORT_READ_DRAINS: bool = true;

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next("a read") {
            Step::Input(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Step::NoInput | Step::Quiet => Err(io::ErrorKind::WouldBlock.into()),
            Step::PeerFin => Ok(0),
            Step::ReadFails(kind) => Err(kind.into()),
            step => panic!("a read, but the step is {step:?}"),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.next("a write") {
            Step::Takes(taken) => {
                assert_eq!(bytes.get(..taken.len()), Some(&*taken), "bytes written");
                Ok(taken.len())
            }
            Step::TakesCount(count) => Ok(count.min(bytes.len())),
            Step::NoRoom | Step::Quiet => Err(io::ErrorKind::WouldBlock.into()),
            Step::WriteFails(kind) => Err(kind.into()),
            step => panic!("a write of {} bytes, but the step is {step:?}", bytes.len()),
        }
    }

    fn takes_output(&mut self) -> bool {
        match self.next("a look for room") {
            Step::Room(room) => room,
            step => panic!("a look for room, but the step is {step:?}"),
        }
    }

    fn is_at_fin(&mut self) -> bool {
        // The connection does not read it again.
        let is_at_fin = matches!(self.steps.front(), Some(Step::PeerFin));
        if is_at_fin {
            self.steps.pop_front();
        }
        is_at_fin
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self.next("a FIN") {
            Step::Fin => Ok(()),
            Step::FinFails => Err(io::ErrorKind::NotConnected.into()),
            step => panic!("a FIN, but the step is {step:?}"),
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
            Some(Step::Connected(Ok(false)) | Step::Quiet) => {
                Err(io::ErrorKind::NotConnected.into())
            }
            step => panic!("a look at the peer's address, but the step is {step:?}"),
        }
    }

    fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        let stands = self.peer_addr().is_ok();
        self.next("a look whether it is connected");
        Ok(stands)
    }
}

/// What connection number 1 is driven with, at the beginning of time.
fn bench<'a, P>(common: &'a mut Common<P>, write_buffer: &'a mut Vec<u8>) -> DriveContext<'a, P> {
    let key = Key { slot: 0, serial: 1 };
    DriveContext::new(key, Time::ZERO, common, write_buffer)
}

/// A connection on a bench of its own.
struct Rig<P: Protocol> {
    common: Common<P>,
    connection: Connection<P::Session>,
    scratch: Box<Scratch>,
    write_buffer: Vec<u8>,
}

impl Rig<Raw> {
    fn raw() -> Self {
        Rig::new(Raw, Limits::default())
    }
}

impl<P: Protocol> Rig<P> {
    fn new(mut protocol: P, limits: Limits) -> Self {
        let connection = Connection::open(protocol.session());
        Rig {
            common: Common::new(protocol, limits, 1 << 30),
            connection,
            scratch: scratch(),
            write_buffer: Vec::new(),
        }
    }

    /// Drives the connection over a socket that follows `steps`, all of them.
    fn drive(&mut self, readiness: Readiness, steps: &[Step]) -> Outcome {
        let mut stream = Scripted {
            steps: steps.iter().cloned().collect(),
        };
        let mut bench = bench(&mut self.common, &mut self.write_buffer);
        let outcome = self
            .connection
            .drive(&mut stream, readiness, &mut self.scratch, &mut bench);
        assert!(stream.steps.is_empty(), "left over: {:?}", stream.steps);
        self.check();
        outcome
    }

    /// The class of deadlines of the connection.
    fn class(&self) -> Class {
        self.connection.class()
    }

    /// Why the connection ends if its deadline passes now.
    fn deadline(&self) -> CloseReason {
        self.connection.expire()
    }

    fn pending(&self) -> usize {
        self.connection.pending_output(&self.common.pool)
    }

    /// Whether output space is to be watched from now on.
    fn watches(&mut self) -> bool {
        self.connection.start_watching_writable()
    }

    /// Checks what holds whenever a connection has been driven.
    fn check(&self) {
        let pool = &self.common.pool;
        if let Some(buffers) = pool.buffers(self.connection.buffers) {
            assert!(
                !buffers.output.is_empty() || !buffers.input.is_empty(),
                "empty buffers are not freed"
            );
            assert!(
                !self.connection.is_input_blocked() || !buffers.input.is_empty(),
                "no input is blocked"
            );
        }
        let is_pending = self.pending() > 0;
        assert_eq!(self.connection.has_pending_output(), is_pending);
        assert_eq!(pool.held(), self.connection.footprint(pool), "counted");
    }
}

/// Has another connection hold so many bytes of pending output.
fn hold(pool: &mut Pool, bytes: usize) {
    let mut id = BuffersId::NONE;
    let key = Key {
        slot: u32::MAX,
        serial: 1,
    };
    let buffers = pool.hold(&mut id, key).unwrap();
    let entry = Buffers::LEAST - SMALLEST;
    buffers.output.push(&vec![0; bytes - entry]).unwrap();
    pool.update(&mut id, false);
    assert_eq!(pool.held_by(id), bytes);
}

const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;
const DRAIN: Readiness = Readiness::DRAIN;
