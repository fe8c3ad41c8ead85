//! The events of a trace.

use super::super::{Ending, Readiness, Signal, Time};
use std::io::ErrorKind;
use std::time::Duration;

/// What a network has done, at a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// When it began.
    pub time: Time,
    took: Took,
    /// The serial number of the connection; 0 is the event loop.
    pub serial: u32,
    /// What it was.
    pub kind: TraceKind,
}

const _: () = assert!(size_of::<TraceEvent>() <= 24);

impl TraceEvent {
    /// An event that began at `time` and took `duration`; that of serial number 0 is one of the event loop.
    #[inline]
    #[must_use]
    pub fn new(time: Time, duration: Duration, serial: u32, kind: TraceKind) -> TraceEvent {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        TraceEvent::with_nanos(time, nanos, serial, kind)
    }

    /// As [`new`](TraceEvent::new), with a duration in nanoseconds.
    #[inline]
    pub(super) fn with_nanos(time: Time, nanos: u64, serial: u32, kind: TraceKind) -> TraceEvent {
        TraceEvent {
            time,
            took: Took::of(nanos),
            serial,
            kind,
        }
    }

    /// How long it took: the time of a system call. From two seconds on it is rounded down to a microsecond, and it is
    /// at most 36 minutes.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.took.duration()
    }

    /// When it ended.
    #[must_use]
    pub fn end(&self) -> Time {
        self.time + self.duration()
    }
}

/// A duration in four bytes: nanoseconds, or with the highest bit 1,024 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Took(u32);

impl Took {
    const COARSE: u32 = 1 << 31;

    #[inline]
    fn of(nanos: u64) -> Took {
        match u32::try_from(nanos) {
            Ok(nanos) if nanos < Took::COARSE => Took(nanos),
            _ => Took::coarse(nanos),
        }
    }

    #[cold]
    fn coarse(nanos: u64) -> Took {
        let units = u32::try_from(nanos >> 10);
        let units = units.unwrap_or(u32::MAX).min(Took::COARSE - 1);
        Took(units | Took::COARSE)
    }

    fn duration(self) -> Duration {
        let Took(value) = self;
        if value < Took::COARSE {
            Duration::from_nanos(value.into())
        } else {
            Duration::from_nanos(u64::from(value - Took::COARSE) << 10)
        }
    }
}

/// What a network has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceKind {
    /// The event loop waits for events, for this many microseconds at most; `u32::MAX`: without a limit. An iteration
    /// begins.
    Wait(u32),
    /// The wait has ended with this number of events.
    Woke(u32),
    /// A connection is ready; or, with serial number 0, the source of this number.
    Ready {
        /// What it is ready for.
        readiness: Readiness,
        /// The number of the source.
        source: u32,
    },
    /// No connection was in the accept queue.
    AcceptEmpty,
    /// Accepting has failed for one connection.
    AcceptFailed(ErrorKind),
    /// Accepting has failed: no file descriptor or memory is left.
    AcceptExhausted,
    /// A connection was accepted and closed again.
    Refused,
    /// A connection was registered for events.
    Opened(Opening),
    /// A connection that this process started is established.
    Connected,
    /// This number of bytes was read.
    Read(u32),
    /// FIN was read.
    Eof,
    /// A read has failed; `WouldBlock`: there was no input.
    ReadFailed(ErrorKind),
    /// This number of bytes was written.
    Write(u32),
    /// A write has failed; `WouldBlock`: the send buffer was full.
    WriteFailed(ErrorKind),
    /// The send buffer is full, as poll(2) reports.
    SendBufferFull,
    /// The connection has failed, as its pending error reports.
    Failed(ErrorKind),
    /// The connection is watched for output space, too.
    WatchWritable,
    /// FIN was sent, and the connection can still be read.
    FinSent,
    /// The socket was closed.
    Closed(Ending),
    /// A signal was received.
    Signal(Signal),
    /// Why: what the event loop or the server has decided.
    Note(Note),
}

/// How a connection came to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A listener has accepted it.
    Accepted,
    /// This process connects.
    Connecting,
    /// Another process has passed it on, in an upgrade.
    TakenOver,
}

/// A decision that no call on the network shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The deadline of a connection has passed, in the class of this number
    /// ([`Classes`](crate::connection::Classes)).
    DeadlinePassed(u8),
    /// The peer has made progress according to the kernel, so the deadline starts again.
    DeadlineExtended,
    /// The connection has used up its budget, and continues in the next iteration without an event.
    BudgetUsed,
    /// The connection waits for memory.
    WaitsForMemory,
    /// There is memory again: the connection continues in the next iteration.
    Resumed,
    /// The connection holds a record, and waits until it is written.
    RecordHeld,
    /// The kernel has not accepted all output: the connection is read again when it is sent.
    OutputPending,
    /// All pending output was sent.
    OutputSent,
    /// Accepting pauses: the process has no file descriptor or memory left.
    AcceptPaused,
    /// Accepting continues.
    AcceptResumed,
    /// The budget of accepts is used up; further connections are accepted in the next iteration.
    AcceptBudgetUsed,
    /// A drain begins; or, on a connection: it answers the input that has arrived, and closes.
    Drain,
    /// The connection closes for the reason of this number ([`CloseReason`](crate::connection::CloseReason)).
    Closing(u8),
}
