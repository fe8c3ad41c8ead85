//! What is spoken over a connection, and nothing of how: bytes in, bytes out.
//!
//! In comes what a peer sent, out goes what it is owed for it. No socket, no clock and no log is in reach here, so a
//! session is tested by handing it bytes, cut anywhere. A listener speaks one [`Protocol`]; each of its connections
//! has one [`Session`] of it.

mod collect;
mod discard;
mod frame;
mod line;
mod outbox;
mod raw;
mod reply;
#[cfg(test)]
mod tests;

pub use collect::{Collect, CollectSession};
pub use discard::{Discard, DiscardSession};
pub use frame::{Frame, FrameSession, Width};
pub use line::{Line, LineSession};
pub use outbox::{Finish, Outbox};
pub use raw::{Raw, RawSession};
pub use reply::{Answer, Echo, Reply};

use crate::time::Time;

/// What a listener speaks: the settings, and whatever its sessions share.
pub trait Protocol: Sized {
    /// The state of the protocol on one connection.
    type Session: Session<Shared = Self>;

    /// The name by which logs know it, such as `raw`.
    fn name(&self) -> &str;

    /// The session of a connection that is about to open.
    fn session(&mut self) -> Self::Session;
}

/// What a session may know of the world around it.
#[derive(Debug)]
pub struct Context<'a, Shared> {
    /// When the bytes at hand were taken from the network.
    pub now: Time,
    /// What all sessions of the listener share.
    pub shared: &'a mut Shared,
}

/// A protocol's state on one connection.
///
/// The order of calls: `open` once, then `receive` as input comes and `drained` as what was owed has gone, in any
/// mixture, then `end` once if the peer sends its FIN. After [`Outbox::finish`] nothing is called any more.
pub trait Session: Sized {
    /// What the sessions of a listener share.
    type Shared;

    /// Whether our FIN is a receipt, which tells the peer that what it has sent is where it should be.
    ///
    /// Then only those get FIN whose record has been taken ([`Finish::Record`]). Whoever else's connection ends is
    /// reset, whatever the reason, and whatever a session may still have said to it.
    const FIN_IS_RECEIPT: bool = false;

    /// The connection is open. A protocol in which the server speaks first greets here.
    fn open(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        let _ = (context, outbox);
    }

    /// Takes input and answers it; returns how many bytes were consumed.
    ///
    /// What is not consumed is kept by the connection and stands at the front of `input` the next time, so a partial
    /// message needs no home in the session. A session that has several answers to give stops when
    /// [`Outbox::is_full`] says so; it is called again once the peer has read some.
    fn receive<'a>(
        &mut self,
        input: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) -> usize;

    /// Everything that was owed has been handed to the kernel, after a time in which it would not take all.
    fn drained(&mut self, context: Context<'_, Self::Shared>, outbox: &mut Outbox<'_>) {
        let _ = (context, outbox);
    }

    /// The peer has sent its FIN; `rest` is what came before it and was not consumed.
    ///
    /// What is written here is still sent. The connection closes after it, by itself.
    fn end<'a>(
        &mut self,
        rest: &'a [u8],
        context: Context<'_, Self::Shared>,
        outbox: &mut Outbox<'a>,
    ) {
        let _ = (rest, context, outbox);
    }
}
