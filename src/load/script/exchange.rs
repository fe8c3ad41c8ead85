//! A message and its reply: how the one is rendered, and how the other is verified.

use super::check::Check;
use super::error::Fault;
use super::expected::{Expected, Verdict};
use super::reply_end::{Parsed, Progress, ReplyEnd};
use super::template::{Ids, Template};
use super::websocket;
use crate::echo::Mismatch;
use std::fmt::Write as _;

/// A message, a reply, or both.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    pub(super) send: Option<Send>,
    pub(super) expect: Option<Expect>,
}

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Send {
    pub(super) template: Template,
    pub(super) framing: Framing,
}

/// What precedes the text of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    #[default]
    None,
    /// Its length in so many bytes.
    Length(usize),
    /// The header of a WebSocket frame, which masks it.
    WebSocket,
}

/// A reply.
#[derive(Clone, Debug)]
pub(super) struct Expect {
    pub(super) end: ReplyEnd,
    pub(super) checks: Vec<Check>,
}

/// Memory for rendering and decoding, and an example of a wrong reply.
#[derive(Debug, Default)]
pub(in crate::load) struct Buffers {
    content: Vec<u8>,
    text: Vec<u8>,
    /// The first wrong reply and what was expected.
    pub(in crate::load) example: Option<(String, String)>,
}

impl Buffers {
    /// Keeps a reply that answers no message as the example, if it is the first wrong one.
    #[cold]
    pub(in crate::load) fn note_unasked(&mut self, reply: &[u8]) {
        let example = || (excerpt(reply), String::new());
        self.example.get_or_insert_with(example);
    }

    #[cold]
    fn note_wrong(&mut self, reply: &[u8], ids: Ids, expect: &Expect) {
        if self.example.is_none() {
            let wanted = expect.checks.iter();
            let wanted: Vec<_> = wanted
                .map(|check| check.describe(ids, &mut self.text))
                .collect();
            self.example = Some((excerpt(reply), wanted.join(" and ")));
        }
    }
}

impl Exchange {
    pub(super) fn resolve(&self, run: u64, target: &str) -> Result<Exchange, Fault> {
        let send = self.send.as_ref().map(|send| Send {
            template: send.template.resolve(run, target),
            framing: send.framing,
        });
        let is_head = send
            .as_ref()
            .is_some_and(|send| send.template.prefix().starts_with(b"HEAD "));
        let expect = match &self.expect {
            Some(expect) => Some(Expect {
                end: match &expect.end {
                    ReplyEnd::Http { .. } => ReplyEnd::Http { is_head },
                    end => end.clone(),
                },
                checks: {
                    let checks = expect.checks.iter();
                    let resolved = checks.map(|check| check.resolve(run, target));
                    resolved.collect::<Result<_, _>>()?
                },
            }),
            None => None,
        };
        Ok(Exchange { send, expect })
    }
}

impl Send {
    /// Appends the message to `out`, which is empty.
    pub(super) fn render(&self, ids: Ids, out: &mut Vec<u8>) {
        match self.framing {
            Framing::None => self.template.render(ids, out),
            Framing::Length(width) => {
                out.resize(width, 0);
                self.template.render(ids, out);
                let length = (out.len() - width).to_be_bytes();
                out[..width].copy_from_slice(&length[length.len() - width..]);
            }
            Framing::WebSocket => {
                self.template.render(ids, out);
                websocket::enclose_text(out, 0, self.template.key(ids));
            }
        }
    }
}

impl Expect {
    /// Looks at the reply that `input` begins with: see [`Script::verify`](super::Script::verify).
    pub(super) fn look(
        &self,
        input: &[u8],
        expected: Expected,
        progress: &mut Progress,
        buffers: &mut Buffers,
        answer: &mut Vec<u8>,
    ) -> Verdict {
        let parsed = self.end.parse(input, progress);
        let mismatch = match parsed {
            Parsed::Malformed => Mismatch::Malformed,
            Parsed::Incomplete if input.len() > expected.max_message => Mismatch::TooLong,
            Parsed::Complete(length) if length > expected.max_message => Mismatch::TooLong,
            Parsed::Incomplete => return Verdict::Incomplete,
            Parsed::Complete(length) => {
                let closes = progress.closes();
                *progress = Progress::default();
                let reply = &input[..length];
                if self.end == ReplyEnd::WebSocket {
                    websocket::answer_pings(reply, MASK, answer);
                }
                let result = self.verify(reply, expected, buffers);
                return Verdict::Reply {
                    length,
                    result,
                    closes,
                };
            }
        };
        buffers.note_wrong(input, expected.ids, self);
        Verdict::Broken(mismatch)
    }

    /// The result of the reply that was incomplete when the server closed the connection.
    pub(super) fn look_at_end(
        &self,
        input: &[u8],
        expected: Expected,
        progress: &mut Progress,
        buffers: &mut Buffers,
    ) -> Result<(), Mismatch> {
        // What arrived last may not have been examined yet.
        let parsed = self.end.parse(input, progress);
        if parsed == Parsed::Incomplete && self.end.ends_with_connection(progress) {
            return self.verify(input, expected, buffers);
        }
        buffers.note_wrong(input, expected.ids, self);
        Err(Mismatch::Truncated)
    }

    fn verify(
        &self,
        reply: &[u8],
        expected: Expected,
        buffers: &mut Buffers,
    ) -> Result<(), Mismatch> {
        let ids = expected.ids;
        let mut content_buffer = std::mem::take(&mut buffers.content);
        let content = self.end.content(reply, &mut content_buffer);
        let mut checks = self.checks.iter();
        let failed = checks.find(|check| !check.accepts(content, ids, &mut buffers.text));
        let result = failed.map_or(Ok(()), |check| {
            let Expected {
                connections, sent, ..
            } = expected;
            Err(check.diagnose(content, ids, connections, sent, &mut buffers.text))
        });
        if result.is_err() {
            buffers.note_wrong(content, ids, self);
        }
        buffers.content = content_buffer;
        result
    }
}

/// The first bytes of a reply, escaped and between quotation marks.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 48;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let mut text = format!("\"{}\"", shown.escape_ascii());
    if shown.len() < bytes.len() {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}

/// The masking key of answers to pings. It protects proxies against scripts in browsers (RFC 6455, section 10.3), so any
/// value does.
pub(super) const MASK: u64 = 0x9c3d_58a7;
