//! What is wrong with a script, and where.

use std::fmt;
use std::ops::Range;

/// What is wrong with a text, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The offset in the text, in bytes.
    pub(super) at: usize,
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault {
            at: 0,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The fault is this far into the text.
    pub(super) fn in_text(self, at: usize) -> Fault {
        Fault { at, ..self }
    }
}

/// Why a script cannot be used: the place, what is wrong there, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The file, or the name of the script.
    pub file: String,
    /// Its line and column, from 1; `None` if the fault is not at one place.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl ScriptError {
    /// The fault of a value that `span` covers in `source`.
    pub(super) fn at(file: &str, source: &str, span: &Range<usize>, fault: Fault) -> ScriptError {
        let value = source.get(span.clone()).unwrap_or_default();
        // Escapes shift what follows them: without any, the fault is at its offset after the quotation marks.
        let opening = if value.starts_with("\"\"\"") || value.starts_with("'''") {
            3
        } else {
            1
        };
        let is_literal = value.starts_with('\'') || !value.contains('\\');
        let is_inside = value.starts_with(['"', '\'']) && is_literal && !value.contains('\n');
        let offset = span.start + if is_inside { opening + fault.at } else { 0 };
        ScriptError {
            file: file.to_owned(),
            place: Some(place(source, offset)),
            what: fault.what,
            remedy: fault.remedy,
        }
    }
}

/// The line and the column, in characters, of an offset.
fn place(source: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(source.len());
    while !source.is_char_boundary(end) {
        end -= 1;
    }
    let before = &source[..end];
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count())
        + 1;
    (line, column)
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_counts_lines_and_characters() {
        assert_eq!(place("ab\néx", 0), (1, 1));
        assert_eq!(place("ab\néx", 5), (2, 2));
        assert_eq!(place("ab\néx", 4), (2, 1), "within a character");
        assert_eq!(place("ab\n", 99), (2, 1));
    }
}
