//! Log lines as text and as JSON.

use crate::load::WallTime;
use crate::net;
use log::Level;
use nix::libc;
use std::fmt;

/// The longest line in bytes, with its newline: a pipe accepts that much atomically (pipe(7), 4,096 on Linux).
const LONGEST_LINE: usize = libc::PIPE_BUF;

/// The end of a truncated message.
const TRUNCATED: &str = "...";

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Time, level and message, separated by spaces.
    #[default]
    Text,
    /// An object with the keys `time`, `level` and `message`.
    Json,
}

impl Format {
    /// The line of a message, with its newline, truncated to [`LONGEST_LINE`].
    pub(super) fn line(self, level: Level, message: fmt::Arguments<'_>) -> String {
        let time = WallTime(net::time_of_day());
        match self {
            Format::Text => with_newline(format!("{time} {level:<5} {message}")),
            Format::Json => json(&time.to_string(), level, message.to_string()),
        }
    }
}

fn json(time: &str, level: Level, mut message: String) -> String {
    let level = level.as_str().to_ascii_lowercase();
    let mut end = "";
    loop {
        let text = serde_json::Value::from(format!("{message}{end}"));
        let line = format!("{{\"time\":\"{time}\",\"level\":\"{level}\",\"message\":{text}}}\n");
        let excess = line.len().saturating_sub(LONGEST_LINE);
        if excess == 0 || message.is_empty() {
            return line;
        }
        // A byte has at most six in JSON (`\u0001`), so this never removes too many.
        end = TRUNCATED;
        truncate(&mut message, excess.div_ceil(6));
    }
}

/// Removes at least `count` bytes, and the rest of the character that they are a part of.
fn truncate(text: &mut String, count: usize) {
    let most = text.len().saturating_sub(count);
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
}

/// Appends a newline, after truncating the line to [`LONGEST_LINE`].
pub(super) fn with_newline(mut line: String) -> String {
    let excess = (line.len() + 1).saturating_sub(LONGEST_LINE);
    if excess > 0 {
        truncate(&mut line, excess + TRUNCATED.len());
        line.push_str(TRUNCATED);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_truncated_at_a_character_to_pipe_buf() {
        for text in ["é".repeat(LONGEST_LINE), "x".repeat(LONGEST_LINE)] {
            let line = with_newline(text);
            assert!((LONGEST_LINE - 1..=LONGEST_LINE).contains(&line.len()));
            assert!(line.ends_with("...\n"));
        }
        let longest = "x".repeat(LONGEST_LINE - 1);
        assert_eq!(with_newline(longest.clone()), longest + "\n");
    }

    /// The message of a line in JSON.
    fn message_of(line: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn json_line_has_time_level_and_message() {
        let message = "cannot read \"a\\b\"\nsecond line";
        let line = json("2026-11-20T09:49:31.075Z", Level::Warn, message.to_owned());
        let expected = "{\"time\":\"2026-11-20T09:49:31.075Z\",\"level\":\"warn\",\
                        \"message\":\"cannot read \\\"a\\\\b\\\"\\nsecond line\"}\n";
        assert_eq!(line, expected);
        assert_eq!(message_of(&line), message);
    }

    #[test]
    fn long_json_line_is_valid_and_fits_pipe_buf() {
        for text in ["x", "é", "\n", "\u{1}", "\"x\u{1}é"] {
            let message = text.repeat(LONGEST_LINE);
            let line = json("2026-11-20T09:49:31.075Z", Level::Info, message.clone());
            assert!(line.len() <= LONGEST_LINE, "{text:?}: {}", line.len());
            assert!(line.len() > LONGEST_LINE - 64, "{text:?}: {}", line.len());
            let truncated = message_of(&line);
            assert!(message.starts_with(truncated.strip_suffix(TRUNCATED).unwrap()));
        }
    }
}
