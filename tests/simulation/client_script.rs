//! What a client sends and which replies the protocol requires, computed byte by byte before the run.

use crate::peer::pattern_byte;
use crate::rng::Rng;
use echoloop::protocol::CLOCK_MESSAGE;
use std::fmt;
use std::ops::Range;

/// The protocol of the server, if it is not raw echo, with its limits.
#[derive(Clone, Copy, Debug)]
pub enum ProtocolConfig {
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
    Clock,
    /// HTTP of the admin listener.
    Admin,
}

impl ProtocolConfig {
    /// The same protocol with messages of at most `max_message` bytes.
    pub fn with_max_message(self, max_message: usize) -> ProtocolConfig {
        match self {
            ProtocolConfig::Line { prefix, .. } => ProtocolConfig::Line {
                max_message,
                prefix,
            },
            ProtocolConfig::Frame { width, .. } => ProtocolConfig::Frame { width, max_message },
            ProtocolConfig::Discard => ProtocolConfig::Discard,
            ProtocolConfig::Clock => ProtocolConfig::Clock,
            ProtocolConfig::Admin => ProtocolConfig::Admin,
            ProtocolConfig::Collect { .. } => ProtocolConfig::Collect { max_message },
        }
    }
}

/// The prefix of each line in a reply.
pub const PREFIX: &[u8] = b"ECHO ";

/// The prefix in some runs: so long that a reply costs far more than its line.
pub const LONG_PREFIX: &[u8] = &[b'p'; 4_000];

/// The time of the clock protocol in nanoseconds: it is the same in every reply, so that replies are known before the run.
pub const CLOCK_TIME: u64 = 0x0102_0304_0506_0708;

/// The reply bytes after which a client sends no further lines, except for an unterminated last one.
const MAX_REPLY_BYTES: usize = 60_000;

/// What one client sends.
#[derive(Debug)]
pub enum ClientScript {
    /// The byte pattern of the client ([`pattern_byte`]), which is echoed.
    Raw,
    /// Messages with their replies.
    Messages(MessageScript),
    /// Records of the layer (`layer`), whose clients check the replies.
    Layered,
}

#[derive(Default)]
pub struct MessageScript {
    input: Vec<u8>,
    replies: Vec<u8>,
    /// For each message: the input up to its end, and the reply bytes due from then on.
    due: Vec<(usize, usize)>,
    longest_reply: usize,
    /// A message exceeds the limit, so no later message is answered.
    is_rejected: bool,
}

impl fmt::Debug for MessageScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (input, replies) = (self.input.len(), self.replies.len());
        write!(f, "{input} bytes, {replies} bytes of replies")
    }
}

impl MessageScript {
    /// Appends a framed message and its reply.
    fn push(&mut self, message: &[u8], reply: &[u8]) {
        self.input.extend(message);
        if !self.is_rejected {
            self.replies.extend(reply);
            self.longest_reply = self.longest_reply.max(reply.len());
            self.due.push((self.input.len(), self.replies.len()));
        }
    }
}

impl ClientScript {
    /// Draws about `total` bytes of input for a protocol.
    pub fn draw(rng: &mut Rng, protocol: ProtocolConfig, id: u64, total: u64) -> ClientScript {
        ClientScript::draw_with(rng, protocol, id, total, 10)
    }

    /// Draws input in which `too_long` of 1,000 messages exceed the limit.
    fn draw_with(
        rng: &mut Rng,
        protocol: ProtocolConfig,
        id: u64,
        total: u64,
        too_long: u64,
    ) -> ClientScript {
        let mut script = MessageScript::default();
        let total = usize::try_from(total).unwrap();
        match protocol {
            ProtocolConfig::Discard => script.push(&bytes(id, 0, total), &[]),
            ProtocolConfig::Clock => requests(rng, &mut script, id, total),
            ProtocolConfig::Admin => http_requests(rng, &mut script, total),
            ProtocolConfig::Line {
                max_message,
                prefix,
            } => {
                lines(rng, &mut script, id, total, (max_message, prefix), too_long);
            }
            ProtocolConfig::Frame { width, max_message } => {
                frames(rng, &mut script, id, total, (width, max_message), too_long);
            }
            ProtocolConfig::Collect { max_message } => {
                let total = if rng.chance(900) {
                    total.min(max_message)
                } else {
                    total
                };
                script.push(&record(id, total), &[]);
            }
        }
        ClientScript::Messages(script)
    }

    /// Draws messages of at most `longest` bytes, all of which the server accepts.
    pub fn draw_short(
        rng: &mut Rng,
        protocol: ProtocolConfig,
        id: u64,
        total: u64,
        longest: usize,
    ) -> ClientScript {
        ClientScript::draw_with(rng, protocol.with_max_message(longest), id, total, 0)
    }

