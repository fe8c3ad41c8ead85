//! Clock: each request of eight bytes is answered with the time.

use super::{Context, Finish, Outbox, Protocol, Session};
use std::marker::PhantomData;
use std::time::Duration;

/// The length of a request and of a reply, in bytes.
pub const CLOCK_MESSAGE: usize = 8;

/// A protocol that replies to each eight bytes, whatever they are, with the time: nanoseconds since 1970-01-01 00:00 UTC,
/// in network byte order (big-endian), as a number of eight bytes.
///
/// The clock is read for each reply. The peer's FIN within a request is [`Finish::Malformed`].
#[derive(Clone, Debug)]
pub struct Clock<F> {
    read: F,
    /// Messages received by all sessions.
    messages: u64,
}

impl<F: FnMut() -> Duration> Clock<F> {
    /// Replies with what `read` returns: the time since 1970-01-01 00:00 UTC, such as
    /// [`time_of_day`](crate::net::time_of_day).
    pub fn new(read: F) -> Self {
        Clock { read, messages: 0 }
    }
}

/// The session of [`Clock`]. It has no state.
#[derive(Debug)]
pub struct ClockSession<F>(PhantomData<fn(Clock<F>)>);

impl<F: FnMut() -> Duration> Protocol for Clock<F> {
    type Session = ClockSession<F>;

    fn name(&self) -> &'static str {
        "clock"
    }

    fn session(&mut self) -> ClockSession<F> {
        ClockSession(PhantomData)
    }

    fn messages_received(&self) -> Option<u64> {
        Some(self.messages)
    }
}

impl<F: FnMut() -> Duration> Session for ClockSession<F> {
    type Shared = Clock<F>;

    #[inline]
    fn receive(
        &mut self,
        input: &[u8],
        context: Context<'_, Clock<F>>,
        outbox: &mut Outbox<'_>,
    ) -> usize {
        let (requests, _) = input.as_chunks::<CLOCK_MESSAGE>();
        let mut consumed = 0;
        for request in requests {
            if outbox.is_full() {
                break;
            }
            let nanoseconds = (context.shared.read)().as_nanos();
            let nanoseconds = u64::try_from(nanoseconds).unwrap_or(u64::MAX);
            outbox.write(&nanoseconds.to_be_bytes());
            outbox.count_message();
            consumed += request.len();
        }
        context.shared.messages += outbox.messages() as u64;
        consumed
    }

    fn end(&mut self, rest: &[u8], _: Context<'_, Clock<F>>, outbox: &mut Outbox<'_>) {
        if !rest.is_empty() {
            outbox.finish(Finish::Malformed);
        }
    }
}
