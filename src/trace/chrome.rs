//! A timeline as Chrome trace JSON, which Perfetto shows
//! ([format](https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU)).
//!
//! The loop is thread 1, with its waits and its work as slices. The connection with serial number 17 is thread 18, with
//! one slice from its opening to its end, and in it a slice for each call. Everything without a duration is an instant.

use super::timeline::{Timeline, Track, source_text, text_of};
use crate::net::{Ending, Opening, Source, Time, TraceEvent, TraceKind};
use serde_json::{Value, json};
use std::io::{self, Write};

/// An event loop with its name.
#[derive(Clone, Copy, Debug)]
pub struct NamedLoop<'a> {
    /// The name, such as `event loop`.
    pub name: &'a str,
    /// What it did.
    pub timeline: &'a Timeline,
}

/// Writes the timeline of one event loop.
///
/// # Errors
/// The error of `out`.
pub fn write_chrome_trace(
    out: &mut impl Write,
    process: &str,
    pid: u32,
    timeline: &Timeline,
) -> io::Result<()> {
    let name = "event loop";
    write_loops(out, process, pid, &[NamedLoop { name, timeline }], timeline)
}

/// Writes the timelines of several event loops, and the connections of all of them.
///
/// # Errors
/// The error of `out`.
pub fn write_loops(
    out: &mut impl Write,
    process: &str,
    pid: u32,
    loops: &[NamedLoop<'_>],
    connections: &Timeline,
) -> io::Result<()> {
    let mut writer = Writer {
        out,
        pid,
        is_first: true,
    };
    writer.out.write_all(b"{\"traceEvents\":[")?;
    writer.name("process_name", 1, process)?;
    for (named, tid) in loops.iter().zip(1..) {
        writer.thread(tid, named.name)?;
        writer.event_loop(tid, named.timeline)?;
    }
    let loops = u32::try_from(loops.len()).unwrap_or(u32::MAX);
    let tid_of = |serial: u32| u64::from(serial) + u64::from(loops);
    for (serial, track) in &connections.connections {
        let tid = tid_of(*serial);
        writer.thread(tid, &track_name(*serial, track))?;
        writer.lifetime(tid, *serial, track, connections)?;
    }
    for event in connections.events.iter().filter(|event| event.serial != 0) {
        writer.event(tid_of(event.serial), event)?;
    }
    let (bytes_in, bytes_out) = connections.bytes();
    let other = json!({
        "program": concat!("echoloop ", env!("CARGO_PKG_VERSION")),
        "dropped": connections.dropped,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
    });
    writeln!(
        writer.out,
        "\n],\"displayTimeUnit\":\"ns\",\"otherData\":{other}}}"
    )
}

fn track_name(serial: u32, track: &Track) -> String {
    match track.peer {
        Some(peer) => format!("#{serial} {peer}"),
        None => format!("#{serial}"),
    }
}

struct Writer<'a, W> {
    out: &'a mut W,
    pid: u32,
    is_first: bool,
}

