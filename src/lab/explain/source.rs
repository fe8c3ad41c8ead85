//! The lines of the source that the pages show, with their numbers. The compiler copies them from the files of the
//! engine. A test fails if a line no longer exists.

use crate::net::Note;
use std::panic::Location;

/// Consecutive lines of a source file.
#[derive(Debug)]
pub(super) struct Excerpt {
    /// The file, from the root of the repository.
    pub(super) file: &'static str,
    /// The start of the function that the lines are from.
    function: &'static str,
    /// The number of the first line.
    pub(super) first: u32,
    text: &'static [u8],
}

impl Excerpt {
    /// The lines and their numbers, without their common indentation.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u32, &'static str)> {
        let text = std::str::from_utf8(self.text).unwrap_or_default();
        let is_blank = |line: &str| line.trim().is_empty();
        let indentation = |line: &str| line.len() - line.trim_start().len();
        let lines = text.lines().filter(move |line| !is_blank(line));
        let common = lines.map(indentation).min().unwrap_or(0);
        let lines = text.lines().map(move |line| line.get(common..));
        (self.first..).zip(lines.map(Option::unwrap_or_default))
    }

    /// The name of the function.
    pub(super) fn function_name(&self) -> &'static str {
        let words = self.function.split_once("fn ");
        let name = words.map_or(self.function, |(_, name)| name);
        name.trim_end_matches(['(', '<'])
    }

    /// The number of the line that contains `text`.
    pub(super) fn line_of(&self, text: &str) -> Option<u32> {
        let mut lines = self.lines();
        lines.find_map(|(number, line)| line.contains(text).then_some(number))
    }

    fn contains(&self, file: &str, line: u32) -> bool {
        let last = self.lines().last().map_or(0, |(number, _)| number);
        file.ends_with(self.file) && (self.first..=last).contains(&line)
    }
}

/// The number of lines before `offset`, plus one.
const fn line_number(source: &[u8], offset: usize) -> u32 {
    let mut line = 1;
    let mut at = 0;
    while at < offset {
        line += (source[at] == b'\n') as u32;
        at += 1;
    }
    line
}

/// The start of the first line after `from` that starts with `text`, apart from its indentation; the end of the file if
/// there is none.
const fn find(source: &[u8], from: usize, text: &str) -> usize {
    let text = text.as_bytes();
    let mut at = from;
    while at < source.len() {
        let start = at;
        while at < source.len() && source[at] == b' ' {
            at += 1;
        }
        if starts_with(source, at, text) {
            return start;
        }
        at = end_of_line(source, at);
    }
    source.len()
}

const fn starts_with(source: &[u8], at: usize, text: &[u8]) -> bool {
    let mut matched = 0;
    while matched < text.len() {
        if at + matched >= source.len() || source[at + matched] != text[matched] {
            return false;
        }
        matched += 1;
    }
    true
}

const fn end_of_line(source: &[u8], mut at: usize) -> usize {
    while at < source.len() && source[at] != b'\n' {
        at += 1;
    }
    if at < source.len() { at + 1 } else { at }
}

const fn end_of_lines(source: &[u8], mut at: usize, count: usize) -> usize {
    let mut line = 0;
    while line < count {
        at = end_of_line(source, at);
        line += 1;
    }
    at
}

const fn copy<const LENGTH: usize>(source: &[u8], start: usize) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        text[at] = source[start + at];
        at += 1;
    }
    text
}

/// An excerpt of a file: `count` lines from the first line that starts with `$line`, after the line that starts with the
/// function. Only these lines become a part of the program.
macro_rules! excerpt {
    ($file:literal, $function:literal, $line:literal, $count:literal) => {{
        const SOURCE: &[u8] = include_bytes!(concat!("../../../", $file));
        const START: usize = find(SOURCE, find(SOURCE, 0, $function), $line);
        const LENGTH: usize = end_of_lines(SOURCE, START, $count) - START;
        const TEXT: [u8; LENGTH] = copy(SOURCE, START);
        Excerpt {
            file: $file,
            function: $function,
            first: line_number(SOURCE, START),
            text: &TEXT,
        }
    }};
}

/// The event loop: the part of the page that is always visible.
pub(super) static LOOP: [Excerpt; 4] = [
    excerpt!(
        "src/reactor/mod.rs",
        "pub fn run_iteration",
        "self.wait(handler.wake_at())?;",
        1
    ),
    excerpt!(
        "src/reactor/mod.rs",
        "pub fn run_iteration",
        "for event in &ready {",
        13
    ),
    excerpt!(
        "src/connection/driver/owner.rs",
        "fn run_iteration",
        "self.events_handled(reactor);",
        1
    ),
    excerpt!(
        "src/server/mod.rs",
        "pub fn run_iteration",
        "self.service.continue_drain(&mut self.reactor);",
        1
    ),
];

