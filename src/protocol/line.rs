//! Lines: each is a message, and its answer is a line too.

use super::{Answer, Context, Echo, Finish, Outbox, Protocol, Reply, Session};
use std::marker::PhantomData;

/// A protocol of lines: text that ends in LF or CRLF. An answer ends as its line did.
///
/// A CR that no LF follows is a part of its line. What stands behind the last line end when the peer's FIN comes is a
/// line too, and its answer ends in nothing.
#[derive(Clone, Debug)]
pub struct Line<A> {
    answer: A,
    max_message: usize,
}

impl<F> Line<F>
where
    F: FnMut(&[u8], &mut Reply<'_, '_>),
{
    /// Answers lines by `answer`, which gets them and gives answers without line ends. A line of more than
    /// `max_message` bytes, its end not counted, ends the connection ([`Finish::TooLong`]).
    pub fn new(max_message: usize, answer: F) -> Self {
        Line {
            answer,
            max_message,
        }
    }
}

impl<A> Line<A> {
    /// Whether this beginning of a line is too long already, wherever its end will be.
    fn is_too_long(&self, unfinished: &[u8]) -> bool {
        // A CR may turn out to belong to the line's end.
        let pending = usize::from(unfinished.last() == Some(&b'\r'));
        unfinished.len() - pending > self.max_message
    }
}

impl Line<Echo> {
    /// Sends each line back behind `prefix`.
    #[must_use]
    pub fn echo(max_message: usize, prefix: &[u8]) -> Self {
        Line {
            answer: Echo::behind(prefix),
            max_message,
        }
    }
}

/// The protocol of lines on one connection.
#[derive(Debug)]
pub struct LineSession<A> {
    /// So many bytes at the front of what is not consumed are known to hold no line end: they are not searched again,
    /// or a line that comes byte by byte would cost the square of its length.
    pub(super) searched: u32,
    protocol: PhantomData<fn(Line<A>)>,
}

impl<A: Answer> Protocol for Line<A> {
    type Session = LineSession<A>;

    fn name(&self) -> &'static str {
        "line"
    }

    fn session(&mut self) -> LineSession<A> {
        LineSession {
            searched: 0,
            protocol: PhantomData,
        }
    }
}

impl<A: Answer> Session for LineSession<A> {
    type Shared = Line<A>;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Line<A>>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        let line = context.shared;
        let mut begin = 0;
        while begin < input.len() && !outbox.is_full() && outbox.finished().is_none() {
            let searched = begin + std::mem::take(&mut self.searched) as usize;
            let Some(found) = memchr::memchr(b'\n', &input[searched..]) else {
                let unfinished = &input[begin..];
                self.searched = u32::try_from(unfinished.len()).unwrap_or(u32::MAX);
                if line.is_too_long(unfinished) {
                    outbox.finish(Finish::TooLong);
                }
                break;
            };
            let line_feed = searched + found;
            let has_return = input[begin..line_feed].last() == Some(&b'\r');
            let end = line_feed - usize::from(has_return);
            if end - begin > line.max_message {
                outbox.finish(Finish::TooLong);
                break;
            }
            let mut reply = Reply::new(outbox, input, begin..line_feed + 1, begin..end);
            line.answer.answer(&input[begin..end], &mut reply);
            reply.complete();
            begin = line_feed + 1;
        }
        begin
    }

    fn end<'a>(&mut self, rest: &'a [u8], context: Context<'_, Line<A>>, outbox: &mut Outbox<'a>) {
        if rest.len() > context.shared.max_message {
            outbox.finish(Finish::TooLong);
        } else if !rest.is_empty() {
            let mut reply = Reply::new(outbox, rest, 0..rest.len(), 0..rest.len());
            context.shared.answer.answer(rest, &mut reply);
            reply.complete();
        }
    }
}
