//! Frames: each message has its length before it, and so has each answer.

use super::{Answer, Context, Echo, Finish, Outbox, Protocol, Reply, Session};
use std::marker::PhantomData;

/// How many bytes the length before a frame takes, in network order (big-endian), as with Erlang's `{packet, N}`
/// (inet(3erl)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Frames of up to 255 bytes.
    One,
    /// Frames of up to 65,535 bytes.
    Two,
    /// Frames of up to 4 GiB less one byte.
    Four,
}

impl Width {
    /// The width in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
        }
    }

    /// The largest length that the header can hold.
    #[must_use]
    pub const fn max_length(self) -> usize {
        (1 << (8 * self.bytes())) - 1
    }

    /// Decodes the header at the front of `bytes`; `None` if it is incomplete.
    #[inline]
    #[must_use]
    pub fn read(self, bytes: &[u8]) -> Option<usize> {
        Some(match self {
            Width::One => usize::from(*bytes.first()?),
            Width::Two => usize::from(u16::from_be_bytes(*bytes.first_chunk()?)),
            Width::Four => u32::from_be_bytes(*bytes.first_chunk()?) as usize,
        })
    }

    /// Appends the header of a message of `length` bytes, at most [`max_length`](Width::max_length), to `output`.
    pub fn write(self, length: usize, output: &mut Vec<u8>) {
        debug_assert!(length <= self.max_length());
        let bytes = (length as u64).to_be_bytes();
        output.extend_from_slice(&bytes[bytes.len() - self.bytes()..]);
    }
}

/// Encodes `length` into `header`, which has at most eight bytes; false if it does not fit.
pub(super) fn write_length(header: &mut [u8], length: usize) -> bool {
    let bytes = (length as u64).to_be_bytes();
    let (high, low) = bytes.split_at(bytes.len() - header.len());
    header.copy_from_slice(low);
    high.iter().all(|byte| *byte == 0)
}

/// A protocol of frames: a length, then so many bytes. An empty frame is a message too.
#[derive(Clone, Debug)]
pub struct Frame<A> {
    width: Width,
    max_message: usize,
    answer: A,
}

impl<F> Frame<F>
where
    F: FnMut(&[u8], &mut Reply<'_, '_>),
{
    /// Answers frames by `answer`, which gets them and gives answers without their lengths. A frame that says it has
    /// more than `max_message` bytes ends the connection at once ([`Finish::TooLong`]), and so does an answer that is
    /// too large for a length of `width`; the peer's FIN within a frame is [`Finish::Malformed`].
    pub fn new(width: Width, max_message: usize, answer: F) -> Self {
        Frame {
            width,
            max_message,
            answer,
        }
    }
}

impl Frame<Echo> {
    /// Sends each frame back as it came. All frames of a read go out as they lie there, without a copy.
    #[must_use]
    pub fn echo(width: Width, max_message: usize) -> Self {
        Frame {
            width,
            max_message,
            answer: Echo::default(),
        }
    }
}

/// The protocol of frames on one connection. It has nothing to remember.
#[derive(Debug)]
pub struct FrameSession<A>(PhantomData<fn(Frame<A>)>);

impl<A: Answer> Protocol for Frame<A> {
    type Session = FrameSession<A>;

    fn name(&self) -> &'static str {
        match self.width {
            Width::One => "frame:1",
            Width::Two => "frame:2",
            Width::Four => "frame:4",
        }
    }

    fn session(&mut self) -> FrameSession<A> {
        FrameSession(PhantomData)
    }
}

impl<A: Answer> Session for FrameSession<A> {
    type Shared = Frame<A>;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Frame<A>>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        let frame = context.shared;
        let mut begin = 0;
        while !outbox.is_full() && outbox.finished().is_none() {
            let Some(length) = frame.width.read(&input[begin..]) else {
                break;
            };
            if length > frame.max_message {
                outbox.finish(Finish::TooLong);
                break;
            }
            let message = begin + frame.width.bytes();
            let end = message + length;
            let Some(bytes) = input.get(message..end) else {
                break;
            };
            let mut reply = Reply::new(outbox, input, begin..end, message..end);
            frame.answer.answer(bytes, &mut reply);
            reply.complete();
            begin = end;
        }
        begin
    }

    fn end<'a>(&mut self, rest: &'a [u8], _: Context<'_, Frame<A>>, outbox: &mut Outbox<'a>) {
        if !rest.is_empty() {
            outbox.finish(Finish::Malformed);
        }
    }
}
