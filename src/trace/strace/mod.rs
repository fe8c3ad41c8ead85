//! From the output of strace(1) to a timeline: what any server did, seen from its system calls.

mod calls;
mod entry;
mod fds;
mod line;

pub use entry::StraceEntry;

use super::chrome::{ChromeTrace, NamedLoop};
use super::timeline::Timeline;
use crate::net::{Ending, Time, TraceEvent, TraceKind};
use crate::sorting;
use fds::Fds;
use line::{Call, Content, Line};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the lines of strace have shown so far.
#[derive(Debug, Default)]
pub struct Strace {
    processes: BTreeMap<u32, Process>,
    /// What happened on the connections of all processes.
    connections: Timeline,
    fds: Fds,
    /// The calls themselves, if they are kept.
    entries: Option<Vec<StraceEntry>>,
    last_serial: u32,
    /// strace has started the program, so that every file descriptor was seen.
    has_start: bool,
    /// The time of the first line.
    origin: Option<u64>,
    lines: u64,
    malformed: u64,
    first_malformed: Option<u64>,
}

/// A traced process or thread.
#[derive(Debug, Default)]
struct Process {
    /// Its waits, and its events that belong to no connection.
    timeline: Timeline,
    /// The begin of a call, and its time.
    unfinished: Option<(u64, String)>,
    /// It waits with epoll, poll or select, so that no other call is a wait.
    waits_with: Option<Waiter>,
    /// The name of its program, if that was traced.
    program: Option<String>,
}

/// How a process waits for several connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    Poll,
    Epoll,
}

impl Strace {
    /// Adds a line, without its newline. A line that is not understood is counted.
    pub fn add(&mut self, text: &str) {
        self.lines += 1;
        let text = text.trim_end();
        // Messages of strace, such as `strace: Process 7 attached`.
        if text.is_empty() || text.starts_with("strace: ") {
            return;
        }
        if self.add_line(text).is_none() {
            self.malformed += 1;
            self.first_malformed.get_or_insert(self.lines);
        }
    }

    /// The number of lines that were not understood, and that of the first of them.
    #[must_use]
    pub fn malformed(&self) -> (u64, Option<u64>) {
        (self.malformed, self.first_malformed)
    }

    /// Whether no line was understood.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.origin.is_none()
    }

    /// What happened on the connections, in the order of time.
    #[must_use]
    pub fn connections(&self) -> Timeline {
        let mut events = self.connections.events.clone();
        sorting::sort_by_key(&mut events, |event| event.time);
        let mut sorted = Timeline::from_events(events);
        for (serial, track) in &mut sorted.connections {
            track.peer = self
                .connections
                .connections
                .get(serial)
                .and_then(|track| track.peer);
        }
        sorted
    }

    /// Everything as Chrome trace JSON.
    #[must_use]
    pub fn chrome_trace(&self) -> String {
        let first = self.processes.iter().next();
        let pid = first.map_or(1, |(pid, _)| (*pid).max(1));
        let program = first.and_then(|(_, process)| process.program.as_deref());
        let mut trace = ChromeTrace::new(program.unwrap_or("strace"), pid);
        self.add_to(&mut trace, "");
        trace.finish()
    }

    /// Adds everything to a trace, with names that begin with `prefix`.
    pub fn add_to(&self, trace: &mut ChromeTrace, prefix: &str) {
        let busy = self.processes.iter();
        let busy: Vec<_> = busy
            .filter(|(_, process)| !process.timeline.events.is_empty())
            .collect();
        let names: Vec<String> = match busy.as_slice() {
            [_] => vec!["event loop".to_owned()],
            _ => busy.iter().map(|(pid, _)| format!("PID {pid}")).collect(),
        };
        let loops = names
            .iter()
            .zip(&busy)
            .map(|(name, (_, process))| NamedLoop {
                name,
                timeline: &process.timeline,
            });
        let loops: Vec<_> = loops.collect();
        trace.add(prefix, &loops, &self.connections());
    }

    fn add_line(&mut self, text: &str) -> Option<()> {
        let Line { pid, time, content } = Line::parse(text)?;
        let process = self.processes.entry(pid).or_default();
        match content {
            Content::Call(text) => self.add_call(pid, time, text)?,
            Content::Unfinished(begin) => {
                self.origin.get_or_insert(time);
                process.unfinished = Some((time, begin.to_owned()));
            }
            Content::Resumed(rest) => {
                let (start, begin) = process.unfinished.take()?;
                let space = if rest.starts_with(')') { "" } else { " " };
                self.add_call(pid, start, &(begin + space + rest))?;
            }
            Content::Exited => {
                process.unfinished = None;
                self.keep_mark(pid, time, text);
                let now = self.since_origin(time);
                for serial in self.fds.exit(pid) {
                    self.close(serial, now);
                }
            }
            Content::Other => self.keep_mark(pid, time, text),
        }
        Some(())
    }

    fn add_call(&mut self, pid: u32, time: u64, text: &str) -> Option<()> {
        let call = Call::parse(text)?;
        self.origin.get_or_insert(time);
        let start = self.since_origin(time);
        if self.entries.is_some() {
            self.keep_call(pid, start, &call, text);
        } else {
            self.call(pid, start, &call);
        }
        Some(())
    }

    fn since_origin(&self, time: u64) -> Time {
        Time::from_nanos(time.saturating_sub(self.origin.unwrap_or(time)))
    }

    fn process(&mut self, pid: u32) -> &mut Process {
        self.processes.entry(pid).or_default()
    }

    /// Adds an event of a connection.
    fn push(&mut self, serial: u32, time: Time, duration: Duration, kind: TraceKind) {
        let event = TraceEvent::new(time, duration, serial, kind);
        self.connections.push(event);
    }

    /// Adds an event of the event loop of a process.
    fn push_to_loop(&mut self, pid: u32, time: Time, duration: Duration, kind: TraceKind) {
        let event = TraceEvent::new(time, duration, 0, kind);
        self.process(pid).timeline.push(event);
    }

    fn close(&mut self, serial: u32, time: Time) {
        self.push(serial, time, Duration::ZERO, TraceKind::Closed(Ending::Fin));
    }
}

#[cfg(test)]
mod tests;
