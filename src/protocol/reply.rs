//! Requests and replies: a [`Handler`] gets a message and writes the [`Reply`]; the protocol does the framing of both.

use super::{Finish, Outbox};
use std::fmt;
use std::ops::Range;

/// Replies to messages. Every `FnMut(&[u8], &mut Reply<'_, '_>)` is a handler, so a server can be a closure.
pub trait Handler {
    /// Writes the reply to `message`, which has no framing. If the handler writes nothing, the reply is empty.
    fn handle(&mut self, message: &[u8], reply: &mut Reply<'_, '_>);
}

impl<F: FnMut(&[u8], &mut Reply<'_, '_>)> Handler for F {
    #[inline]
    fn handle(&mut self, message: &[u8], reply: &mut Reply<'_, '_>) {
        self(message, reply);
    }
}

/// Replies to each message with a prefix, which may be empty, and the message itself.
#[derive(Clone, Debug, Default)]
pub struct Echo(Box<[u8]>);

impl Echo {
    /// Echoes each message after `prefix`.
    #[must_use]
    pub fn with_prefix(prefix: &[u8]) -> Echo {
        Echo(prefix.into())
    }
}

impl Handler for Echo {
    #[inline]
    fn handle(&mut self, _: &[u8], reply: &mut Reply<'_, '_>) {
        reply.write(&self.0);
        reply.echo();
    }
}

/// The reply to one message. Its bytes are written directly to the outbox, without an allocation per reply.
///
/// [`write!`] writes formatted text, and never fails here.
#[derive(Debug)]
pub struct Reply<'r, 'a> {
    outbox: &'r mut Outbox<'a>,
    input: &'a [u8],
    framed: Range<usize>,
    message: Range<usize>,
    content: Content,
}

/// The content of a reply so far.
#[derive(Clone, Copy, Debug)]
enum Content {
    Empty,
    /// Only the message: if nothing is added, it is sent as it was received, with its framing.
    Message,
    /// Bytes, which start at this index of the write buffer, after the space for the header.
    Bytes(usize),
    /// Bytes, and then the message. It is not copied yet: if nothing is added, its trailer is copied with it.
    BytesAndMessage(usize),
}

impl<'r, 'a> Reply<'r, 'a> {
    /// A reply to the message at `message` in `input`; `framed` is its range with framing.
    ///
    /// Framing is either a header, which is the length in big-endian and is encoded again for the reply, or a trailer,
    /// which is copied to the reply.
    pub(super) fn new(
        outbox: &'r mut Outbox<'a>,
        input: &'a [u8],
        framed: Range<usize>,
        message: Range<usize>,
    ) -> Self {
        debug_assert!(framed.start <= message.start && message.end <= framed.end);
        debug_assert!(framed.start == message.start || message.end == framed.end);
        Reply {
            outbox,
            input,
            framed,
            message,
            content: Content::Empty,
        }
    }

    /// Appends `piece` to the reply.
    #[inline]
    pub fn write(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.begin();
            self.outbox.write(piece);
        }
    }

    /// Appends the message to the reply. If the message is the whole reply, it is not copied.
    #[inline]
    pub fn echo(&mut self) {
        self.content = match self.content {
            Content::Empty => Content::Message,
            Content::Bytes(begin) => Content::BytesAndMessage(begin),
            Content::Message | Content::BytesAndMessage(_) => {
                Content::BytesAndMessage(self.begin())
            }
        };
    }

    /// Closes the connection after this reply and those before it have been sent.
    pub fn finish(&mut self, finish: Finish) {
        self.outbox.finish(finish);
    }

    /// Changes the content to [`Content::Bytes`], and returns the index at which they start.
    #[inline]
    fn begin(&mut self) -> usize {
        let begin = match self.content {
            Content::Bytes(begin) => return begin,
            Content::BytesAndMessage(begin) => begin,
            Content::Empty | Content::Message => {
                let header = &self.input[self.framed.start..self.message.start];
                self.outbox.begin_message(header)
            }
        };
        if let Content::Message | Content::BytesAndMessage(_) = self.content {
            self.outbox.write(&self.input[self.message.clone()]);
        }
        self.content = Content::Bytes(begin);
        begin
    }

    /// Frames the reply. A reply that is too long for its header is not sent, and closes the connection.
    #[expect(clippy::inline_always, reason = "on the path of every message")]
    #[inline(always)]
    pub(super) fn complete(mut self) {
        self.outbox.count_message();
        let (begin, rest) = match self.content {
            Content::Message => return self.outbox.send_part(self.input, self.framed),
            Content::BytesAndMessage(begin) => (begin, self.message.start),
            Content::Empty | Content::Bytes(_) => (self.begin(), self.message.end),
        };
        let rest = &self.input[rest..self.framed.end];
        if !rest.is_empty() {
            self.outbox.write(rest);
        }
        let width = self.message.start - self.framed.start;
        if width > 0 && !self.outbox.end_message(begin, width) {
            self.outbox.finish(Finish::TooLong);
        }
    }
}

impl fmt::Write for Reply<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
