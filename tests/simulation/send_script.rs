//! The input of a run of `send`, its bytes on the wire and the expected output, computed before the run.

use crate::client_script::{ClientScript, PREFIX};
use crate::rng::Rng;
use echoloop::client::{Framing, Input};
use echoloop::protocol::Width;

/// The protocol of the server and, with it, how `send` frames its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendProtocol {
    Raw,
    Discard,
    Line,
    Frame(Width),
}

impl SendProtocol {
    pub fn draw(rng: &mut Rng) -> SendProtocol {
        match rng.between(0, 9) {
            0..=3 => SendProtocol::Raw,
            4 => SendProtocol::Discard,
            5..=6 => SendProtocol::Line,
            _ => SendProtocol::Frame(rng.one_of(&[Width::One, Width::Two, Width::Four])),
        }
    }

    pub fn framing(self) -> Framing {
        match self {
            SendProtocol::Raw | SendProtocol::Discard => Framing::Raw,
            SendProtocol::Line => Framing::Line,
            SendProtocol::Frame(width) => Framing::Frame(width),
        }
    }
}

/// Input, limits and expected output of one run.
#[derive(Debug)]
pub struct SendScript {
    pub protocol: SendProtocol,
    /// Lines with their line endings, or one block of random bytes.
    lines: Vec<Vec<u8>>,
    /// The longest message that the client sends and that the server accepts.
    pub client_max_message: usize,
    pub server_max_message: usize,
    /// Bytes sent and output printed if the whole input is sent.
    pub expected_sent: u64,
    pub expected_output: Vec<u8>,
    /// A line is too long for the client, or for the server.
    pub client_rejects: bool,
    pub server_rejects: bool,
}

impl SendScript {
    /// Draws about `total` bytes. If `may_exceed_limits`, a message may be too long for the client or the server.
    pub fn draw(
        rng: &mut Rng,
        protocol: SendProtocol,
        total: usize,
        may_exceed_limits: bool,
    ) -> SendScript {
        let max_message = 16 + usize::try_from(rng.magnitude(20_000)).unwrap();
        let mut script = SendScript {
            protocol,
            lines: Vec::new(),
            client_max_message: max_message,
            server_max_message: max_message,
            expected_sent: 0,
            expected_output: Vec::new(),
            client_rejects: false,
            server_rejects: false,
        };
        if may_exceed_limits && rng.chance(500) {
            // Messages are up to twice as long as the server accepts.
            script.server_max_message = max_message / 2;
        }
        let longest = max_message.min(protocol.framing().max_message());
        match protocol {
            SendProtocol::Raw | SendProtocol::Discard => {
                script.lines.push(random_bytes(rng, total))
            }
            SendProtocol::Line | SendProtocol::Frame(_) => {
                let mut length = 0;
                while length < total {
                    let is_too_long = may_exceed_limits && rng.chance(30);
                    let line_ending = rng.one_of(&[&b"\n"[..], b"\r\n"]);
                    let line = [&random_text(rng, longest, is_too_long), line_ending].concat();
                    length += line.len();
                    script.lines.push(line);
                }
                if rng.chance(500) {
                    // The last line may be unterminated.
                    script.lines.push(random_text(rng, longest, false));
                }
            }
        }
        script.compute_expected();
        script
    }

    fn compute_expected(&mut self) {
        let length = self.client_script().length();
        if self.protocol == SendProtocol::Raw {
            self.expected_sent = self.lines[0].len() as u64;
            self.expected_output.clone_from(&self.lines[0]);
            return;
        }
        self.expected_sent = length;
        if self.protocol == SendProtocol::Discard {
            return;
        }
        let longest = self
            .client_max_message
            .min(self.protocol.framing().max_message());
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            let message = strip_newline(line);
            self.client_rejects |= self.is_framed() && message.len() > longest;
            self.server_rejects |= !self.client_rejects && message.len() > self.server_max_message;
            if self.client_rejects || self.server_rejects {
                // No later message is answered; the client may send further messages before it notices.
            } else if self.protocol == SendProtocol::Line {
                self.expected_output
                    .extend([PREFIX, &with_newline(line)].concat());
            } else {
                self.expected_output.extend([message, b"\n"].concat());
            }
        }
    }

    fn is_framed(&self) -> bool {
        matches!(self.protocol, SendProtocol::Frame(_))
    }

    /// The bytes that the server receives and its replies.
    pub fn client_script(&self) -> ClientScript {
        let lines = self.lines.iter().filter(|line| !line.is_empty());
        match self.protocol {
            SendProtocol::Raw => ClientScript::Raw,
            SendProtocol::Discard => {
                ClientScript::from_messages([(self.lines.concat(), Some(Vec::new()))])
            }
            SendProtocol::Line => ClientScript::from_messages(lines.map(|line| {
                let fits = strip_newline(line).len() <= self.server_max_message;
                let reply = fits.then(|| [PREFIX, &with_newline(line)].concat());
                (with_newline(line), reply)
            })),
            SendProtocol::Frame(width) => ClientScript::from_messages(lines.map(|line| {
                let message = strip_newline(line);
                let header = &(message.len() as u64).to_be_bytes()[8 - width.bytes()..];
                let frame = [header, message].concat();
                let fits = message.len() <= self.server_max_message;
                (frame.clone(), fits.then_some(frame))
            })),
        }
    }

    /// The length of the output for the first `received` bytes of the replies.
    pub fn output_len_for(&self, received: u64) -> usize {
        let received = usize::try_from(received).unwrap();
        let SendProtocol::Frame(width) = self.protocol else {
            return received;
        };
        let size = width.bytes();
        let (mut left, mut printed) = (received, 0);
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            let length = strip_newline(line).len();
            printed += length.min(left.saturating_sub(size));
            if left < size + length {
                break;
            }
            printed += 1;
            left -= size + length;
        }
        printed
    }

    /// The whole input, for standard input.
    pub fn input(&self) -> Vec<u8> {
        self.lines.concat()
    }

    /// The whole input, as messages on the command line.
    pub fn messages(&self) -> Input {
        let lines = self.lines.iter().filter(|line| !line.is_empty());
        Input::Messages(match self.protocol {
            SendProtocol::Raw | SendProtocol::Discard => {
                self.lines[0].chunks(1000).map(Vec::from).collect()
            }
            SendProtocol::Line => lines
                .map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec())
                .collect(),
            SendProtocol::Frame(_) => lines.map(|line| strip_newline(line).to_vec()).collect(),
        })
    }
}

/// A line without its line ending.
fn strip_newline(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(text) => text.strip_suffix(b"\r").unwrap_or(text),
        None => line,
    }
}

/// A line with a line ending, which is added if it has none.
fn with_newline(line: &[u8]) -> Vec<u8> {
    let newline = if line.ends_with(b"\n") {
        &b""[..]
    } else {
        b"\n"
    };
    [line, newline].concat()
}

fn random_bytes(rng: &mut Rng, count: usize) -> Vec<u8> {
    let words = (0..count.div_ceil(8)).flat_map(|_| rng.next().to_le_bytes());
    words.take(count).collect()
}

/// The text of a line of at most `longest` bytes without line endings; one byte longer if `is_too_long`.
fn random_text(rng: &mut Rng, longest: usize, is_too_long: bool) -> Vec<u8> {
    let length = usize::try_from(rng.magnitude(longest as u64)).unwrap();
    let mut text = random_bytes(rng, if is_too_long { longest + 1 } else { length });
    for byte in &mut text {
        if *byte == b'\n' || *byte == b'\r' {
            *byte = b'.';
        }
    }
    text
}
