//! The page of a version: prediction, result, reason, and its system calls in the order of time. It loads nothing and has
//! no script.

use super::difference::Function;
use super::repeats::blocks;
use super::report::{figures, where_the_reason_is};
use super::traced::TracedRun;
use crate::net::{Opening, TraceKind};
use crate::numbers::grouped;
use crate::trace::{StraceEntry, Timeline, text_of};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::time::Duration;

const STYLE: &str = include_str!("page.css");

/// The page may load nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The rows at the begin and at the end of the table, if there are more.
const FIRST: usize = 320;
const LAST: usize = 80;

/// The longest text of a call.
const WIDTH: usize = 160;

/// Formats a run as a complete HTML document. `other` is the page of the other version; without it, the reason is left to
/// the reader.
#[must_use]
pub fn page(run: &TracedRun, other: Option<&str>) -> String {
    let (trap, version) = (run.trap, run.version.name());
    let reason = where_the_reason_is(trap);
    let title = format!("{}, {version} version", trap.name);
    let facts = [
        ("experiment", trap.experiment),
        ("predicted", trap.predicted(run.version)),
        ("result", &figures(run.version, &run.outcome)),
        ("why", if other.is_some() { trap.why } else { &reason }),
    ];
    let calls = Calls::of(run);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) ": echoloop lab trap" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.soft { (trap.sentence) }
                }
                main {
                    dl.(version) { @for (name, text) in facts { dt { (name) } dd { (text) } } }
                    @if let Some(other) = other { p { a href=(other) { "The other version" } } }
                    (code(run))
                    (calls.summary())
                    (calls.table())
                }
                footer {
                    "Recorded by echoloop " (env!("CARGO_PKG_VERSION")) " with strace, which makes the calls slower: "
                    "their order is right, their times are longer."
                }
            }
        }
    };
    page.into_string() + "\n"
}

/// The version in the source.
fn code(run: &TracedRun) -> Markup {
    let source = &run.trap.source;
    html! {
        @if let Some(function) = Function::find(source.text, run.version.name()) {
            h2 { "Code" }
            p.soft { (function.summary) }
            pre { (function.body.join("\n")) }
            p.soft { (source.path) ", fn " (run.version.name()) }
        }
    }
}

/// The system calls of the experiment.
struct Calls<'a> {
    entries: &'a [StraceEntry],
    connections: Timeline,
    /// Several processes or threads have made them.
    has_threads: bool,
}

/// A row of the table.
enum Row {
    Call(usize),
    /// The rows before, as many as `length`, are repeated up to a position.
    Again {
        length: usize,
        times: usize,
        end: usize,
    },
}

impl Row {
    /// The position of its first call.
    fn start(&self) -> usize {
        match self {
            Row::Call(at) => *at,
            Row::Again { length, times, end } => end - length * times,
        }
    }

    /// The position after its calls.
    fn end(&self) -> usize {
        match self {
            Row::Call(at) => at + 1,
            Row::Again { end, .. } => *end,
        }
    }
}

