//! A timeline: the iterations of an event loop, and what happened on each connection.

use crate::connection::{Classes, CloseReason};
use crate::net::{
    Ending, Note, Opening, Readiness, Ring, Signal, Source, Time, TraceEvent, TraceKind,
};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// What an event loop did, in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The events of the loop (serial number 0) and of the connections.
    pub events: Vec<TraceEvent>,
    /// Older events that were dropped.
    pub dropped: u64,
    /// The iterations of the loop. Events before the first are those of an iteration whose begin was dropped.
    pub iterations: Vec<Iteration>,
    /// The connections, by serial number.
    pub connections: BTreeMap<u32, Track>,
}

/// One iteration of the event loop: a wait, and the work after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// When the wait began.
    pub start: Time,
    /// The most time to wait; `None`: no limit.
    pub timeout: Option<Duration>,
    /// When the wait ended, and the work began.
    pub woke: Time,
    /// The number of events that the wait has returned.
    pub ready: u32,
    /// When the work ended: at the start of the next wait, or with the last event.
    pub end: Time,
    /// The positions of its events in [`Timeline::events`]; the first is its wait.
    pub events: Range<usize>,
}

impl Iteration {
    /// The time of the wait.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.woke.since(self.start)
    }

    /// The time of the work.
    #[must_use]
    pub fn worked(&self) -> Duration {
        self.end.since(self.woke)
    }
}

/// What happened on one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// The address of the peer.
    pub peer: Option<SocketAddr>,
    /// When the connection was opened, and how; `None` if that was before the first event.
    pub opened: Option<(Time, Opening)>,
    /// When it was closed, and how.
    pub closed: Option<(Time, Ending)>,
    /// Why it was closed.
    pub reason: Option<CloseReason>,
    /// Reads that returned input.
    pub reads: u64,
    /// Bytes that were read, without those of `bytes_dropped`.
    pub bytes_in: u64,
    /// Bytes that a server has read after it had sent FIN; it drops them.
    pub bytes_dropped: u64,
    /// Writes that the kernel has accepted, in part or completely.
    pub writes: u64,
    /// Bytes that the kernel has accepted.
    pub bytes_out: u64,
    /// Calls that would have blocked.
    pub would_block: u64,
    is_fin_sent: bool,
}

impl Timeline {
    /// The timeline of what a network has recorded.
    #[must_use]
    pub fn of(ring: &Ring) -> Timeline {
        let mut timeline = Timeline::from_events(ring.events());
        timeline.dropped = ring.dropped();
        for (serial, track) in &mut timeline.connections {
            track.peer = ring.peer(*serial);
        }
        timeline
    }

    /// The timeline of some events, in the order of time.
    pub fn from_events(events: impl IntoIterator<Item = TraceEvent>) -> Timeline {
        let mut timeline = Timeline::default();
        for event in events {
            timeline.push(event);
        }
        timeline
    }

    /// Appends an event.
    pub fn push(&mut self, event: TraceEvent) {
        let at = self.events.len();
        self.events.push(event);
        let end = event.end();
        if let TraceKind::Wait(timeout) = event.kind {
            if let Some(last) = self.iterations.last_mut() {
                last.end = last.woke.max(event.time);
            }
            self.iterations.push(Iteration {
                start: event.time,
                timeout: (timeout != u32::MAX).then(|| Duration::from_micros(timeout.into())),
                woke: event.time,
                ready: 0,
                end: event.time,
                events: at..at + 1,
            });
        } else if let Some(last) = self.iterations.last_mut() {
            last.end = last.end.max(end);
            last.events.end = at + 1;
            if let TraceKind::Woke(ready) = event.kind {
                (last.woke, last.ready) = (event.time, ready);
            }
        }
        if event.serial != 0 {
            self.connections
                .entry(event.serial)
                .or_default()
                .add(&event);
        }
    }

    /// The time of the first event.
    #[must_use]
    pub fn start(&self) -> Time {
        self.events.first().map_or(Time::ZERO, |event| event.time)
    }

    /// The end of the last event.
    #[must_use]
    pub fn end(&self) -> Time {
        let ends = self.events.iter().map(TraceEvent::end);
        ends.max().unwrap_or_default()
    }

    /// Bytes that were read and written on all connections, as the server counts them.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let tracks = self.connections.values();
        tracks.fold((0, 0), |(bytes_in, bytes_out), track| {
            (bytes_in + track.bytes_in, bytes_out + track.bytes_out)
        })
    }
}

impl Track {
    fn add(&mut self, event: &TraceEvent) {
        match event.kind {
            TraceKind::Opened(opening) => self.opened = Some((event.time, opening)),
            TraceKind::Closed(ending) => self.closed = Some((event.time, ending)),
            TraceKind::Note(Note::Closing(reason)) => {
                self.reason = CloseReason::from_number(reason);
            }
            TraceKind::FinSent => self.is_fin_sent = true,
            TraceKind::Read(bytes) => {
                self.reads += 1;
                let is_client = matches!(self.opened, Some((_, Opening::Connecting)));
                if self.is_fin_sent && !is_client {
                    self.bytes_dropped += u64::from(bytes);
                } else {
                    self.bytes_in += u64::from(bytes);
                }
            }
            TraceKind::Write(bytes) => {
                self.writes += 1;
                self.bytes_out += u64::from(bytes);
            }
            TraceKind::ReadFailed(ErrorKind::WouldBlock)
            | TraceKind::WriteFailed(ErrorKind::WouldBlock) => self.would_block += 1,
            _ => {}
        }
    }
}

