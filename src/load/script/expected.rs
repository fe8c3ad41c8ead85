//! Which reply is expected next, and what the input has shown about it.

use super::template::Ids;
use crate::echo::Mismatch;

/// Which exchange of a script a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum Part {
    /// A step of the hello.
    Hello(usize),
    Message,
    Keepalive,
}

/// What the input of a connection has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) enum Verdict {
    /// The reply is incomplete.
    Incomplete,
    /// The reply has this many bytes; the server may close the connection after it.
    Reply {
        length: usize,
        result: Result<(), Mismatch>,
        closes: bool,
    },
    /// What follows cannot be understood any more.
    Broken(Mismatch),
}

/// Whose reply is expected, and the bounds for those of others.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Expected {
    pub(in crate::load) part: Part,
    pub(in crate::load) ids: Ids,
    /// All connections of the load.
    pub(in crate::load) connections: u32,
    /// Messages sent on this connection.
    pub(in crate::load) sent: u64,
    /// The largest reply.
    pub(in crate::load) max_message: usize,
}