impl Calls<'_> {
    /// The calls from the first socket on: the others start the program.
    fn of(run: &TracedRun) -> Calls<'_> {
        let is_first = |entry: &StraceEntry| entry.text.starts_with("socket(");
        let first = run.entries.iter().position(is_first).unwrap_or(0);
        let entries = &run.entries[first..];
        let has_threads = entries.iter().any(|entry| entry.pid != entries[0].pid);
        Calls {
            entries,
            connections: run.strace.connections(),
            has_threads,
        }
    }

    /// How many calls there are of each name, and how many of them have failed.
    fn summary(&self) -> Markup {
        let mut counts: Vec<(&str, &str, u64)> = Vec::new();
        for entry in self.entries {
            let Some((name, _)) = entry.text.split_once('(') else {
                continue;
            };
            let error = error_of(&entry.text).unwrap_or("");
            let known = counts
                .iter_mut()
                .find(|count| (count.0, count.1) == (name, error));
            match known {
                Some(count) => count.2 += 1,
                None => counts.push((name, error, 1)),
            }
        }
        html! {
            h2 { "System calls" }
            p {
                "Client and server of the experiment are one program: the end of a connection that connect(2) has \
                 opened is the client, the one from accept(2) the server."
            }
            ul.counts {
                @for (name, error, count) in counts {
                    li { code { (name) } @if !error.is_empty() { " " (error) } " " b { (grouped(count)) } }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        let rows = self.rows();
        let hidden = rows.len().saturating_sub(FIRST + LAST);
        let first = if hidden > 1 { FIRST } else { rows.len() };
        let (first, rest) = rows.split_at(first);
        let last = rest.split_at(rest.len().min(hidden)).1;
        html! {
            div.scroll {
                table {
                    thead { tr {
                        th { "ms" }
                        @if self.has_threads { th { "PID" } }
                        th { "call" }
                        th { "took ms" }
                        th { "in the timeline" }
                    } }
                    tbody {
                        @for row in first { (self.row(row)) }
                        @if let (Some(before), Some(after)) = (first.last(), last.first()) {
                            (self.note(&format!(
                                "{} calls are not shown",
                                grouped((after.start() - before.end()) as u64)
                            )))
                        }
                        @for row in last { (self.row(row)) }
                    }
                }
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        let is_same = |one: usize, other: usize| {
            let (one, other) = (&self.entries[one], &self.entries[other]);
            one.pid == other.pid && one.text == other.text
        };
        let mut rows = Vec::new();
        for block in blocks(self.entries.len(), &is_same) {
            rows.extend(block.first.clone().map(Row::Call));
            if block.times > 1 {
                rows.push(Row::Again {
                    length: block.first.len(),
                    times: block.times - 1,
                    end: block.end(),
                });
            }
        }
        rows
    }

    fn row(&self, row: &Row) -> Markup {
        match row {
            Row::Call(at) => self.call(&self.entries[*at]),
            Row::Again { length, times, end } => {
                let calls = match length {
                    1 => "the call above".to_owned(),
                    _ => format!("the {length} calls above"),
                };
                let until = self.millis(&self.entries[end - 1]);
                let times = match times {
                    1 => "once more".to_owned(),
                    _ => format!("{} times more", grouped(*times as u64)),
                };
                self.note(&format!("{calls}, {times}, until {until} ms"))
            }
        }
    }

    fn call(&self, entry: &StraceEntry) -> Markup {
        let text: String = entry.text.chars().take(WIDTH).collect();
        let is_cut = text.len() < entry.text.len();
        html! {
            tr.failed[error_of(&entry.text).is_some()] {
                td.number { (self.millis(entry)) }
                @if self.has_threads { td.number { (entry.pid) } }
                td { code { (text) @if is_cut { "\u{2026}" } } }
                td.number { (in_millis(entry.duration)) }
                td { (self.meaning(entry)) }
            }
        }
    }

    /// A row of text.
    fn note(&self, text: &str) -> Markup {
        let columns = 4 + usize::from(self.has_threads);
        html! { tr { td.note colspan=(columns) { (text) } } }
    }

    /// The time of a call, since the first one.
    fn millis(&self, entry: &StraceEntry) -> String {
        in_millis(entry.time.since(self.entries[0].time))
    }

    /// What the timeline has for a call.
    fn meaning(&self, entry: &StraceEntry) -> Markup {
        let events = entry.events.iter();
        let events = events.filter(|event| !matches!(event.kind, TraceKind::Wait(_)));
        html! {
            @if entry.events.is_empty() { (self.connection(entry.serial)) }
            @for (index, event) in events.enumerate() {
                @if index > 0 { "; " }
                (self.connection(event.serial))
                (text_of(event.kind))
            }
        }
    }

    /// The name of a connection, and whose end it is.
    fn connection(&self, serial: u32) -> Markup {
        let track = self.connections.connections.get(&serial);
        let opened = track.and_then(|track| track.opened);
        let end = match opened {
            Some((_, Opening::Connecting)) => "client",
            Some(_) => "server",
            None => "",
        };
        html! { @if serial != 0 { span.(end) { "#" (serial) " " (end) } " " } }
    }
}

/// The name of the error with which a call has failed.
fn error_of(text: &str) -> Option<&str> {
    let (_, error) = text.rsplit_once(" = -1 ")?;
    error.split(' ').next()
}

fn in_millis(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1e3)
}
