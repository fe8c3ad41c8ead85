//! Protocols: a listener has a [`Protocol`], and each of its connections a [`Session`].
//!
//! A session processes input to output, without access to sockets, clock or log. So its tests pass it bytes, split at
//! any position.

mod clock;
mod collect;
mod discard;
mod frame;
mod line;
mod message;
mod outbox;
mod proxies;
mod raw;
mod reply;
#[cfg(test)]
mod tests;

pub use clock::{CLOCK_MESSAGE, Clock, ClockSession};
pub use collect::{Collect, CollectSession};
pub use discard::Discard;
pub use frame::{Frame, FrameSession, Width};
pub use line::{Line, LineSession};
pub use message::{ConnectionId, Message};
pub use outbox::{Finish, Outbox};
pub use proxies::Proxies;
pub(crate) use proxies::UNADMITTED;
pub use raw::Raw;
pub use reply::{Echo, Handler, Reply};

use crate::time::Time;
use core::net::SocketAddr;

/// The protocol of a listener: its settings, and the data that its sessions share.
///
/// Only a [`Server`](crate::server::Server) calls the provided methods; a client has an
/// [`Owner`](crate::connection::Owner) instead.
pub trait Protocol: Sized {
    /// The state of the protocol on one connection.
    type Session: Session<Shared = Self>;

    /// The name in log lines, such as `raw`.
    fn name(&self) -> &str;

    /// Creates the session of a new connection.
    fn session(&mut self) -> Self::Session;

    /// Whether [`opened`](Protocol::opened) gets the peer's address. It costs a thirtieth of accepting a connection.
    const WANTS_PEER: bool = false;

    /// Whether a server logs each connection, at debug level.
    const IS_LOGGED: bool = true;

    /// Whether the handshakes in progress leave room for another connection; otherwise a server refuses the client
    /// ([`Refusal::MaxHandshakes`](crate::server::Refusal::MaxHandshakes)).
    #[inline]
    fn admits(&self) -> bool {
        true
    }

    /// The messages that all sessions have received; `None` if the protocol has none, or does not count them.
    fn messages_received(&self) -> Option<u64> {
        None
    }

    /// An iteration of the event loop begins.
    #[inline]
    fn begin_iteration(&mut self) {}

    /// The proxies from which all connections come, if they do: a server then resets connections from other addresses, and
    /// admits a client when the session has [reported](Proxies::report) its address.
    #[inline]
    fn proxies(&mut self) -> Option<&mut Proxies> {
        None
    }

    /// Whether another process can continue the connections in an upgrade: it [restores](Protocol::restored_session)
    /// their sessions, which therefore have no other state than whether the handshake is in progress.
    fn is_transferable(&self) -> bool {
        true
    }

    /// Creates the session of a connection that another process has opened; `is_handshaking` is the result of
    /// [`Session::is_handshaking`] there.
    fn restored_session(&mut self, _is_handshaking: bool) -> Self::Session {
        self.session()
    }

    /// A server has admitted a connection, and opens its session next; from a [proxy](Protocol::proxies), it has admitted
    /// the client, and calls the session next. `peer` is the address of the client, given if
    /// [`WANTS_PEER`](Protocol::WANTS_PEER) is true; that of an IPv4 client is IPv4 on each listener.
    fn opened(&mut self, _id: ConnectionId, _peer: Option<SocketAddr>) {}

    /// A connection that was [`opened`](Protocol::opened) has closed. Messages to it are dropped from now on.
    fn closed(&mut self, _id: ConnectionId) {}

    /// The next message to send to a connection; `None` if there is none.
    ///
    /// A server calls this at the end of each iteration of the event loop until it returns `None`, so the messages of
    /// one iteration are sent in it. A message to a connection that is closed, or has sent FIN, is dropped.
    ///
    /// A message to a slow reader closes its connection instead, with RST: the stream would have a gap, and kept
    /// messages would take memory without bound. A slow reader has
    /// [`max_pending`](crate::connection::Limits::max_pending) bytes of pending output or more, or, while memory is
    /// scarce, its share of the memory. So a connection holds at most `max_pending` bytes and one message.
    #[inline]
    fn next_message(&mut self) -> Option<Message> {
        None
    }

    /// When to call [`on_wake`](Protocol::on_wake); `None`: not at all.
    ///
    /// It is called once or twice in each iteration, so it returns a stored value or the first of an ordered
    /// collection.
    #[inline]
    fn wake_at(&self) -> Option<Time> {
        None
    }

    /// The time [`wake_at`](Protocol::wake_at) has come. That time is to change, or the next iteration follows at once.
    fn on_wake(&mut self, _now: Time) {}
}

/// The environment of a session during a call.
#[derive(Debug)]
#[non_exhaustive]
pub struct Context<'a, Shared> {
    /// The connection of the session.
    pub id: ConnectionId,
    /// The time of the current iteration of the event loop, in which the input was received.
    pub now: Time,
    /// The data that all sessions of the listener share.
    pub shared: &'a mut Shared,
    /// The number that the owner of the connection has set, if any.
    pub(crate) tag: u32,
}

