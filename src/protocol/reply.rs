//! Request and reply: a message goes in, its answer comes out, and how both are framed is the protocol's affair.

use super::{Finish, Outbox};
use std::fmt;
use std::ops::Range;

/// Answers messages. Any `FnMut(&[u8], &mut Reply<'_, '_>)` does, so a server of a user's own is a closure.
pub trait Answer {
    /// Answers `message`, which comes without its framing, by writing to `reply`. Who writes nothing has given an
    /// empty answer.
    fn answer(&mut self, message: &[u8], reply: &mut Reply<'_, '_>);
}

impl<F> Answer for F
where
    F: FnMut(&[u8], &mut Reply<'_, '_>),
{
    #[inline]
    fn answer(&mut self, message: &[u8], reply: &mut Reply<'_, '_>) {
        self(message, reply);
    }
}

/// Answers each message with itself, behind a prefix that may be empty.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    prefix: Box<[u8]>,
}

impl Echo {
    /// Puts `prefix` before each message.
    #[must_use]
    pub fn behind(prefix: &[u8]) -> Echo {
        Echo {
            prefix: prefix.into(),
        }
    }
}

impl Answer for Echo {
    #[inline]
    fn answer(&mut self, _: &[u8], reply: &mut Reply<'_, '_>) {
        reply.write(&self.prefix);
        reply.echo();
    }
}

/// The answer to one message, as it is written. What is written goes straight to where all answers of a read are
/// gathered, so an answer allocates nothing of its own.
///
/// Text is written with [`write!`], which cannot fail here.
#[derive(Debug)]
pub struct Reply<'r, 'a> {
    outbox: &'r mut Outbox<'a>,
    input: &'a [u8],
    framed: Range<usize>,
    message: Range<usize>,
    said: Said,
}

/// What an answer consists of so far.
#[derive(Clone, Copy, Debug)]
enum Said {
    Nothing,
    /// The message and nothing else: if it stays so, it goes out as it came, framing included.
    Message,
    /// Bytes, which begin at this place among those gathered, with room for the header before them.
    Bytes(usize),
    /// Bytes, and then the message. It is not copied yet, because what stands behind it comes with it if it is the last.
    BytesAndMessage(usize),
}

impl<'r, 'a> Reply<'r, 'a> {
    /// An answer to the message that lies at `message` in `input`, and with its framing at `framed`.
    ///
    /// The framing before a message is a big-endian length, and is made anew for the answer; what stands behind a
    /// message stands behind its answer too.
    pub(super) fn new(
        outbox: &'r mut Outbox<'a>,
        input: &'a [u8],
        framed: Range<usize>,
        message: Range<usize>,
    ) -> Self {
        debug_assert!(framed.start <= message.start && message.end <= framed.end);
        Reply {
            outbox,
            input,
            framed,
            message,
            said: Said::Nothing,
        }
    }

    /// Adds `piece` to the answer.
    #[inline]
    pub fn write(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.begin();
            self.outbox.write(piece);
        }
    }

    /// Adds the message itself to the answer. An answer that is nothing else is not copied.
    #[inline]
    pub fn echo(&mut self) {
        self.said = match self.said {
            Said::Nothing => Said::Message,
            Said::Bytes(begin) => Said::BytesAndMessage(begin),
            Said::Message | Said::BytesAndMessage(_) => {
                let begin = self.begin();
                Said::BytesAndMessage(begin)
            }
        };
    }

    /// Ends the connection once this answer and those before it have been sent.
    pub fn finish(&mut self, finish: Finish) {
        self.outbox.finish(finish);
    }

    /// From here on the answer is made of bytes, which begin at the place that this gives back.
    #[inline]
    fn begin(&mut self) -> usize {
        let begin = match self.said {
            Said::Bytes(begin) => return begin,
            Said::BytesAndMessage(begin) => begin,
            Said::Nothing | Said::Message => {
                let header = &self.input[self.framed.start..self.message.start];
                self.outbox.begin(header)
            }
        };
        if let Said::Message | Said::BytesAndMessage(_) = self.said {
            self.outbox.write(&self.input[self.message.clone()]);
        }
        self.said = Said::Bytes(begin);
        begin
    }

    /// Frames what has been written. An answer that is too large for its header is not sent, and ends the connection.
    #[inline]
    pub(super) fn complete(mut self) {
        self.outbox.count_message();
        if let Said::Message = self.said {
            self.outbox.send_part(self.input, self.framed);
            return;
        }
        let width = self.message.start - self.framed.start;
        if width == 0
            && let Said::BytesAndMessage(_) = self.said
        {
            self.outbox
                .write(&self.input[self.message.start..self.framed.end]);
            return;
        }
        let begin = self.begin();
        if width > 0 && !self.outbox.write_length(begin, width) {
            self.outbox.finish(Finish::TooLong);
        }
        let behind = &self.input[self.message.end..self.framed.end];
        if !behind.is_empty() {
            self.outbox.write(behind);
        }
    }
}

impl fmt::Write for Reply<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
