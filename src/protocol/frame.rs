//! Frames: each message and each reply has its length before it.

use super::{Context, Echo, Finish, Handler, Outbox, Protocol, Reply, Session};
use std::marker::PhantomData;

/// The width of the length before a frame. The length is in network byte order (big-endian), as in Erlang's `{packet,
/// N}` (inet(3erl)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte: frames of up to 255 bytes.
    One = 1,
    /// Two bytes: frames of up to 65,535 bytes.
    Two = 2,
    /// Four bytes: frames of up to 4 GiB less one byte.
    Four = 4,
}

impl Width {
    /// The width in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self as usize
    }

    /// The largest length that fits, in bytes.
    #[must_use]
    pub const fn max_length(self) -> usize {
        (1 << (8 * self.bytes())) - 1
    }

    /// Decodes the length at the start of `bytes`; `None` if it is incomplete.
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

/// A protocol of frames: a length, then that many bytes. A frame may be empty.
#[derive(Clone, Debug)]
pub struct Frame<H> {
    width: Width,
    max_message: usize,
    handler: H,
    /// Messages received by all sessions.
    messages: u64,
}

impl<F: FnMut(&[u8], &mut Reply<'_, '_>)> Frame<F> {
    /// Frames of at most `max_message` bytes, without counting the length itself. `handler` replies to each; messages
    /// and replies are passed without their lengths.
    ///
    /// A frame that declares a longer length closes the connection immediately ([`Finish::TooLong`]), and so does a
    /// reply that is too long for a length of `width`. The peer's FIN within a frame is [`Finish::Malformed`].
    pub fn new(width: Width, max_message: usize, handler: F) -> Self {
        Frame {
            width,
            max_message,
            handler,
            messages: 0,
        }
    }
}

impl Frame<Echo> {
    /// Echoes each frame. The complete frames of a read are sent without a copy.
    #[must_use]
    pub fn echo(width: Width, max_message: usize) -> Self {
        Frame {
            width,
            max_message,
            handler: Echo::default(),
            messages: 0,
        }
    }
}

/// The session of [`Frame`]. It has no state.
#[derive(Debug)]
pub struct FrameSession<H>(PhantomData<fn(Frame<H>)>);

impl<H: Handler> Protocol for Frame<H> {
    type Session = FrameSession<H>;

    fn name(&self) -> &'static str {
        match self.width {
            Width::One => "frame:1",
            Width::Two => "frame:2",
            Width::Four => "frame:4",
        }
    }

    fn session(&mut self) -> FrameSession<H> {
        FrameSession(PhantomData)
    }

    fn messages_received(&self) -> Option<u64> {
        Some(self.messages)
    }
}

impl<H: Handler> Session for FrameSession<H> {
    type Shared = Frame<H>;

    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Frame<H>>,
        outbox: &mut Outbox<'a>,
    ) -> usize {
        let frame = context.shared;
        let mut begin = 0;
        while !outbox.is_full()
            && outbox.finished().is_none()
            && let Some(length) = frame.width.read(&input[begin..])
        {
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
            frame.handler.handle(bytes, &mut reply);
            reply.complete();
            begin = end;
        }
        frame.messages += outbox.messages() as u64;
        begin
    }

    fn end(&mut self, rest: &[u8], _: Context<'_, Frame<H>>, outbox: &mut Outbox<'_>) {
        if !rest.is_empty() {
            outbox.finish(Finish::Malformed);
        }
    }
}
