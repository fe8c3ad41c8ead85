//! The signals that ask the program to end, as one more thing that can be ready.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signals that are listened to; what else comes has its usual effect.
pub(super) const WATCHED: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// A request to end, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, as service managers send it.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGHUP, the terminal has gone.
    Hangup,
}

impl Signal {
    /// Its name, as in signal(7).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
            Signal::Hangup => "SIGHUP",
        }
    }

    pub(super) fn from_number(number: i32) -> Option<Signal> {
        match number {
            SIGTERM => Some(Signal::Terminate),
            SIGINT => Some(Signal::Interrupt),
            SIGHUP => Some(Signal::Hangup),
            _ => None,
        }
    }
}
