//! Text with placeholders: compiled once, rendered for each message.

use super::error::Fault;
use crate::echo::mix;

/// The numbers that distinguish messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::load) struct Ids {
    pub(in crate::load) connection: u32,
    pub(in crate::load) sequence: u64,
}

/// What a placeholder renders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// The number of the connection, in as many digits as given; 0: as many as it has.
    Connection(usize),
    /// The number of the message on its connection, likewise.
    Sequence(usize),
    /// Characters that follow from both numbers and from the run.
    Random(usize),
    /// Eight characters that differ from run to run.
    Run,
    /// The server's address as given.
    Target,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Placeholder(Placeholder),
}

/// Text with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) pieces: Vec<Piece>,
    seed: u64,
}

/// The characters of `{random:N}` and `{run}`: five bits each.
const CHARACTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The most digits and random characters of a placeholder.
const MAX_DIGITS: usize = 20;
const MAX_RANDOM: usize = 1 << 20;

/// The length of `{run}`.
const RUN_LENGTH: usize = 8;

const KNOWN: &str = "{connection}, {sequence}, {random:N}, {run} and {target}";

impl Template {
    /// The bytes of a file, without placeholders.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Template {
        Template {
            pieces: vec![Piece::Bytes(bytes)],
            seed: 0,
        }
    }

    /// Compiles text with escapes (`\r \n \t \0 \\ \" \xHH`, `{{`, `}}`) and placeholders.
    pub(super) fn parse(text: &str) -> Result<Template, Fault> {
        let mut template = Template::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let at = text.len() - rest.len();
            let after = &rest[first.len_utf8()..];
            rest = match first {
                '\\' => {
                    let (byte, length) = unescape(after).map_err(|fault| fault.in_text(at))?;
                    template.push_bytes(&[byte]);
                    &after[length..]
                }
                '{' | '}' if after.starts_with(first) => {
                    template.push_bytes(&rest.as_bytes()[..1]);
                    &after[1..]
                }
                '{' => {
                    let end = after.find('}').ok_or_else(|| {
                        let what = "a `{` without `}`";
                        Fault::new(what, "write `{{` for a brace").in_text(at)
                    })?;
                    let name = &after[..end];
                    let known = placeholder(name).map_err(|fault| fault.in_text(at))?;
                    template.pieces.push(Piece::Placeholder(known));
                    &after[end + 1..]
                }
                _ => {
                    template.push_bytes(&rest.as_bytes()[..first.len_utf8()]);
                    after
                }
            };
        }
        Ok(template)
    }

    fn push_bytes(&mut self, more: &[u8]) {
        if let Some(Piece::Bytes(bytes)) = self.pieces.last_mut() {
            bytes.extend_from_slice(more);
        } else {
            self.pieces.push(Piece::Bytes(more.to_vec()));
        }
    }

    /// The template for one run and one server.
    pub(super) fn resolve(&self, run: u64, target: &str) -> Template {
        let mut resolved = Template {
            pieces: Vec::new(),
            seed: run,
        };
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => resolved.push_bytes(bytes),
                Piece::Placeholder(Placeholder::Run) => {
                    resolved.push_bytes(&run_text(run));
                }
                Piece::Placeholder(Placeholder::Target) => resolved.push_bytes(target.as_bytes()),
                Piece::Placeholder(_) => resolved.pieces.push(piece.clone()),
            }
        }
        resolved
    }

    /// Appends the text for these numbers.
    pub(super) fn render(&self, ids: Ids, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Placeholder(placeholder) => self.render_placeholder(*placeholder, ids, out),
            }
        }
    }

    /// Appends the text of one placeholder.
    pub(super) fn render_placeholder(&self, placeholder: Placeholder, ids: Ids, out: &mut Vec<u8>) {
        match placeholder {
            Placeholder::Connection(digits) => write_number(ids.connection.into(), digits, out),
            Placeholder::Sequence(digits) => write_number(ids.sequence, digits, out),
            Placeholder::Random(length) => write_random(self.key(ids), length, out),
            // Both are bytes once the template is resolved.
            Placeholder::Run | Placeholder::Target => {}
        }
    }

    /// A number that follows from the run and the message.
    pub(super) fn key(&self, ids: Ids) -> u64 {
        mix(mix(self.seed ^ u64::from(ids.connection)).wrapping_add(ids.sequence))
    }

    /// The bytes before the first placeholder.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.pieces.first() {
            Some(Piece::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Whether it renders the same bytes for every message.
    pub(super) fn is_constant(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.all(|piece| matches!(piece, Piece::Bytes(_)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// The text of `{run}`.
pub(super) fn run_text(run: u64) -> Vec<u8> {
    let mut text = Vec::new();
    write_random(run, RUN_LENGTH, &mut text);
    text
}

/// The placeholder with this name.
pub(super) fn placeholder(text: &str) -> Result<Placeholder, Fault> {
    let (name, argument) = text
        .split_once(':')
        .map_or((text, None), |(name, argument)| {
            (name, Some(argument.parse::<usize>().ok()))
        });
    let wrong = |what: &str| {
        let what = format!("`{{{text}}}`: {what}");
        Fault::new(what, "write it as {random:16} or {sequence:8}")
    };
    let digits = || match argument {
        None => Ok(0),
        Some(Some(digits)) if (1..=MAX_DIGITS).contains(&digits) => Ok(digits),
        Some(_) => Err(wrong("the number of digits is 1 to 20")),
    };
    match (name, argument) {
        ("connection", _) => Ok(Placeholder::Connection(digits()?)),
        ("sequence", _) => Ok(Placeholder::Sequence(digits()?)),
        ("random", Some(Some(length))) if (1..=MAX_RANDOM).contains(&length) => {
            Ok(Placeholder::Random(length))
        }
        ("random", _) => Err(wrong("the number of characters is 1 to 1048576")),
        ("run", None) => Ok(Placeholder::Run),
        ("target", None) => Ok(Placeholder::Target),
        ("run" | "target", _) => Err(wrong("it has no length")),
        _ => Err(Fault::new(
            format!("unknown placeholder `{{{text}}}`"),
            format!("known are {KNOWN}; write `{{{{` for a brace"),
        )),
    }
}

/// The byte after a backslash, and the length of its escape.
fn unescape(after: &str) -> Result<(u8, usize), Fault> {
    let byte = match after.bytes().next() {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'0') => 0,
        Some(known @ (b'\\' | b'"' | b'\'')) => known,
        Some(b'x') => {
            let digits = after.get(1..3).filter(|digits| !digits.starts_with('+'));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let wrong = || Fault::new("`\\x` without two hexadecimal digits", "write `\\x0a`");
            return Ok((byte.ok_or_else(wrong)?, 3));
        }
        _ => {
            return Err(Fault::new(
                "unknown escape",
                "known are \\r \\n \\t \\0 \\\\ \\\" and \\xHH; in a file, write it between single quotes",
            ));
        }
    };
    Ok((byte, 1))
}

/// Appends a number; with a width, its last digits after zeros.
fn write_number(mut number: u64, digits: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; MAX_DIGITS];
    let mut at = text.len();
    while at > 0 && (number > 0 || at == text.len()) {
        at -= 1;
        text[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    let from = if digits == 0 {
        at
    } else {
        text.len().saturating_sub(digits)
    };
    out.extend_from_slice(&text[from..]);
}

fn write_random(mut key: u64, length: usize, out: &mut Vec<u8>) {
    let mut bits = 0;
    for index in 0..length {
        if index % 12 == 0 {
            key = mix(key);
            bits = key;
        }
        out.push(CHARACTERS[(bits & 31) as usize]);
        bits >>= 5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(text: &str, connection: u32, sequence: u64) -> String {
        let template = Template::parse(text).unwrap().resolve(7, "host:1");
        let mut out = Vec::new();
        let ids = Ids {
            connection,
            sequence,
        };
        template.render(ids, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn placeholders_and_escapes_are_rendered() {
        let text = r"{connection}-{sequence}\r\n\x41\\{{{sequence:4}}}";
        assert_eq!(rendered(text, 12, 0), "12-0\r\nA\\{0000}");
        assert_eq!(
            rendered("{connection:2}", 12_345, 0),
            "45",
            "the last digits"
        );
        assert_eq!(rendered("{target}", 1, 1), "host:1");
        assert_eq!(rendered("{run}", 1, 1), rendered("{run}", 2, 2));
        assert_eq!(rendered("{run}{random:17}", 1, 1).len(), 25);
        assert_ne!(rendered("{random:17}", 1, 2), rendered("{random:17}", 2, 1));
        assert_eq!(rendered("a } b", 1, 1), "a } b");
    }

    #[test]
    fn binary_escapes_are_bytes() {
        let template = Template::parse(r"\xff\0").unwrap();
        assert_eq!(template.pieces, [Piece::Bytes(vec![0xff, 0])]);
    }

    #[test]
    fn faults_name_place_and_remedy() {
        for (text, at, what) in [
            ("ab{conection}", 2, "unknown placeholder `{conection}`"),
            ("é{", 2, "without `}`"),
            (r"a\q", 1, "unknown escape"),
            (r"\x4", 0, "hexadecimal"),
            ("{random}", 0, "characters"),
            ("{random:0}", 0, "characters"),
            ("{sequence:21}", 0, "digits"),
            ("{run:3}", 0, "no length"),
        ] {
            let fault = Template::parse(text).unwrap_err();
            assert_eq!(fault.at, at, "{text}");
            assert!(fault.what.contains(what), "{text}: {fault:?}");
            assert!(!fault.remedy.is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_text_compiles_or_is_refused(text in "[ -~é\\\\{}:]{0,40}", connection: u32, sequence: u64) {
            if let Ok(template) = Template::parse(&text) {
                let mut out = Vec::new();
                template.resolve(1, "t").render(Ids { connection, sequence }, &mut out);
                prop_assert!(out.len() <= 40 * 20 + MAX_RANDOM * 10);
            }
        }

        #[test]
        fn numbers_are_rendered_as_the_standard_library_does(number: u64, digits in 1_usize..=20) {
            let plain = rendered("{sequence}", 0, number);
            prop_assert_eq!(plain, number.to_string());
            let padded = format!("{number:0>20}");
            prop_assert_eq!(rendered(&format!("{{sequence:{digits}}}"), 0, number), &padded[20 - digits..]);
        }

        #[test]
        fn text_without_special_characters_is_unchanged(text in "[a-zA-Z0-9 é\r\n]{0,40}") {
            prop_assert_eq!(rendered(&text, 3, 4), text);
        }
    }
}