    /// A message of `length` bytes without its last byte.
    pub fn incomplete_message(protocol: ProtocolConfig, length: usize) -> ClientScript {
        let header = match protocol {
            ProtocolConfig::Frame { width, .. } => {
                let length = length.min((1 << (8 * width)) - 1);
                (length as u64).to_be_bytes()[8 - width..].to_vec()
            }
            _ => Vec::new(),
        };
        let length = match protocol {
            ProtocolConfig::Frame { width, .. } => length.min((1 << (8 * width)) - 1),
            _ => length,
        };
        ClientScript::Messages(MessageScript {
            input: [header, vec![b'x'; length - 1]].concat(),
            ..MessageScript::default()
        })
    }

    /// Framed messages with their replies. From the first message without a reply on, none is answered.
    pub fn from_messages(
        messages: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> ClientScript {
        let mut script = MessageScript::default();
        for (message, reply) in messages {
            script.is_rejected |= reply.is_none();
            script.push(&message, &reply.unwrap_or_default());
        }
        ClientScript::Messages(script)
    }

    /// Whether a message exceeds the limit of the server.
    pub fn is_rejected(&self) -> bool {
        matches!(self, ClientScript::Messages(script) if script.is_rejected)
    }

    /// The length of the input in bytes; `u64::MAX` if it is unlimited.
    pub fn length(&self) -> u64 {
        match self {
            ClientScript::Raw | ClientScript::Layered => u64::MAX,
            ClientScript::Messages(script) => script.input.len() as u64,
        }
    }

    /// The byte of the input of client `id` at a position.
    pub fn input_byte(&self, id: u64, position: u64) -> u8 {
        match self {
            ClientScript::Raw | ClientScript::Layered => pattern_byte(id, position),
            ClientScript::Messages(script) => script.input[usize::try_from(position).unwrap()],
        }
    }

    /// The byte of the replies to client `id` at a position.
    pub fn reply_byte(&self, id: u64, position: u64) -> u8 {
        match self {
            ClientScript::Raw | ClientScript::Layered => pattern_byte(id, position),
            ClientScript::Messages(script) => script.replies[usize::try_from(position).unwrap()],
        }
    }

    /// The number of replies that end within a range of the reply bytes.
    pub fn count_replies(&self, range: Range<u64>) -> usize {
        let ClientScript::Messages(script) = self else {
            return 0;
        };
        let up_to = |end: u64| script.due.partition_point(|(_, due)| *due as u64 <= end);
        up_to(range.end) - up_to(range.start)
    }

    /// How many of the first `sent` input bytes belong to an incomplete message.
    pub fn incomplete_bytes(&self, sent: u64) -> u64 {
        let ClientScript::Messages(script) = self else {
            return 0;
        };
        let due = &script.due;
        let complete = due.partition_point(|(position, _)| *position as u64 <= sent);
        let last = complete.checked_sub(1).map_or(0, |last| due[last].0);
        sent - last as u64
    }

    /// The length of the longest reply.
    pub fn longest_reply(&self) -> usize {
        match self {
            ClientScript::Raw | ClientScript::Layered => 0,
            ClientScript::Messages(script) => script.longest_reply,
        }
    }

    /// The reply bytes due after `sent` bytes of input, and FIN if `fin` is set.
    pub fn reply_bytes_due(&self, sent: u64, fin: bool) -> u64 {
        let ClientScript::Messages(script) = self else {
            return sent;
        };
        let sent = usize::try_from(sent).unwrap();
        if fin && sent == script.input.len() {
            return script.replies.len() as u64;
        }
        let count = script
            .due
            .partition_point(|(position, _)| *position <= sent);
        let due = count.checked_sub(1).map_or(0, |last| script.due[last].1);
        due as u64
    }
}

fn bytes(id: u64, from: usize, count: usize) -> Vec<u8> {
    let from = from as u64;
    (from..from + count as u64)
        .map(|at| pattern_byte(id, at))
        .collect()
}

fn lines(
    rng: &mut Rng,
    script: &mut MessageScript,
    id: u64,
    total: usize,
    (max_message, prefix): (usize, &[u8]),
    too_long: u64,
) {
    // A flood of empty lines is short, and its replies are long.
    let is_flood = rng.chance(100);
    while script.input.len() < total && script.replies.len() < MAX_REPLY_BYTES {
        let is_too_long = !is_flood && rng.chance(too_long);
        let length = if is_flood {
            0
        } else {
            length(rng, max_message, is_too_long)
        };
        let mut line = bytes(id, script.input.len(), length);
        for byte in &mut line {
            // The pattern must not contain line endings.
            if *byte == b'\n' || *byte == b'\r' {
                *byte = b'.';
            }
        }
        script.is_rejected |= is_too_long;
        line.extend(if rng.chance(500) { &b"\r\n"[..] } else { b"\n" });
        script.push(&line, &[prefix, &line].concat());
    }
    if rng.chance(500) && !script.is_rejected {
        // An unterminated line: its reply is due at FIN.
        let rest = vec![b'x'; 1 + rng.index(max_message)];
        script.input.extend(&rest);
        let reply = [prefix, &rest].concat();
        script.longest_reply = script.longest_reply.max(reply.len());
        script.replies.extend(reply);
    }
}

fn frames(
    rng: &mut Rng,
    script: &mut MessageScript,
    id: u64,
    total: usize,
    (width, max_message): (usize, usize),
    too_long: u64,
) {
    let largest = (1_usize << (8 * width)) - 1;
    while script.input.len() < total {
        let is_too_long = max_message < largest && rng.chance(too_long);
        let length = length(rng, max_message, is_too_long).min(largest);
        let header = &(length as u64).to_be_bytes()[8 - width..];
        let frame = [header, &bytes(id, script.input.len(), length)].concat();
        script.is_rejected |= is_too_long;
        script.push(&frame, &frame);
    }
    if rng.chance(200) {
        // FIN follows an incomplete frame.
        script.input.extend(&[0, 0, 0, 1][4 - width..]);
    }
}

/// Requests to a clock: any bytes, each eight of which are answered with the time.
fn requests(rng: &mut Rng, script: &mut MessageScript, id: u64, total: usize) {
    while script.input.len() < total {
        let request = bytes(id, script.input.len(), CLOCK_MESSAGE);
        script.push(&request, &CLOCK_TIME.to_be_bytes());
    }
    if rng.chance(200) {
        // FIN follows an incomplete request.
        script
            .input
            .extend(&[0; CLOCK_MESSAGE - 1][..=rng.index(CLOCK_MESSAGE - 1)]);
    }
}

/// Requests of the admin listener at the time 0, and its responses.
fn http_requests(rng: &mut Rng, script: &mut MessageScript, total: usize) {
    const HEALTHY: (&str, &str) = ("200 OK", "ok\n");
    const MISSING: (&str, &str) = (
        "404 Not Found",
        "404 Not Found: there are /, /metrics, /healthz and /status.json\n",
    );
    while script.input.len() < total && script.replies.len() < MAX_REPLY_BYTES {
        let (method, has_body) = rng.one_of(&[("GET", true), ("HEAD", false)]);
        let (path, (status, body)) = rng.one_of(&[("/healthz", HEALTHY), ("/none", MISSING)]);
        let field = "x".repeat(usize::try_from(rng.magnitude(3_000)).unwrap());
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX: {field}\r\n\r\n");
        let length = body.len();
        let content = if has_body { body } else { "" };
        let reply = format!(
            "HTTP/1.1 {status}\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n{content}"
        );
        script.push(request.as_bytes(), reply.as_bytes());
    }
    if rng.chance(200) {
        // FIN follows an incomplete request.
        script.input.extend(b"GET / HT");
    }
}

/// Draws the length of a message: of any magnitude up to `max_message`, or above it.
fn length(rng: &mut Rng, max_message: usize, is_too_long: bool) -> usize {
    let length = usize::try_from(rng.magnitude(max_message as u64)).unwrap();
    if is_too_long {
        max_message + 1 + length
    } else {
        length
    }
}

/// A record that begins with the id of its client and its length.
fn record(id: u64, length: usize) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let head = [number(usize::try_from(id).unwrap()), number(length)].concat();
    [head, bytes(id, 0, length.saturating_sub(8))].concat()
}

/// Checks the concatenated records in `output` and returns the ids of their clients. The last record may be truncated.
pub fn record_ids(output: &[u8]) -> Vec<u64> {
    let mut ids = Vec::new();
    let mut rest = output;
    while let Some((head, after)) = rest.split_at_checked(8) {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let (id, length) = (u64::from(number(&head[..4])), number(&head[4..]) as usize);
        let expected = bytes(id, 0, length.saturating_sub(8));
        let count = expected.len().min(after.len());
        assert_eq!(
            after[..count],
            expected[..count],
            "the record of client {id}"
        );
        if count < expected.len() {
            break;
        }
        ids.push(id);
        rest = &after[count..];
    }
    ids
}
