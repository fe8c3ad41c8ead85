//! A stream of a recording network: a call only tests a counter while no network records.

use super::TraceKind;
use super::current::{is_recording, with_current};
use crate::net::Stream;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

/// A stream with a number.
pub trait Numbered {
    /// The number, which no other open stream has at the same time, such as its file descriptor.
    fn number(&self) -> u32;
}

impl Numbered for TcpStream {
    fn number(&self) -> u32 {
        self.as_raw_fd().cast_unsigned()
    }
}

/// Records an event of a stream, if its network records.
#[cold]
#[inline(never)]
fn push_of_stream(number: u32, kind: TraceKind) {
    with_current(|ring| {
        if let Some(ring) = ring {
            let now = ring.time();
            ring.record_call(number, now, kind);
        }
    });
}

/// A stream of [`Traced`](super::Traced).
#[derive(Debug)]
#[repr(transparent)]
pub struct TracedStream<S>(pub(super) S);

impl<S> TracedStream<S> {
    /// Wraps a stream that another process has opened.
    pub fn new(stream: S) -> TracedStream<S> {
        TracedStream(stream)
    }

    /// The stream itself.
    pub fn inner(&self) -> &S {
        &self.0
    }
}

impl<S: Stream + Numbered> TracedStream<S> {
    #[cold]
    #[inline(never)]
    fn read_recorded(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recorded(|stream| stream.read(buffer), Direction::In)
    }

    #[cold]
    #[inline(never)]
    fn write_recorded(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.recorded(|stream| stream.write(bytes), Direction::Out)
    }

    /// Performs and records a call.
    #[inline]
    fn recorded(
        &mut self,
        call: impl FnOnce(&mut S) -> io::Result<usize>,
        direction: Direction,
    ) -> io::Result<usize> {
        with_current(|ring| {
            let Some(ring) = ring else {
                return call(&mut self.0);
            };
            let start = ring.time();
            let result = call(&mut self.0);
            ring.record_call(self.0.number(), start, direction.kind(&result));
            result
        })
    }

    /// Records an event of this stream, if its network records.
    fn record(&self, kind: TraceKind) {
        push_of_stream(self.0.number(), kind);
    }
}

/// The direction of a transfer.
#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

impl Direction {
    #[inline]
    fn kind(self, result: &io::Result<usize>) -> TraceKind {
        let bytes = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        match (self, result) {
            (Direction::In, Ok(0)) => TraceKind::Eof,
            (Direction::In, Ok(count)) => TraceKind::Read(bytes(*count)),
            (Direction::Out, Ok(count)) => TraceKind::Write(bytes(*count)),
            (Direction::In, Err(error)) => TraceKind::ReadFailed(error.kind()),
            (Direction::Out, Err(error)) => TraceKind::WriteFailed(error.kind()),
        }
    }
}

impl<S: Stream + Numbered> Stream for TracedStream<S> {
    const SHORT_READ_DRAINS: bool = S::SHORT_READ_DRAINS;

    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if is_recording() {
            return self.read_recorded(buffer);
        }
        self.0.read(buffer)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_recording() {
            return self.write_recorded(bytes);
        }
        self.0.write(bytes)
    }

    #[inline]
    fn read_unrecorded(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_unrecorded(buffer)
    }

    #[inline]
    fn write_unrecorded(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_unrecorded(bytes)
    }

    fn takes_output(&mut self) -> bool {
        let takes = self.0.takes_output();
        if !takes && is_recording() {
            self.record(TraceKind::SendBufferFull);
        }
        takes
    }

    fn is_at_fin(&mut self) -> bool {
        let is_at_fin = self.0.is_at_fin();
        if is_at_fin && is_recording() {
            self.record(TraceKind::Eof);
        }
        is_at_fin
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let shutdown = self.0.shutdown_write();
        if shutdown.is_ok() && is_recording() {
            self.record(TraceKind::FinSent);
        }
        shutdown
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        let taken = self.0.take_error();
        if is_recording()
            && let Ok(Some(error)) = &taken
        {
            self.record(TraceKind::Failed(error.kind()));
        }
        taken
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    fn connected(&mut self) -> io::Result<bool> {
        let connected = self.0.connected();
        if is_recording() {
            match &connected {
                Ok(true) => self.record(TraceKind::Connected),
                Ok(false) => {}
                Err(error) => self.record(TraceKind::Failed(error.kind())),
            }
        }
        connected
    }
}
