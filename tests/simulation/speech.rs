//! What a peer says, and what it is owed for it, byte by byte: worked out beforehand, from what the protocols promise.

use crate::peer::byte;
use crate::rng::Rng;
use std::fmt;
use std::ops::Range;

/// What is spoken, with its limits, where it is not raw echo.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    Line {
        max_message: usize,
        prefix: &'static [u8],
    },
    Frame {
        width: usize,
        max_message: usize,
    },
    Discard,
    Collect {
        max_message: usize,
    },
}

impl Language {
    /// The same with messages of at most so many bytes.
    pub fn with_most(self, max_message: usize) -> Language {
        match self {
            Language::Line { prefix, .. } => Language::Line {
                max_message,
                prefix,
            },
            Language::Frame { width, .. } => Language::Frame { width, max_message },
            Language::Discard => Language::Discard,
            Language::Collect { .. } => Language::Collect { max_message },
        }
    }
}

/// What stands before each line that comes back.
pub const PREFIX: &[u8] = b"ECHO ";

/// The same in some runs: so long that an answer is far more work than its line is.
pub const LONG_PREFIX: &[u8] = &[b'p'; 4_000];

/// How many bytes of answers a peer asks for by lines, at most, but for the last line.
const MOST_ANSWERS: usize = 60_000;

/// What one peer says.
#[derive(Debug)]
pub enum Speech {
    /// Bytes without meaning, each of which comes back.
    Raw,
    /// Bytes that are owed answers.
    Written(Script),
}

#[derive(Default)]
pub struct Script {
    said: Vec<u8>,
    answers: Vec<u8>,
    /// When so many bytes have been said, so many bytes of answers are due.
    due: Vec<(usize, usize)>,
    longest_answer: usize,
    /// Something in it is too long: nothing behind that is answered.
    ends_early: bool,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (said, answers) = (self.said.len(), self.answers.len());
        write!(f, "{said} bytes, {answers} of answers")
    }
}

impl Script {
    /// Says a message, framed, which is answered by this.
    fn say(&mut self, message: &[u8], answer: &[u8]) {
        self.said.extend(message);
        if !self.ends_early {
            self.answers.extend(answer);
            self.longest_answer = self.longest_answer.max(answer.len());
            self.due.push((self.said.len(), self.answers.len()));
        }
    }
}

impl Speech {
    /// Draws what a peer says in a language, about `total` bytes of it.
    pub fn draw(rng: &mut Rng, language: Language, id: u64, total: u64) -> Speech {
        Speech::draw_with(rng, language, id, total, 10)
    }

    /// The same, where so many messages in a thousand are too long.
    fn draw_with(rng: &mut Rng, language: Language, id: u64, total: u64, too_long: u64) -> Speech {
        let mut script = Script::default();
        let total = usize::try_from(total).unwrap();
        match language {
            Language::Discard => script.say(&bytes(id, 0, total), &[]),
            Language::Line {
                max_message,
                prefix,
            } => {
                lines(rng, &mut script, id, total, (max_message, prefix), too_long);
            }
            Language::Frame { width, max_message } => {
                frames(rng, &mut script, id, total, (width, max_message), too_long);
            }
            Language::Collect { max_message } => {
                let total = if rng.chance(900) {
                    total.min(max_message)
                } else {
                    total
                };
                script.say(&record(id, total), &[]);
            }
        }
        Speech::Written(script)
    }

    /// Draws messages of at most `most` bytes, none of which is too long for the server.
    pub fn draw_short(
        rng: &mut Rng,
        language: Language,
        id: u64,
        total: u64,
        most: usize,
    ) -> Speech {
        Speech::draw_with(rng, language.with_most(most), id, total, 0)
    }

    /// The beginning of a message of so many bytes, without its last byte.
    pub fn unfinished(language: Language, length: usize) -> Speech {
        let header = match language {
            Language::Frame { width, .. } => {
                let length = length.min((1 << (8 * width)) - 1);
                (length as u64).to_be_bytes()[8 - width..].to_vec()
            }
            _ => Vec::new(),
        };
        let length = match language {
            Language::Frame { width, .. } => length.min((1 << (8 * width)) - 1),
            _ => length,
        };
        Speech::Written(Script {
            said: [header, vec![b'x'; length - 1]].concat(),
            ..Script::default()
        })
    }

