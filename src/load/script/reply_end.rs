//! Where a reply ends, and which part of it is checked.
//!
//! Parsers see a reply from its first byte on, with more of it at each call. What they have found is in [`Progress`], so
//! that no byte is examined twice; the outcome does not depend on how the reply was cut.

use super::{http, resp, websocket};
use memchr::{memchr, memmem};

/// How a reply ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReplyEnd {
    /// After these bytes.
    Until(Vec<u8>),
    /// After this many bytes.
    Length(usize),
    /// After a line feed.
    Line,
    /// After the length that its first 1, 2 or 4 bytes encode, in network byte order.
    Frame(usize),
    /// As an HTTP/1 response; without a body if the request was HEAD.
    Http { is_head: bool },
    /// As a value of the Redis protocol, RESP 2 or 3.
    Resp,
    /// As an MQTT packet.
    Mqtt,
    /// As a WebSocket message.
    WebSocket,
}

/// What is known about an incomplete reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::load) struct Progress {
    /// Bytes that were examined, or up to which the structure is known.
    pub(super) scanned: usize,
    /// What remains there: values in RESP, the body in HTTP.
    pub(super) open: u64,
    pub(super) body: http::Body,
    /// The server closes the connection after the reply.
    pub(super) closes: bool,
}

/// The result of a look at a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// The reply has this many bytes.
    Complete(usize),
    /// It violates its protocol.
    Malformed,
}

impl Progress {
    /// Whether the server closes the connection after the reply.
    pub(in crate::load) fn closes(&self) -> bool {
        self.closes
    }
}

impl ReplyEnd {
    /// Looks for the end of the reply that `input` begins with. `progress` is that of the last call with a part of this
    /// reply, or the default.
    pub(super) fn parse(&self, input: &[u8], progress: &mut Progress) -> Parsed {
        match self {
            ReplyEnd::Until(end) => {
                // The end may have begun in the bytes already examined.
                let from = progress.scanned.saturating_sub(end.len() - 1);
                progress.scanned = input.len();
                complete(memmem::find(&input[from..], end).map(|at| from + at + end.len()))
            }
            ReplyEnd::Length(length) => complete((input.len() >= *length).then_some(*length)),
            ReplyEnd::Line => {
                let from = progress.scanned;
                progress.scanned = input.len();
                complete(memchr(b'\n', &input[from..]).map(|at| from + at + 1))
            }
            ReplyEnd::Frame(width) => {
                let Some(header) = input.get(..*width) else {
                    return Parsed::Incomplete;
                };
                let length = header
                    .iter()
                    .fold(0, |length: usize, byte| length << 8 | usize::from(*byte));
                whole(input, width + length)
            }
            ReplyEnd::Http { is_head } => http::parse(input, *is_head, progress),
            ReplyEnd::Resp => resp::parse(input, progress),
            ReplyEnd::Mqtt => parse_mqtt(input),
            ReplyEnd::WebSocket => websocket::parse(input, progress),
        }
    }

    /// Whether a reply is complete when the server closes the connection after `progress`.
    pub(super) fn ends_with_connection(&self, progress: &Progress) -> bool {
        matches!(self, ReplyEnd::Http { .. }) && progress.body == http::Body::UntilClosed
    }

    /// The part of a complete reply that is checked. Decodes into `buffer` what is not in one piece.
    pub(super) fn content<'a>(&self, reply: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
        match self {
            ReplyEnd::Until(_) | ReplyEnd::Length(_) | ReplyEnd::Resp | ReplyEnd::Mqtt => reply,
            ReplyEnd::Line => {
                let line = reply.strip_suffix(b"\n").unwrap_or(reply);
                line.strip_suffix(b"\r").unwrap_or(line)
            }
            ReplyEnd::Frame(width) => reply.get(*width..).unwrap_or_default(),
            ReplyEnd::Http { is_head } => http::content(reply, *is_head, buffer),
            ReplyEnd::WebSocket => websocket::content(reply, buffer),
        }
    }
}

/// A reply that ends where this was found.
fn complete(length: Option<usize>) -> Parsed {
    length.map_or(Parsed::Incomplete, Parsed::Complete)
}

/// A reply of this many bytes.
pub(super) fn whole(input: &[u8], length: usize) -> Parsed {
    complete((input.len() >= length).then_some(length))
}

/// A control packet: its type, its remaining length in one to four bytes, and the rest (MQTT 3.1.1, section 2.2).
fn parse_mqtt(input: &[u8]) -> Parsed {
    if input.first().is_some_and(|kind| kind >> 4 == 0) {
        return Parsed::Malformed;
    }
    let mut length = 0;
    for (index, byte) in input.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return whole(input, 2 + index + length);
        }
    }
    if input.len() >= 5 {
        Parsed::Malformed
    } else {
        Parsed::Incomplete
    }
}
