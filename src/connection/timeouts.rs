//! For how long a connection may wait for what: the classes of deadlines, and their lengths.

use crate::net::Readiness;
use crate::reactor::{CLASSES, Class};
use std::time::Duration;

/// For how long a connection is read after our FIN before it is closed all the same.
pub const LINGER: Duration = Duration::from_secs(2);

/// After a deadline at which the peer turned out to have made progress, the next look comes after this part of the
/// timeout. So a connection is closed at most that much late.
const RECHECKS_PER_TIMEOUT: u32 = 8;

/// The classes of deadlines. Those that a server has by default come first, since the others cost nothing then.
#[derive(Debug)]
pub struct Classes;

impl Classes {
    /// Open, no pending output: no byte received and none acknowledged for the idle timeout ends it.
    pub const IDLE: Class = Class::new(3);
    /// Pending output: not a byte of it acknowledged by the peer for the stall timeout ends it.
    pub const STALLED: Class = Class::new(0);
    /// After our FIN: [`LINGER`] ends it.
    pub const LINGER: Class = Class::new(1);
    /// Connecting: the connect timeout ends it.
    pub const CONNECT: Class = Class::new(5);
    /// As `IDLE`, after a deadline at which the peer had acknowledged bytes within the timeout.
    const IDLE_RECHECK: Class = Class::new(4);
    /// As `STALLED`, likewise.
    const STALLED_RECHECK: Class = Class::new(2);

    /// The class that decides what ends a connection of `class`.
    pub(super) fn base(class: Class) -> Class {
        match class {
            Classes::IDLE_RECHECK => Classes::IDLE,
            Classes::STALLED_RECHECK => Classes::STALLED,
            _ => class,
        }
    }

    /// What a connection of `class` may be ready for, although no event has said so yet, when its deadline passes.
    #[must_use]
    pub fn readiness_at_deadline(class: Class) -> Readiness {
        match Classes::base(class) {
            Classes::STALLED | Classes::CONNECT => Readiness::WRITABLE,
            _ => Readiness::READABLE,
        }
    }

    /// The class in which a connection of `class` is looked at again soon, if there is one.
    pub(super) fn recheck(class: Class) -> Option<Class> {
        match Classes::base(class) {
            Classes::IDLE => Some(Classes::IDLE_RECHECK),
            Classes::STALLED => Some(Classes::STALLED_RECHECK),
            _ => None,
        }
    }
}

/// The lengths of the classes; `None`: no deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection without pending output on which no byte moves.
    pub idle: Option<Duration>,
    /// For a peer that acknowledges none of its pending output.
    pub stall: Option<Duration>,
    /// For a handshake.
    pub connect: Option<Duration>,
}

impl Timeouts {
    /// The lengths in the order of the classes, for a [`Reactor`](crate::reactor::Reactor).
    #[must_use]
    pub fn by_class(self) -> [Option<Duration>; CLASSES] {
        let recheck = |timeout: Option<Duration>| timeout.map(|all| all / RECHECKS_PER_TIMEOUT);
        [
            self.stall,
            Some(LINGER),
            recheck(self.stall),
            self.idle,
            recheck(self.idle),
            self.connect,
        ]
    }
}