    /// Messages, framed, and what each is answered by; nothing is answered any more where there is nothing.
    pub fn of(messages: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> Speech {
        let mut script = Script::default();
        for (message, answer) in messages {
            script.ends_early |= answer.is_none();
            script.say(&message, &answer.unwrap_or_default());
        }
        Speech::Written(script)
    }

    /// How many bytes it has, where that is settled beforehand.
    pub fn length(&self) -> u64 {
        match self {
            Speech::Raw => u64::MAX,
            Speech::Written(script) => script.said.len() as u64,
        }
    }

    /// The byte that `id` says at a position.
    pub fn said(&self, id: u64, position: u64) -> u8 {
        match self {
            Speech::Raw => byte(id, position),
            Speech::Written(script) => script.said[usize::try_from(position).unwrap()],
        }
    }

    /// The byte of the answers to `id` at a position.
    pub fn answer(&self, id: u64, position: u64) -> u8 {
        match self {
            Speech::Raw => byte(id, position),
            Speech::Written(script) => script.answers[usize::try_from(position).unwrap()],
        }
    }

    /// How many messages have an answer that ends within these bytes of the answers.
    pub fn messages(&self, answers: Range<u64>) -> usize {
        let Speech::Written(script) = self else {
            return 0;
        };
        let up_to = |end: u64| {
            let ends = &script.due;
            ends.partition_point(|(_, answered)| *answered as u64 <= end)
        };
        up_to(answers.end) - up_to(answers.start)
    }

    /// How many of so many bytes said belong to a message that is not complete.
    pub fn incomplete(&self, said: u64) -> u64 {
        let Speech::Written(script) = self else {
            return 0;
        };
        let ends = &script.due;
        let complete = ends.partition_point(|(position, _)| *position as u64 <= said);
        let last = complete.checked_sub(1).map_or(0, |last| ends[last].0);
        said - last as u64
    }

    /// The length of the longest answer.
    pub fn longest_answer(&self) -> usize {
        match self {
            Speech::Raw => 0,
            Speech::Written(script) => script.longest_answer,
        }
    }

    /// How many bytes of answers are due when so many have been said, and perhaps FIN behind them.
    pub fn due(&self, said: u64, fin: bool) -> u64 {
        let Speech::Written(script) = self else {
            return said;
        };
        let said = usize::try_from(said).unwrap();
        if fin && said == script.said.len() {
            return script.answers.len() as u64;
        }
        let count = script
            .due
            .partition_point(|(position, _)| *position <= said);
        let due = count.checked_sub(1).map_or(0, |last| script.due[last].1);
        due as u64
    }
}

fn bytes(id: u64, from: usize, count: usize) -> Vec<u8> {
    let from = from as u64;
    (from..from + count as u64).map(|at| byte(id, at)).collect()
}

fn lines(
    rng: &mut Rng,
    script: &mut Script,
    id: u64,
    total: usize,
    (max_message, prefix): (usize, &[u8]),
    too_long: u64,
) {
    // A flood of empty lines is little to read and much to answer.
    let is_flood = rng.chance(100);
    while script.said.len() < total && script.answers.len() < MOST_ANSWERS {
        let is_too_long = !is_flood && rng.chance(too_long);
        let length = if is_flood {
            0
        } else {
            length(rng, max_message, is_too_long)
        };
        let mut line = bytes(id, script.said.len(), length);
        for byte in &mut line {
            // Ends of lines only where they are meant.
            if *byte == b'\n' || *byte == b'\r' {
                *byte = b'.';
            }
        }
        script.ends_early |= is_too_long;
        line.extend(if rng.chance(500) { &b"\r\n"[..] } else { b"\n" });
        script.say(&line, &[prefix, &line].concat());
    }
    if rng.chance(500) && !script.ends_early {
        // An answer that is due at FIN, and not before.
        let rest = vec![b'x'; 1 + rng.index(max_message)];
        script.said.extend(&rest);
        let answer = [prefix, &rest].concat();
        script.longest_answer = script.longest_answer.max(answer.len());
        script.answers.extend(answer);
    }
}

fn frames(
    rng: &mut Rng,
    script: &mut Script,
    id: u64,
    total: usize,
    (width, most): (usize, usize),
    too_long: u64,
) {
    let largest = (1_usize << (8 * width)) - 1;
    while script.said.len() < total {
        let is_too_long = most < largest && rng.chance(too_long);
        let length = length(rng, most, is_too_long).min(largest);
        let header = &(length as u64).to_be_bytes()[8 - width..];
        let frame = [header, &bytes(id, script.said.len(), length)].concat();
        script.ends_early |= is_too_long;
        script.say(&frame, &frame);
    }
    if rng.chance(200) {
        // FIN comes in the middle of a frame.
        script.said.extend(&[0, 0, 0, 1][4 - width..]);
    }
}

/// The length of a message: of any magnitude, up to `most`, or above it.
fn length(rng: &mut Rng, most: usize, is_too_long: bool) -> usize {
    let length = usize::try_from(rng.magnitude(most as u64)).unwrap();
    if is_too_long {
        most + 1 + length
    } else {
        length
    }
}

/// A record, which says whose it is and how long.
fn record(id: u64, length: usize) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let head = [number(usize::try_from(id).unwrap()), number(length)].concat();
    [head, bytes(id, 0, length.saturating_sub(8))].concat()
}

/// The records that lie one behind the other in `output`: whose each is. The last may be cut off.
pub fn whose_records(output: &[u8]) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut rest = output;
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let (id, length) = (u64::from(number(&head[..4])), number(&head[4..]) as usize);
        let expected = bytes(id, 0, length.saturating_sub(8));
        let count = expected.len().min(behind.len());
        assert_eq!(behind[..count], expected[..count], "the record of {id}");
        if count < expected.len() {
            break;
        }
        ids.push(id);
        rest = &behind[count..];
    }
    ids
}
