//! Whether a reply is right, and if not, what it is instead.

use super::error::Fault;
use super::template::{Ids, Piece, Placeholder, Template, placeholder, run_text};
use crate::echo::Mismatch;
use regex::bytes::{Regex, RegexBuilder};
use std::fmt::Write as _;

/// How a reply is compared with the expected text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equals,
    StartsWith,
    EndsWith,
}

/// The check of a reply.
#[derive(Clone, Debug)]
pub(super) enum Check {
    /// By text with placeholders; `origin` finds the numbers in the reply to another message.
    Text {
        relation: Relation,
        expected: Template,
        origin: Option<Origin>,
    },
    /// By a regular expression, in which placeholders are groups.
    Pattern { source: String, pattern: Origin },
}

/// A regular expression with a group for each placeholder.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    regex: Regex,
    /// Placeholders, each with the index of its group.
    groups: Vec<(usize, Placeholder)>,
    /// Renders the values that groups must have.
    template: Template,
}

/// The largest compiled expression, in bytes.
const MAX_REGEX: usize = 4 << 20;

impl Check {
    pub(super) fn text(relation: Relation, expected: Template) -> Check {
        Check::Text {
            relation,
            expected,
            origin: None,
        }
    }

    /// Compiles a regular expression with placeholders.
    pub(super) fn pattern(source: &str) -> Result<Check, Fault> {
        let pattern = Origin::of_pattern(source, None)?;
        Ok(Check::Pattern {
            source: source.to_owned(),
            pattern,
        })
    }

    /// The check for one run and one server.
    pub(super) fn resolve(&self, run: u64, target: &str) -> Result<Check, Fault> {
        Ok(match self {
            Check::Text {
                relation, expected, ..
            } => {
                let expected = expected.resolve(run, target);
                let origin = Origin::of_template(&expected, *relation);
                Check::Text {
                    relation: *relation,
                    expected,
                    origin,
                }
            }
            Check::Pattern { source, .. } => Check::Pattern {
                source: source.clone(),
                pattern: Origin::of_pattern(source, Some((run, target)))?,
            },
        })
    }

    /// Whether `content` is right as the reply to this message. `buffer` is for rendering.
    pub(super) fn accepts(&self, content: &[u8], ids: Ids, buffer: &mut Vec<u8>) -> bool {
        match self {
            Check::Text {
                relation, expected, ..
            } => {
                let expected = rendered(expected, ids, buffer);
                match relation {
                    Relation::Equals => content == expected,
                    Relation::StartsWith => content.starts_with(expected),
                    Relation::EndsWith => content.ends_with(expected),
                }
            }
            Check::Pattern { pattern, .. } => pattern.accepts(content, ids, buffer),
        }
    }

    /// How a wrong reply differs, if it is not that to one of `connections` connections and, on its own connection, to
    /// one of `sent` messages.
    #[cold]
    pub(super) fn diagnose(
        &self,
        content: &[u8],
        ids: Ids,
        connections: u32,
        sent: u64,
        buffer: &mut Vec<u8>,
    ) -> Mismatch {
        let origin = match self {
            Check::Text { origin, .. } => origin.as_ref(),
            Check::Pattern { pattern, .. } => Some(pattern),
        };
        if let Some(other) = origin.and_then(|origin| origin.find(content, ids)) {
            let is_own = other.connection == ids.connection;
            let is_known = other.connection < connections && (!is_own || other.sequence < sent);
            if other != ids && is_known && self.accepts(content, other, buffer) {
                return if is_own {
                    Mismatch::OutOfOrder
                } else {
                    Mismatch::OtherConnection
                };
            }
        }
        let Check::Text {
            relation, expected, ..
        } = self
        else {
            return Mismatch::Changed;
        };
        let expected = rendered(expected, ids, buffer);
        let is_short = content.len() < expected.len();
        match relation {
            Relation::Equals | Relation::StartsWith
                if is_short && expected.starts_with(content) =>
            {
                Mismatch::Truncated
            }
            _ => Mismatch::Changed,
        }
    }

    /// What was expected, for a warning.
    pub(super) fn describe(&self, ids: Ids, buffer: &mut Vec<u8>) -> String {
        match self {
            Check::Text {
                relation, expected, ..
            } => {
                let expected = super::exchange::excerpt(rendered(expected, ids, buffer));
                match relation {
                    Relation::Equals => expected,
                    Relation::StartsWith => format!("{expected} at the beginning"),
                    Relation::EndsWith => format!("{expected} at the end"),
                }
            }
            Check::Pattern { source, .. } => format!("a match of {source}"),
        }
    }

    /// Whether the reply to one connection differs from that to another.
    pub(super) fn has_identity(&self) -> bool {
        let has = |placeholder: &Placeholder| {
            matches!(
                placeholder,
                Placeholder::Connection(_) | Placeholder::Random(_)
            )
        };
        match self {
            Check::Text { expected, .. } => expected.pieces.iter().any(|piece| match piece {
                Piece::Placeholder(placeholder) => has(placeholder),
                Piece::Bytes(_) => false,
            }),
            Check::Pattern { pattern, .. } => pattern.groups.iter().any(|(_, group)| has(group)),
        }
    }
}

fn rendered<'a>(template: &'a Template, ids: Ids, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    if template.is_constant() {
        return template.prefix();
    }
    buffer.clear();
    template.render(ids, buffer);
    buffer
}

