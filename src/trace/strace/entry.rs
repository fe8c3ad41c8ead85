//! The system calls themselves, in the words of strace, for a page that shows them.

use super::Strace;
use super::fds::Fd;
use super::line::Call;
use crate::net::{Time, TraceEvent};
use crate::sorting;
use std::time::Duration;

/// A system call, a signal, or the end of a process.
#[derive(Clone, Debug)]
pub struct StraceEntry {
    /// The process or thread.
    pub pid: u32,
    /// When it began.
    pub time: Time,
    /// How long it took.
    pub duration: Duration,
    /// As strace writes it: `close(8) = 0`.
    pub text: String,
    /// The connection of its file descriptor; 0 if it has none.
    pub serial: u32,
    /// What it is in the timeline: nothing for calls such as `setsockopt`.
    pub events: Vec<TraceEvent>,
}

impl Strace {
    /// Keeps the calls themselves, too.
    #[must_use]
    pub fn with_entries() -> Strace {
        Strace {
            entries: Some(Vec::new()),
            ..Strace::default()
        }
    }

    /// The calls so far, in the order of time.
    pub fn take_entries(&mut self) -> Vec<StraceEntry> {
        let mut entries = self.entries.take().unwrap_or_default();
        sorting::sort_by_key(&mut entries, |entry| entry.time);
        entries
    }

    /// Applies a call, and keeps it with the events that it has caused.
    pub(super) fn keep_call(&mut self, pid: u32, start: Time, call: &Call<'_>, text: &str) {
        let serial = self.subject(pid, call);
        let of_connections = self.connections.events.len();
        let of_loop = self.process(pid).timeline.events.len();
        self.call(pid, start, call);
        let mut events = self.process(pid).timeline.events[of_loop..].to_vec();
        events.extend_from_slice(&self.connections.events[of_connections..]);
        let text = match text.rsplit_once(" <") {
            Some((text, duration)) if duration.ends_with('>') => text,
            _ => text,
        };
        self.keep(StraceEntry {
            pid,
            time: start,
            duration: call.duration,
            text: text.to_owned(),
            serial,
            events,
        });
    }

    /// Keeps a line that is no call, from its `---` or `+++` on.
    pub(super) fn keep_mark(&mut self, pid: u32, time: u64, line: &str) {
        let begin = line.find("+++").or_else(|| line.find("---"));
        let entry = StraceEntry {
            pid,
            time: self.since_origin(time),
            duration: Duration::ZERO,
            text: line[begin.unwrap_or(0)..].to_owned(),
            serial: 0,
            events: Vec::new(),
        };
        self.keep(entry);
    }

    fn keep(&mut self, entry: StraceEntry) {
        if let Some(entries) = &mut self.entries {
            entries.push(entry);
        }
    }

    /// The connection that a call is about.
    fn subject(&mut self, pid: u32, call: &Call<'_>) -> u32 {
        let fd = match call.name {
            "epoll_ctl" => call.number(2),
            "poll" | "ppoll" => {
                let fd = call.text(0).strip_prefix("[{fd=");
                fd.and_then(|fd| fd.split(',').next()?.parse().ok())
            }
            "setsockopt" | "getsockopt" | "getsockname" | "getpeername" | "ioctl" | "fcntl" => {
                call.number(0)
            }
            _ => None,
        };
        match fd.and_then(|fd| self.fds.get(pid, fd)) {
            Some(Fd::Connection(serial)) => serial,
            _ => 0,
        }
    }
}