impl<W: Write> Writer<'_, W> {
    /// Writes the common part of an event; the caller closes it.
    fn begin(&mut self, phase: char, tid: u64, name: &str) -> io::Result<()> {
        let separator = if self.is_first { "" } else { "," };
        self.is_first = false;
        let pid = self.pid;
        let name = Value::from(name);
        write!(
            self.out,
            "{separator}\n{{\"ph\":\"{phase}\",\"pid\":{pid},\"tid\":{tid},\"name\":{name}"
        )
    }

    fn name(&mut self, what: &str, tid: u64, name: &str) -> io::Result<()> {
        self.begin('M', tid, what)?;
        write!(self.out, ",\"args\":{}}}", json!({ "name": name }))
    }

    fn thread(&mut self, tid: u64, name: &str) -> io::Result<()> {
        self.name("thread_name", tid, name)?;
        self.begin('M', tid, "thread_sort_index")?;
        write!(self.out, ",\"args\":{}}}", json!({ "sort_index": tid }))
    }

    fn slice(
        &mut self,
        tid: u64,
        name: &str,
        (start, end): (Time, Time),
        args: &str,
    ) -> io::Result<()> {
        self.begin('X', tid, name)?;
        write!(self.out, ",\"ts\":{}", Micros(start.as_nanos()))?;
        let nanos = end.as_nanos().saturating_sub(start.as_nanos());
        write!(self.out, ",\"dur\":{}", Micros(nanos))?;
        self.end(args)
    }

    fn instant(&mut self, tid: u64, name: &str, time: Time, args: &str) -> io::Result<()> {
        self.begin('i', tid, name)?;
        let time = Micros(time.as_nanos());
        write!(self.out, ",\"ts\":{time},\"s\":\"t\"")?;
        self.end(args)
    }

    /// Ends an event with its arguments, a JSON object or nothing.
    fn end(&mut self, args: &str) -> io::Result<()> {
        if !args.is_empty() {
            write!(self.out, ",\"args\":{args}")?;
        }
        self.out.write_all(b"}")
    }

    /// Writes the iterations of a loop, and its events.
    fn event_loop(&mut self, tid: u64, timeline: &Timeline) -> io::Result<()> {
        for iteration in &timeline.iterations {
            let events = &timeline.events[iteration.events.clone()];
            let has_woken = events.iter().any(|event| is_wake(event.kind));
            let woke = if has_woken {
                iteration.woke
            } else {
                iteration.end
            };
            let ready = iteration.ready;
            let args = match iteration.timeout {
                Some(timeout) => {
                    let micros = timeout.as_micros();
                    format!("{{\"timeout_us\":{micros},\"events\":{ready}}}")
                }
                None => format!("{{\"events\":{ready}}}"),
            };
            self.slice(tid, "wait", (iteration.start, woke), &args)?;
            if iteration.end > woke {
                self.slice(tid, "work", (woke, iteration.end), "")?;
            }
        }
        for event in &timeline.events {
            if event.serial == 0 && !matches!(event.kind, TraceKind::Wait(_) | TraceKind::Woke(_)) {
                self.event(tid, event)?;
            }
        }
        Ok(())
    }

    /// Writes the slice of a whole connection.
    fn lifetime(
        &mut self,
        tid: u64,
        serial: u32,
        track: &Track,
        timeline: &Timeline,
    ) -> io::Result<()> {
        let start = track.opened.map_or(timeline.start(), |(time, _)| time);
        let end = track.closed.map_or(timeline.end(), |(time, _)| time);
        let args = json!({
            "opened": track.opened.map_or("before the trace", |(_, opening)| opening_text(opening)),
            "closed": closed_text(track),
            "reads": track.reads,
            "bytes_in": track.bytes_in,
            "bytes_dropped": track.bytes_dropped,
            "writes": track.writes,
            "bytes_out": track.bytes_out,
            "would_block": track.would_block,
        });
        self.slice(tid, &format!("#{serial}"), (start, end), &args.to_string())
    }

    fn event(&mut self, tid: u64, event: &TraceEvent) -> io::Result<()> {
        let args = match event.kind {
            TraceKind::Read(bytes) | TraceKind::Write(bytes) => format!("{{\"bytes\":{bytes}}}"),
            _ => String::new(),
        };
        let text = match event.kind {
            TraceKind::Ready { source, .. } if event.serial == 0 => {
                format!("ready: {}", source_text(Source(source)))
            }
            kind => text_of(kind),
        };
        if is_call(event.kind) {
            self.slice(tid, &text, (event.time, event.end()), &args)
        } else {
            self.instant(tid, &text, event.time, &args)
        }
    }
}

fn is_wake(kind: TraceKind) -> bool {
    matches!(kind, TraceKind::Woke(_))
}

/// Whether an event is a call, and has a duration.
fn is_call(kind: TraceKind) -> bool {
    matches!(
        kind,
        TraceKind::Read(_)
            | TraceKind::Eof
            | TraceKind::ReadFailed(_)
            | TraceKind::Write(_)
            | TraceKind::WriteFailed(_)
            | TraceKind::AcceptEmpty
            | TraceKind::AcceptFailed(_)
            | TraceKind::AcceptExhausted
            | TraceKind::Opened(Opening::Accepted | Opening::Connecting)
    )
}

fn opening_text(opening: Opening) -> &'static str {
    match opening {
        Opening::Accepted => "accepted",
        Opening::Connecting => "connected by this process",
        Opening::TakenOver => "taken over",
    }
}

fn closed_text(track: &Track) -> String {
    match (track.closed, track.reason) {
        (None, _) => "open at the end of the trace".to_owned(),
        (Some(_), Some(reason)) => reason.to_string(),
        (Some((_, Ending::Reset)), None) => "with RST".to_owned(),
        (Some(_), None) => "closed".to_owned(),
    }
}

/// Nanoseconds, written as microseconds.
struct Micros(u64);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