impl Origin {
    /// Finds the numbers in replies that match a template; none if it has none.
    fn of_template(template: &Template, relation: Relation) -> Option<Origin> {
        if template.is_constant() {
            return None;
        }
        let mut source = String::new();
        let mut groups = Vec::new();
        if relation != Relation::EndsWith {
            source.push_str(r"\A");
        }
        for piece in &template.pieces {
            match piece {
                Piece::Bytes(bytes) => push_literal(&mut source, bytes),
                Piece::Placeholder(placeholder) => {
                    push_group(&mut source, &mut groups, *placeholder);
                }
            }
        }
        if relation != Relation::StartsWith {
            source.push_str(r"\z");
        }
        let regex = compile(&source).ok()?;
        Some(Origin::new(regex, groups, template.clone()))
    }

    fn new(regex: Regex, groups: Vec<Placeholder>, template: Template) -> Origin {
        let index_of = |number| {
            let name = group_name(number);
            regex.capture_names().position(|found| found == Some(&name))
        };
        let groups = groups.into_iter().enumerate();
        let groups = groups.filter_map(|(number, group)| Some((index_of(number)?, group)));
        Origin {
            groups: groups.collect(),
            regex,
            template,
        }
    }

    /// An expression in which placeholders are groups, for a run and a server if they are known. Braces of other kinds are
    /// left to the expression.
    fn of_pattern(source: &str, run: Option<(u64, &str)>) -> Result<Origin, Fault> {
        let mut compiled = String::new();
        let mut groups = Vec::new();
        let template = Template::default().resolve(run.map_or(0, |(run, _)| run), "");
        let mut rest = source;
        while let Some(at) = rest.find('{') {
            let after = &rest[at + 1..];
            let name = after.split('}').next().unwrap_or_default();
            let is_name = name.starts_with(|c: char| c.is_ascii_lowercase());
            let is_escaped = rest[..at].ends_with('\\');
            let is_class = [r"\p", r"\P", r"\x", r"\u", r"\U"]
                .iter()
                .any(|class| rest[..at].ends_with(class));
            compiled.push_str(&rest[..at]);
            if !is_name || is_escaped || is_class {
                compiled.push('{');
                rest = after;
                continue;
            }
            let offset = source.len() - rest.len() + at;
            match (
                placeholder(name).map_err(|fault| fault.in_text(offset))?,
                run,
            ) {
                (Placeholder::Target, run) => {
                    push_literal(
                        &mut compiled,
                        run.map_or("", |(_, target)| target).as_bytes(),
                    );
                }
                (Placeholder::Run, run) => {
                    push_literal(&mut compiled, &run_text(run.map_or(0, |(run, _)| run)));
                }
                (known, _) => push_group(&mut compiled, &mut groups, known),
            }
            rest = after.get(name.len() + 1..).unwrap_or_default();
        }
        compiled.push_str(rest);
        let regex = compile(&compiled).map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ");
            let what = format!("no regular expression: {reason}");
            Fault::new(what, "see https://docs.rs/regex for the syntax")
        })?;
        Ok(Origin::new(regex, groups, template))
    }

    fn accepts(&self, content: &[u8], ids: Ids, buffer: &mut Vec<u8>) -> bool {
        if self.groups.is_empty() {
            return self.regex.is_match(content);
        }
        let Some(found) = self.regex.captures(content) else {
            return false;
        };
        self.groups.iter().all(|(index, placeholder)| {
            found.get(*index).is_some_and(|group| {
                buffer.clear();
                self.template.render_placeholder(*placeholder, ids, buffer);
                group.as_bytes() == buffer.as_slice()
            })
        })
    }

    /// The numbers in the reply to another message; those that it does not show are taken from `ids`.
    fn find(&self, content: &[u8], ids: Ids) -> Option<Ids> {
        let found = self.regex.captures(content)?;
        let mut origin = ids;
        for (index, placeholder) in &self.groups {
            let text = found.get(*index)?;
            let text = std::str::from_utf8(text.as_bytes()).ok()?;
            match placeholder {
                Placeholder::Connection(_) => origin.connection = text.parse().ok()?,
                Placeholder::Sequence(_) => origin.sequence = text.parse().ok()?,
                _ => {}
            }
        }
        Some(origin)
    }
}

/// The name of a group: users may have groups too.
fn group_name(index: usize) -> String {
    format!("placeholder_{index}")
}

fn push_group(source: &mut String, groups: &mut Vec<Placeholder>, placeholder: Placeholder) {
    let name = group_name(groups.len());
    let text = match placeholder {
        Placeholder::Connection(0) | Placeholder::Sequence(0) => "[0-9]{1,20}".to_owned(),
        Placeholder::Connection(digits) | Placeholder::Sequence(digits) => {
            format!("[0-9]{{{digits}}}")
        }
        Placeholder::Random(length) if length <= 256 => format!("[a-z2-7]{{{length}}}"),
        _ => "[a-z2-7]*".to_owned(),
    };
    let _ = write!(source, "(?P<{name}>{text})");
    groups.push(placeholder);
}

fn push_literal(source: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() {
            source.push(char::from(*byte));
        } else {
            let _ = write!(source, r"\x{byte:02x}");
        }
    }
}

/// Compiles an expression on bytes: classes are those of ASCII.
fn compile(source: &str) -> Result<Regex, regex::Error> {
    let mut builder = RegexBuilder::new(source);
    builder.unicode(false).size_limit(MAX_REGEX).build()
}
