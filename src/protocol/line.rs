//! Lines: each message and each reply is a line of text.

use super::{Context, Echo, Finish, Handler, Outbox, Protocol, Reply, Session};
use std::marker::PhantomData;

/// A protocol of lines that end with LF or CRLF. A reply has the line end of its line.
///
/// A CR without a following LF is part of its line. Input between the last line end and the peer's FIN is a line too;
/// its reply has no line end.
#[derive(Clone, Debug)]
pub struct Line<H> {
    handler: H,
    max_message: usize,
    /// Messages received by all sessions.
    messages: u64,
}

impl<F: FnMut(&[u8], &mut Reply<'_, '_>)> Line<F> {
    /// Lines of at most `max_message` bytes, without counting the line end. `handler` replies to each; messages and
    /// replies are passed without their line ends. A longer line closes the connection ([`Finish::TooLong`]).
    pub fn new(max_message: usize, handler: F) -> Self {
        Line {
            handler,
            max_message,
            messages: 0,
        }
    }
}

impl Line<Echo> {
    /// Echoes each line after `prefix`.
    #[must_use]
    pub fn echo(max_message: usize, prefix: &[u8]) -> Self {
        Line {
            handler: Echo::with_prefix(prefix),
            max_message,
            messages: 0,
        }
    }
}

/// A line before its LF, without a CR at its end.
#[inline]
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The session of [`Line`].
#[derive(Debug)]
pub struct LineSession<H> {
    /// The number of unconsumed bytes that contain no line end. They are not searched again: otherwise a line received
    /// byte by byte would take time in the square of its length.
    pub(super) searched: u32,
    protocol: PhantomData<fn(Line<H>)>,
}

impl<H: Handler> Protocol for Line<H> {
    type Session = LineSession<H>;

    fn name(&self) -> &'static str {
        "line"
    }

    fn session(&mut self) -> LineSession<H> {
        LineSession {
            searched: 0,
            protocol: PhantomData,
        }
    }

    fn messages_received(&self) -> Option<u64> {
        Some(self.messages)
    }
}

impl<H: Handler> Session for LineSession<H> {
    type Shared = Line<H>;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Line<H>>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        let line = context.shared;
        let mut begin = 0;
        while begin < input.len() && !outbox.is_full() && outbox.finished().is_none() {
            let searched = begin + std::mem::take(&mut self.searched) as usize;
            let Some(found) = memchr::memchr(b'\n', &input[searched..]) else {
                let unfinished = &input[begin..];
                self.searched = u32::try_from(unfinished.len()).unwrap_or(u32::MAX);
                // A CR at the end may be part of the line end.
                if without_cr(unfinished).len() > line.max_message {
                    outbox.finish(Finish::TooLong);
                }
                break;
            };
            let line_feed = searched + found;
            let message = without_cr(&input[begin..line_feed]);
            if message.len() > line.max_message {
                outbox.finish(Finish::TooLong);
                break;
            }
            let (framed, range) = (begin..line_feed + 1, begin..begin + message.len());
            let mut reply = Reply::new(outbox, input, framed, range);
            line.handler.handle(message, &mut reply);
            reply.complete();
            begin = line_feed + 1;
        }
        line.messages += outbox.messages() as u64;
        begin
    }

    fn end<'a>(&mut self, rest: &'a [u8], context: Context<'_, Line<H>>, outbox: &mut Outbox<'a>) {
        if rest.len() > context.shared.max_message {
            outbox.finish(Finish::TooLong);
        } else if !rest.is_empty() {
            let mut reply = Reply::new(outbox, rest, 0..rest.len(), 0..rest.len());
            context.shared.handler.handle(rest, &mut reply);
            reply.complete();
            context.shared.messages += 1;
        }
    }
}
