//! What is typed into `send`, what that is on the wire, and what is printed for it: worked out beforehand, line by line.

use crate::rng::Rng;
use crate::speech::{PREFIX, Speech};
use echoloop::client::{Framing, Input};
use echoloop::protocol::Width;

/// What a server speaks, and how its client frames what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    Raw,
    Discard,
    Line,
    Frame(Width),
}

impl Tongue {
    pub fn draw(rng: &mut Rng) -> Tongue {
        match rng.between(0, 9) {
            0..=3 => Tongue::Raw,
            4 => Tongue::Discard,
            5..=6 => Tongue::Line,
            _ => Tongue::Frame(rng.one_of(&[Width::One, Width::Two, Width::Four])),
        }
    }

    pub fn framing(self) -> Framing {
        match self {
            Tongue::Raw | Tongue::Discard => Framing::Raw,
            Tongue::Line => Framing::Line,
            Tongue::Frame(width) => Framing::Frame(width),
        }
    }
}

/// All of it, for one run.
#[derive(Debug)]
pub struct Dialogue {
    pub tongue: Tongue,
    /// Each line with its end, if it has one; or bytes without meaning.
    typed: Vec<Vec<u8>>,
    /// The longest message that the client sends, and that the server takes.
    pub clients_most: usize,
    pub servers_most: usize,
    /// What is sent if all of it is, and what is printed for that.
    pub sent: u64,
    pub printed: Vec<u8>,
    /// There is a line that the client cannot send, and one that the server does not take.
    pub client_refuses: bool,
    pub server_refuses: bool,
}

impl Dialogue {
    /// Draws about `total` bytes; with `is_rude`, perhaps a message that is too long for one of the two.
    pub fn draw(rng: &mut Rng, tongue: Tongue, total: usize, is_rude: bool) -> Dialogue {
        let most = 16 + usize::try_from(rng.magnitude(20_000)).unwrap();
        let mut dialogue = Dialogue {
            tongue,
            typed: Vec::new(),
            clients_most: most,
            servers_most: most,
            sent: 0,
            printed: Vec::new(),
            client_refuses: false,
            server_refuses: false,
        };
        if is_rude && rng.chance(500) {
            // Twice as long as the server takes, at most.
            dialogue.servers_most = most / 2;
        }
        let longest = most.min(tongue.framing().max_message());
        match tongue {
            Tongue::Raw | Tongue::Discard => dialogue.typed.push(bytes(rng, total)),
            Tongue::Line | Tongue::Frame(_) => {
                let mut length = 0;
                while length < total {
                    let beyond = usize::from(is_rude && rng.chance(30));
                    let end = rng.one_of(&[&b"\n"[..], b"\r\n"]);
                    let line = [&text(rng, longest, beyond), end].concat();
                    length += line.len();
                    dialogue.typed.push(line);
                }
                if rng.chance(500) {
                    // The last line need not have an end.
                    dialogue.typed.push(text(rng, longest, 0));
                }
            }
        }
        dialogue.work_out();
        dialogue
    }

    fn work_out(&mut self) {
        let length = self.speech().length();
        if self.tongue == Tongue::Raw {
            self.sent = self.typed[0].len() as u64;
            self.printed.clone_from(&self.typed[0]);
            return;
        }
        self.sent = length;
        if self.tongue == Tongue::Discard {
            return;
        }
        let longest = self.clients_most.min(self.tongue.framing().max_message());
        for line in self.typed.iter().filter(|line| !line.is_empty()) {
            let message = message(line);
            self.client_refuses |= self.is_framed() && message.len() > longest;
            self.server_refuses |= !self.client_refuses && message.len() > self.servers_most;
            if self.client_refuses || self.server_refuses {
                // Nothing behind it is answered; the client may go on for a while.
            } else if self.tongue == Tongue::Line {
                self.printed.extend([PREFIX, &whole(line)].concat());
            } else {
                self.printed.extend([message, b"\n"].concat());
            }
        }
    }

    fn is_framed(&self) -> bool {
        matches!(self.tongue, Tongue::Frame(_))
    }

    /// What the server hears and answers.
    pub fn speech(&self) -> Speech {
        let lines = self.typed.iter().filter(|line| !line.is_empty());
        match self.tongue {
            Tongue::Raw => Speech::Raw,
            Tongue::Discard => Speech::of([(self.typed.concat(), Some(Vec::new()))]),
            Tongue::Line => Speech::of(lines.map(|line| {
                let fits = message(line).len() <= self.servers_most;
                let answer = fits.then(|| [PREFIX, &whole(line)].concat());
                (whole(line), answer)
            })),
            Tongue::Frame(width) => Speech::of(lines.map(|line| {
                let message = message(line);
                let header = &(message.len() as u64).to_be_bytes()[8 - width.bytes()..];
                let frame = [header, message].concat();
                let fits = message.len() <= self.servers_most;
                (frame.clone(), fits.then_some(frame))
            })),
        }
    }

    /// How much is printed for so many bytes that have come back.
    pub fn printed_for(&self, read: u64) -> usize {
        let read = usize::try_from(read).unwrap();
        let Tongue::Frame(width) = self.tongue else {
            return read;
        };
        let size = width.bytes();
        let (mut left, mut printed) = (read, 0);
        for line in self.typed.iter().filter(|line| !line.is_empty()) {
            let length = message(line).len();
            printed += length.min(left.saturating_sub(size));
            if left < size + length {
                break;
            }
            printed += 1;
            left -= size + length;
        }
        printed
    }

    /// All that is typed, one line behind the other.
    pub fn typed(&self) -> Vec<u8> {
        self.typed.concat()
    }

    /// The same, as messages of the command line.
    pub fn messages(&self) -> Input {
        let lines = self.typed.iter().filter(|line| !line.is_empty());
        Input::Messages(match self.tongue {
            Tongue::Raw | Tongue::Discard => self.typed[0].chunks(1000).map(Vec::from).collect(),
            Tongue::Line => lines
                .map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec())
                .collect(),
            Tongue::Frame(_) => lines.map(|line| message(line).to_vec()).collect(),
        })
    }
}

/// A line without its end.
fn message(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(text) => text.strip_suffix(b"\r").unwrap_or(text),
        None => line,
    }
}

/// A line with its end, as it is sent if it had none.
fn whole(line: &[u8]) -> Vec<u8> {
    let end = if line.ends_with(b"\n") {
        &b""[..]
    } else {
        b"\n"
    };
    [line, end].concat()
}

fn bytes(rng: &mut Rng, count: usize) -> Vec<u8> {
    let words = (0..count.div_ceil(8)).flat_map(|_| rng.next().to_le_bytes());
    words.take(count).collect()
}

/// The text of a line of at most `most` bytes, in which no line ends; or of more than that.
fn text(rng: &mut Rng, most: usize, beyond: usize) -> Vec<u8> {
    let length = usize::try_from(rng.magnitude(most as u64)).unwrap();
    let mut text = bytes(rng, length.max(beyond * (most + 1)));
    for byte in &mut text {
        if *byte == b'\n' || *byte == b'\r' {
            *byte = b'.';
        }
    }
    text
}
