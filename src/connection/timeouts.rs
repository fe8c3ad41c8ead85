//! The deadlines of connections: their classes and lengths.

use crate::net::Readiness;
use crate::reactor::{CLASSES, Class};
use std::time::Duration;

/// The time after our FIN at which a connection is closed even without the peer's FIN.
pub const LINGER: Duration = Duration::from_secs(2);

/// If the peer has made progress when a deadline passes, it is checked again after this fraction of the timeout. So a
/// connection is closed late by at most that fraction.
const RECHECKS_PER_TIMEOUT: u32 = 8;

/// The classes of deadlines. The classes that a server uses by default come first, so that unused ones cost nothing.
#[derive(Debug)]
pub struct Classes;

impl Classes {
    /// Open, no pending output: closed after no byte was received or acknowledged for the idle timeout.
    pub const IDLE: Class = Class::new(3);
    /// Pending output: closed after the peer has acknowledged none of it for the stall timeout.
    pub const STALLED: Class = Class::new(0);
    /// After our FIN: closed after [`LINGER`].
    pub const LINGER: Class = Class::new(1);
    /// Connecting: closed after the connect timeout.
    pub const CONNECT: Class = Class::new(5);
    /// The handshake of the session is in progress: closed after the handshake timeout, whatever is received.
    pub const HANDSHAKE: Class = Class::new(6);
    /// As `IDLE`, after a deadline at which the peer had made progress within the timeout.
    pub const IDLE_RECHECK: Class = Class::new(4);
    /// As `STALLED`, after a deadline at which the peer had made progress within the timeout.
    pub const STALLED_RECHECK: Class = Class::new(2);

    /// The class without regard to rechecks.
    pub(super) fn base(class: Class) -> Class {
        match class {
            Classes::IDLE_RECHECK => Classes::IDLE,
            Classes::STALLED_RECHECK => Classes::STALLED,
            _ => class,
        }
    }

    /// The name of the class of a number, for a trace.
    #[cfg_attr(not(feature = "program"), expect(dead_code, reason = "for traces"))]
    pub(crate) fn name(number: u8) -> &'static str {
        match Class::from_number(number).map(Classes::base) {
            Some(Classes::IDLE) => "idle timeout",
            Some(Classes::STALLED) => "stall timeout",
            Some(Classes::LINGER) => "wait for the peer's FIN",
            Some(Classes::CONNECT) => "connect timeout",
            Some(Classes::HANDSHAKE) => "handshake timeout",
            _ => "no class",
        }
    }

    /// The readiness to assume when the deadline of a connection of `class` passes, since its event may still be queued.
    #[must_use]
    pub fn readiness_at_deadline(class: Class) -> Readiness {
        match Classes::base(class) {
            Classes::STALLED | Classes::CONNECT => Readiness::WRITABLE,
            _ => Readiness::READABLE,
        }
    }

    /// The class in which a connection of `class` is checked again soon, if there is one.
    pub(super) fn recheck(class: Class) -> Option<Class> {
        match Classes::base(class) {
            Classes::IDLE => Some(Classes::IDLE_RECHECK),
            Classes::STALLED => Some(Classes::STALLED_RECHECK),
            _ => None,
        }
    }
}

/// The lengths of the deadlines; `None`: no deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection without pending output on which no byte is received or acknowledged.
    pub idle: Option<Duration>,
    /// For a peer that acknowledges none of its pending output.
    pub stall: Option<Duration>,
    /// For the handshake of TCP.
    pub connect: Option<Duration>,
    /// For the handshake of a session that has one.
    pub handshake: Option<Duration>,
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
            self.handshake,
        ]
    }
}