/// An event in words, at most 60 characters, without its connection: `read 128 B`.
#[must_use]
pub fn text_of(kind: TraceKind) -> String {
    match kind {
        TraceKind::Wait(u32::MAX) => "wait without a limit".to_owned(),
        TraceKind::Wait(0) => "poll".to_owned(),
        TraceKind::Wait(micros) => format!(
            "wait for at most {}",
            crate::time::in_units(Duration::from_micros(micros.into()))
        ),
        TraceKind::Woke(1) => "1 event".to_owned(),
        TraceKind::Woke(count) => format!("{count} events"),
        TraceKind::Ready { readiness, .. } => format!("ready: {}", readiness_text(readiness)),
        TraceKind::AcceptEmpty => "accept: the queue is empty".to_owned(),
        TraceKind::AcceptFailed(error) => format!("accept: {error}"),
        TraceKind::AcceptExhausted => "accept: no file descriptor or memory left".to_owned(),
        TraceKind::Refused => "refused".to_owned(),
        TraceKind::Opened(Opening::Accepted) => "accepted".to_owned(),
        TraceKind::Opened(Opening::Connecting) => "connecting".to_owned(),
        TraceKind::Opened(Opening::TakenOver) => "taken over".to_owned(),
        TraceKind::Connected => "established".to_owned(),
        TraceKind::Read(bytes) => format!("read {bytes} B"),
        TraceKind::Eof => "read FIN".to_owned(),
        TraceKind::ReadFailed(ErrorKind::WouldBlock) => "read would block".to_owned(),
        TraceKind::ReadFailed(error) => format!("read: {error}"),
        TraceKind::Write(bytes) => format!("write {bytes} B"),
        TraceKind::WriteFailed(ErrorKind::WouldBlock) => "write would block".to_owned(),
        TraceKind::WriteFailed(error) => format!("write: {error}"),
        TraceKind::SendBufferFull => "the send buffer is full".to_owned(),
        TraceKind::Failed(error) => format!("failed: {error}"),
        TraceKind::WatchWritable => "watch for output space".to_owned(),
        TraceKind::FinSent => "send FIN".to_owned(),
        TraceKind::Closed(Ending::Fin | Ending::Empty) => "close".to_owned(),
        TraceKind::Closed(Ending::Reset) => "close with RST".to_owned(),
        TraceKind::Signal(signal) => Signal::name(signal).to_owned(),
        TraceKind::Note(note) => note_text(note),
    }
}

/// The name of a source: `listener 0`, `signals`.
#[must_use]
pub fn source_text(source: Source) -> String {
    match source {
        Source::SIGNALS => "signals".to_owned(),
        Source::STDIN => "standard input".to_owned(),
        Source::STDOUT => "standard output".to_owned(),
        Source::PROGRAM => "program".to_owned(),
        Source::PACKETS => "packets".to_owned(),
        _ => match source.listener_index() {
            Some(index) => format!("listener {index}"),
            None => format!("source {}", source.0),
        },
    }
}

fn readiness_text(readiness: Readiness) -> String {
    let names = [
        (Readiness::READABLE, "input"),
        (Readiness::WRITABLE, "output space"),
        (Readiness::DRAIN, "FIN, error or urgent data"),
    ];
    let names = names
        .into_iter()
        .filter(|(bit, _)| readiness.contains(*bit));
    let names: Vec<_> = names.map(|(_, name)| name).collect();
    names.join(", ")
}

fn note_text(note: Note) -> String {
    let text = match note {
        Note::DeadlinePassed(class) => {
            return format!("deadline passed: {}", Classes::name(class));
        }
        Note::Closing(reason) => {
            let reason = CloseReason::from_number(reason);
            return reason.map_or_else(
                || "closing".to_owned(),
                |reason| format!("closing: {reason}"),
            );
        }
        Note::DeadlineExtended => "deadline extended: the peer makes progress",
        Note::BudgetUsed => "budget used up: continues in the next iteration",
        Note::WaitsForMemory => "waits for memory",
        Note::Resumed => "memory available: continues in the next iteration",
        Note::RecordHeld => "record complete: waits until it is written",
        Note::OutputPending => "output pending: not read until it is sent",
        Note::OutputSent => "pending output sent",
        Note::AcceptPaused => "accepting pauses: no file descriptor or memory",
        Note::AcceptResumed => "accepting continues",
        Note::AcceptBudgetUsed => "budget of accepts used up",
        Note::Drain => "drain",
    };
    text.to_owned()
}
