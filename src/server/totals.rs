//! Totals that a process continues when it takes over from another one, so that none of them decreases.

use super::{Counters, Service};
use crate::connection::MAX_COUNT;
use crate::net::Net;
use crate::protocol::Protocol;

/// What a server has counted, together with the processes from which it has taken over. It includes connections that they
/// have kept, as those over TLS, up to that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(serde::Serialize, serde::Deserialize))]
pub struct Totals {
    /// Connections that were admitted.
    pub opened: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages received, of a protocol that counts them.
    pub messages: u64,
}

/// What other processes have counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Earlier {
    /// Connections that were evicted.
    pub(super) evicted: u64,
    /// Messages received.
    messages: u64,
    /// Connections that were opened and are kept by another process.
    kept: u64,
}

impl Totals {
    /// Whether there is nothing to continue, as in the state of an earlier version, which has no totals.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Totals::default()
    }

    pub(super) fn counts(&self) -> [u64; 4] {
        [self.opened, self.bytes_in, self.bytes_out, self.messages]
    }
}

impl<N: Net, P: Protocol> Service<N, P> {
    pub(super) fn totals(&self) -> Totals {
        let common = &self.driver.common;
        let messages = common.protocol.messages_received();
        Totals {
            opened: self.counters.opened + self.earlier.kept,
            bytes_in: common.bytes_in,
            bytes_out: common.bytes_out,
            messages: self.earlier.messages + messages.unwrap_or(0),
        }
    }

    /// Continues as another process, of which the connections were restored already.
    pub(super) fn continue_totals(&mut self, counters: Counters, evicted: u64, totals: Totals) {
        let common = &mut self.driver.common;
        // Of an earlier version, the bytes of open and closed connections are known.
        let (restored_in, restored_out) = (common.bytes_in, common.bytes_out);
        common.bytes_in = sum(restored_in, counters.bytes_in).max(totals.bytes_in);
        common.bytes_out = sum(restored_out, counters.bytes_out).max(totals.bytes_out);
        self.earlier = Earlier {
            evicted,
            messages: totals.messages,
            kept: totals.opened.saturating_sub(counters.opened),
        };
        self.counters = counters;
    }

    /// Connections that were evicted.
    pub(super) fn evicted(&self) -> u64 {
        self.earlier.evicted + self.driver.evictions()
    }
}

/// The sum of two counts of bytes, of which an invalid state may have any; later bytes are added without a check.
pub(super) fn sum(bytes: u64, more: u64) -> u64 {
    bytes.saturating_add(more).min(MAX_COUNT)
}
