//! A timeline as Chrome trace JSON, which Perfetto shows
//! ([format](https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU)).
//!
//! The loop is thread 1, with its waits and its work as slices. The connection with serial number 17 is thread 18, with
//! one slice from its opening to its end, and in it a slice for each call. Everything without a duration is an instant.

use super::timeline::{Timeline, Track, source_text, text_of};
use crate::net::{Ending, Opening, Source, Time, TraceEvent, TraceKind};
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// An event loop with its name.
#[derive(Clone, Copy, Debug)]
pub struct NamedLoop<'a> {
    /// The name, such as `event loop`.
    pub name: &'a str,
    /// What it did.
    pub timeline: &'a Timeline,
}

/// The timeline of one event loop.
#[must_use]
pub fn chrome_trace(process: &str, pid: u32, timeline: &Timeline) -> String {
    let name = "event loop";
    let mut trace = ChromeTrace::new(process, pid);
    trace.add("", &[NamedLoop { name, timeline }], timeline);
    trace.finish()
}

/// The tracks of one process: Perfetto would fold those of a second one.
#[derive(Debug)]
pub struct ChromeTrace {
    json: String,
    pid: u32,
    /// The number of tracks so far.
    tracks: u64,
    dropped: u64,
    bytes: (u64, u64),
}

impl ChromeTrace {
    /// A trace without tracks.
    #[must_use]
    pub fn new(process: &str, pid: u32) -> ChromeTrace {
        let mut trace = ChromeTrace {
            json: String::new(),
            pid,
            tracks: 0,
            dropped: 0,
            bytes: (0, 0),
        };
        trace.name("process_name", 1, process);
        trace
    }

    /// Adds the tracks of some event loops, and those of the connections of all of them. Their names begin with `prefix`.
    pub fn add(&mut self, prefix: &str, loops: &[NamedLoop<'_>], connections: &Timeline) {
        let mut tid = self.tracks;
        for named in loops {
            tid += 1;
            self.thread(tid, &[prefix, named.name].concat());
            self.event_loop(tid, named.timeline);
        }
        let tid_of = |serial: u32| tid + u64::from(serial);
        for (serial, track) in &connections.connections {
            let tid = tid_of(*serial);
            self.tracks = tid;
            self.thread(tid, &[prefix, &track_name(*serial, track)].concat());
            self.lifetime(tid, *serial, track, connections);
        }
        self.tracks = self.tracks.max(tid);
        for event in connections.events.iter().filter(|event| event.serial != 0) {
            self.event(tid_of(event.serial), event);
        }
        let (bytes_in, bytes_out) = connections.bytes();
        self.bytes = (self.bytes.0 + bytes_in, self.bytes.1 + bytes_out);
        self.dropped += connections.dropped;
    }

    /// The JSON with all tracks.
    #[must_use]
    pub fn finish(mut self) -> String {
        let other = json!({
            "program": concat!("echoloop ", env!("CARGO_PKG_VERSION")),
            "dropped": self.dropped,
            "bytes_in": self.bytes.0,
            "bytes_out": self.bytes.1,
        });
        self.put(format_args!(
            "\n],\"displayTimeUnit\":\"ns\",\"otherData\":{other}}}\n"
        ));
        self.json
    }
}

fn track_name(serial: u32, track: &Track) -> String {
    match track.peer {
        Some(peer) => format!("#{serial} {peer}"),
        None => format!("#{serial}"),
    }
}

impl ChromeTrace {
    /// Writes the common part of an event; the caller closes it.
    fn begin(&mut self, phase: char, tid: u64, name: &str) {
        let separator = if self.json.is_empty() {
            "{\"traceEvents\":["
        } else {
            ","
        };
        let pid = self.pid;
        let name = Value::from(name);
        self.put(format_args!(
            "{separator}\n{{\"ph\":\"{phase}\",\"pid\":{pid},\"tid\":{tid},\"name\":{name}"
        ));
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // A string takes any text.
        let _ = self.json.write_fmt(text);
    }

    fn name(&mut self, what: &str, tid: u64, name: &str) {
        self.begin('M', tid, what);
        self.put(format_args!(",\"args\":{}}}", json!({ "name": name })));
    }

    fn thread(&mut self, tid: u64, name: &str) {
        self.name("thread_name", tid, name);
        self.begin('M', tid, "thread_sort_index");
        self.put(format_args!(",\"args\":{}}}", json!({ "sort_index": tid })));
    }

    fn slice(&mut self, tid: u64, name: &str, (start, end): (Time, Time), args: &str) {
        self.begin('X', tid, name);
        self.put(format_args!(",\"ts\":{}", Micros(start.as_nanos())));
        let nanos = end.as_nanos().saturating_sub(start.as_nanos());
        self.put(format_args!(",\"dur\":{}", Micros(nanos)));
        self.end(args);
    }

    fn instant(&mut self, tid: u64, name: &str, time: Time, args: &str) {
        self.begin('i', tid, name);
        let time = Micros(time.as_nanos());
        self.put(format_args!(",\"ts\":{time},\"s\":\"t\""));
        self.end(args);
    }

    /// Ends an event with its arguments, a JSON object or nothing.
    fn end(&mut self, args: &str) {
        if !args.is_empty() {
            self.put(format_args!(",\"args\":{args}"));
        }
        self.json.push('}');
    }

    /// Writes the iterations of a loop, and its events.
    fn event_loop(&mut self, tid: u64, timeline: &Timeline) {
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
            self.slice(tid, "wait", (iteration.start, woke), &args);
            if iteration.end > woke {
                self.slice(tid, "work", (woke, iteration.end), "");
            }
        }
        for event in &timeline.events {
            if event.serial == 0 && !matches!(event.kind, TraceKind::Wait(_) | TraceKind::Woke(_)) {
                self.event(tid, event);
            }
        }
    }

    /// Writes the slice of a whole connection.
    fn lifetime(&mut self, tid: u64, serial: u32, track: &Track, timeline: &Timeline) {
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
        self.slice(tid, &format!("#{serial}"), (start, end), &args.to_string());
    }

    fn event(&mut self, tid: u64, event: &TraceEvent) {
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
            self.slice(tid, &text, (event.time, event.end()), &args);
        } else {
            self.instant(tid, &text, event.time, &args);
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