impl<'a, Shared> Context<'a, Shared> {
    /// The context of a call, for the tests of a session.
    #[inline]
    pub fn new(id: ConnectionId, now: Time, shared: &'a mut Shared) -> Self {
        Context {
            id,
            now,
            shared,
            tag: 0,
        }
    }

    /// Whether the server has admitted the client that the session has [reported](Proxies::report).
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.tag != UNADMITTED
    }

    /// With the number that the owner of the connection has set.
    #[inline]
    pub(crate) fn tagged(self, tag: u32) -> Self {
        Context { tag, ..self }
    }
}

/// The state of a protocol on one connection.
///
/// Order of calls: `open` once; then `receive` for input and `drained` after pending output was sent, any number of
/// times; then `end` once if the peer sends FIN. After [`Outbox::finish`] only `before_fin` follows.
///
/// A session may contain another one and transform its input and output, as TLS does. Such a layer [holds
/// bytes](Session::HOLDS_BYTES) that the connection does not see.
///
/// # Example
///
/// The reply is the input in capitals:
///
/// ```
/// use echoloop::protocol::{ConnectionId, Context, Outbox, Protocol, Session};
/// use echoloop::time::Time;
///
/// struct Shout;
/// struct ShoutSession;
///
/// impl Protocol for Shout {
///     type Session = ShoutSession;
///
///     fn name(&self) -> &'static str {
///         "shout"
///     }
///
///     fn session(&mut self) -> ShoutSession {
///         ShoutSession
///     }
/// }
///
/// impl Session for ShoutSession {
///     type Shared = Shout;
///
///     fn receive(&mut self, input: &[u8], _: Context<'_, Shout>, outbox: &mut Outbox<'_>) -> usize {
///         outbox.write(&input.to_ascii_uppercase());
///         input.len()
///     }
/// }
///
/// let mut write_buffer = Vec::new();
/// let mut outbox = Outbox::new(&mut write_buffer, 1024);
/// let mut shared = Shout;
/// let context = Context::new(ConnectionId { slot: 0, serial: 1 }, Time::ZERO, &mut shared);
/// assert_eq!(Shout.session().receive(b"hello", context, &mut outbox), 5);
/// assert_eq!(outbox.bytes(), b"HELLO");
/// ```
pub trait Session: Sized {
    /// The data that the sessions of a listener share.
    type Shared: Protocol<Session = Self>;

    /// Whether the server's FIN is a receipt: it confirms to the peer that its record was taken ([`Finish::Record`]).
    ///
    /// Every other connection is then closed with RST, even if the session has written output to it.
    const FIN_IS_RECEIPT: bool = false;

    /// Whether a session may hold bytes ([`held_bytes`](Session::held_bytes)), or has a handshake
    /// ([`is_handshaking`](Session::is_handshaking)).
    const HOLDS_BYTES: bool = false;

    /// The connection is established. A protocol in which the server sends first writes here.
    fn open(&mut self, _context: Context<'_, Self::Shared>, _outbox: &mut Outbox<'_>) {}

    /// Processes input, and returns the number of consumed bytes.
    ///
    /// The connection keeps unconsumed input and passes it again, before further input, so a session does not store
    /// partial messages. A session with several replies stops when [`Outbox::is_full`]; it is called again when the
    /// peer has read some of the output.
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) -> usize;

    /// All pending output has been sent, after the kernel had not accepted all of it at once.
    fn drained(&mut self, _context: Context<'_, Self::Shared>, _outbox: &mut Outbox<'_>) {}

    /// The peer has sent FIN; `rest` is the unconsumed input before it.
    ///
    /// Output is still sent. The connection closes after it; [`Outbox::finish`] is not required.
    fn end<'a>(
        &mut self,
        _rest: &'a [u8],
        _context: Context<'_, Self::Shared>,
        _outbox: &mut Outbox<'a>,
    ) {
    }

    /// Output from outside a call of the session, such as a [`Message`], which `write` writes.
    #[inline]
    fn write(
        &mut self,
        _context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'_>,
        write: impl FnOnce(&mut Outbox<'_>),
    ) {
        write(outbox);
    }

    /// FIN is about to be sent, and all other output has been sent. The connection may close with FIN more than once, so a
    /// session writes only at the first call.
    #[inline]
    fn before_fin(&mut self, _context: Context<'_, Self::Shared>, _outbox: &mut Outbox<'_>) {}

    /// The memory of the bytes that the session holds: input that it has consumed and not processed, and output that it
    /// has not written. It counts as memory of the connection.
    #[inline]
    fn held_bytes(&self) -> usize {
        0
    }

    /// Whether a handshake is in progress, or the client of a [proxy](Protocol::proxies) is not admitted yet. The connection
    /// is closed if it takes longer than
    /// [`Config::handshake_timeout`](crate::server::Config::handshake_timeout), however much is received meanwhile.
    #[inline]
    fn is_handshaking(&self) -> bool {
        false
    }

    /// The record that the session has finished with [`Finish::Record`], if the session holds it; otherwise it is the
    /// unconsumed input.
    fn take_record(&mut self) -> Option<Vec<u8>> {
        None
    }
}