/// The lines that call the kernel, or decide not to.
pub(super) static CALLS: [Excerpt; 22] = [
    excerpt!("src/reactor/mod.rs", "fn poll", "fn poll", 6),
    excerpt!(
        "src/reactor/mod.rs",
        "pub fn insert",
        "if let Err(error) = self.net.register",
        5
    ),
    excerpt!("src/reactor/mod.rs", "pub fn remove", "pub fn remove", 5),
    excerpt!(
        "src/reactor/mod.rs",
        "pub fn watch_writable",
        "match self.slots.find(key)",
        4
    ),
    excerpt!(
        "src/connection/mod.rs",
        "pub fn drive<",
        "let is_usual =",
        10
    ),
    excerpt!(
        "src/connection/reading.rs",
        "pub(super) fn read<",
        "let is_full =",
        7
    ),
    excerpt!(
        "src/connection/reading.rs",
        "pub(super) fn read<",
        "let size = size.min(",
        8
    ),
    excerpt!(
        "src/connection/reading.rs",
        "pub(super) fn linger<",
        "match stream.read(&mut scratch[..size])",
        8
    ),
    excerpt!(
        "src/connection/sending.rs",
        "pub(super) fn deliver_caught_up<",
        "let written = if UNRECORDED",
        12
    ),
    excerpt!(
        "src/connection/sending.rs",
        "fn write_until_blocked<",
        "while sent < output.len()",
        14
    ),
    excerpt!(
        "src/connection/lifecycle.rs",
        "fn send_fin<",
        "self.before_fin(stream, cx)?;",
        8
    ),
    excerpt!(
        "src/connection/driver/mod.rs",
        "fn drive_if<",
        "if slot.is_queued()",
        5
    ),
    excerpt!(
        "src/connection/driver/mod.rs",
        "fn apply_outcome<",
        "let queued = match outcome",
        3
    ),
    excerpt!(
        "src/connection/driver/mod.rs",
        "fn apply_outcome<",
        "if changes_class || ends_rechecks",
        5
    ),
    excerpt!(
        "src/server/accepting.rs",
        "fn accept(",
        "for accepted in",
        9
    ),
    excerpt!(
        "src/server/accepting.rs",
        "fn accept_rest_and_close(",
        "for _ in 0..LIMIT",
        10
    ),
    excerpt!(
        "src/server/accepting.rs",
        "fn accept_one(",
        "let accepted = if",
        11
    ),
    excerpt!(
        "src/server/accepting.rs",
        "pub(super) fn accept_due(",
        "self.accepting.accepts_at = None;",
        10
    ),
    excerpt!(
        "src/server/accepting.rs",
        "fn pause_accepting(",
        "fn pause_accepting(",
        3
    ),
    excerpt!(
        "src/server/draining.rs",
        "pub(super) fn on_signals(",
        "while let Some(signal)",
        6
    ),
    excerpt!(
        "src/server/draining.rs",
        "pub(super) fn on_signals(",
        "let now = reactor.now();",
        2
    ),
    excerpt!(
        "src/server/draining.rs",
        "pub(super) fn drain_connection(",
        "if let Some(slot)",
        7
    ),
];

/// A line of [`CALLS`]: the index of the excerpt, and the number of the line.
pub(super) type Line = (usize, u32);

/// The line of a call, if it is in [`CALLS`].
pub(super) fn line_at(location: &Location<'_>) -> Option<Line> {
    let mut calls = CALLS.iter();
    let index = calls.position(|call| call.contains(location.file(), location.line()))?;
    Some((index, location.line()))
}

/// The line of [`CALLS`] in `file` that contains `text`.
pub(super) fn line_with(file: &str, text: &str) -> Option<Line> {
    let calls = CALLS.iter().enumerate();
    let mut calls = calls.filter(|(_, call)| call.file == file);
    calls.find_map(|(index, call)| call.line_of(text).map(|line| (index, line)))
}

/// The line at which the server takes the decision of a note, about itself or about a connection.
pub(super) fn line_of_note(note: Note, is_of_server: bool) -> Option<Line> {
    let (file, text) = match note {
        Note::BudgetUsed => ("src/connection/driver/mod.rs", "Outcome::Again =>"),
        Note::OutputPending | Note::OutputSent => (
            "src/connection/driver/mod.rs",
            "reactor.set_class(key, class);",
        ),
        Note::AcceptPaused => ("src/server/accepting.rs", "schedule(source, now + PAUSE)"),
        Note::AcceptResumed => ("src/server/accepting.rs", "accepts_at = None;"),
        Note::Drain if is_of_server => ("src/server/draining.rs", "self.begin_drain("),
        Note::Drain => ("src/server/draining.rs", "slot.tenant.drain();"),
        _ => return None,
    };
    line_with(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_quoted_line_is_in_its_file_at_its_number() {
        for excerpt in LOOP.iter().chain(&CALLS) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(excerpt.file);
            let source = fs::read_to_string(path).unwrap();
            let source: Vec<&str> = source.lines().collect();
            assert!(excerpt.lines().count() > 0, "a line is gone: {excerpt:?}");
            for (number, line) in excerpt.lines() {
                let original = source[number as usize - 1];
                assert!(original.ends_with(line), "{}:{number}", excerpt.file);
                assert!(!line.is_empty() || original.is_empty(), "{original}");
            }
        }
    }

    #[test]
    fn line_that_does_not_exist_gives_an_empty_excerpt() {
        let source = b"one\ntwo";
        let start = find(source, 0, "three");
        assert_eq!(start, source.len());
        assert_eq!(end_of_lines(source, start, 2), source.len());
    }

    #[test]
    fn lines_are_found_by_their_text() {
        let source = b"fn a() {\n    one();\n}\nfn b() {\n    one();\n}\n";
        let b = find(source, 0, "fn b()");
        assert_eq!(line_number(source, b), 4);
        let one = find(source, b, "one()");
        assert_eq!((one, line_number(source, one)), (31, 5));
        assert_eq!(copy::<11>(source, one), *b"    one();\n");
    }
}
