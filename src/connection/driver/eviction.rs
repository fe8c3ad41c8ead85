//! Eviction: which connections are closed while memory is scarce. The rule is at the top of `pool.rs`.

use super::{Connections, Driver};
use crate::connection::Pool;
use crate::connection::by_size::Kind;
use crate::net::{Key, Net, Time};
use crate::protocol::{Protocol, Session};
use crate::reactor::TICK;
use std::time::Duration;

/// While memory is scarce, a slow reader that acknowledges no pending output for this time is evicted. If no slow reader
/// was evicted for this time, incomplete messages are evicted.
const EVICT_AFTER: Duration = Duration::from_secs(1);

/// The number of connections that are examined in one iteration.
const CANDIDATES: usize = 32;

/// The number of them for which the kernel is queried, since each query is a system call.
const QUERIES: usize = 4;

/// The state of the search for connections to evict.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// The time since which memory has been scarce, or the time of the last eviction of a slow reader after that.
    pub(super) scarce_since: Option<Time>,
    /// The current round: in each, every candidate is examined once. It may take several iterations.
    round: u32,
    /// The candidates that may still be examined in this iteration.
    candidates: usize,
    /// The queries that are left in this iteration.
    queries: usize,
    /// The number of evicted connections.
    pub(super) count: u64,
    /// When some of the connections that wait for memory are driven next without it, since their shares may have grown.
    pub(super) recheck_at: Time,
}

impl<P: Protocol> Driver<P> {
    /// Whether connections are to be evicted in this iteration; then [`next_to_evict`](Driver::next_to_evict) is to be
    /// called until it returns `None`.
    #[inline]
    pub(crate) fn begin_eviction(&mut self, now: Time) -> bool {
        if !self.common.pool.is_scarce() {
            self.eviction.scarce_since = None;
            return false;
        }
        self.eviction.scarce_since.get_or_insert(now);
        (self.eviction.candidates, self.eviction.queries) = (CANDIDATES, QUERIES);
        if now >= self.eviction.recheck_at {
            self.eviction.recheck_at = now + TICK;
            self.common.pool.recheck(CANDIDATES);
        }
        true
    }

    /// The time of the next search even if no event arrives: while memory is scarce, every tick.
    #[inline]
    pub(crate) fn evicts_at(&self) -> Option<Time> {
        let is_scarce = self.common.pool.is_scarce();
        is_scarce.then_some(self.eviction.recheck_at)
    }

    /// A connection that is to be closed for [`CloseReason::NoMemory`](crate::connection::CloseReason::NoMemory) now;
    /// `None` when memory is no longer scarce, or no connection is to be evicted in this iteration.
    pub(crate) fn next_to_evict<N: Net>(&mut self, reactor: &mut Connections<N, P>) -> Option<Key> {
        while self.common.pool.is_scarce() && self.eviction.candidates > 0 {
            self.eviction.candidates -= 1;
            let Some(key) = self.common.pool.largest(Kind::Pending, self.eviction.round) else {
                self.eviction.round = self.eviction.round.wrapping_add(1);
                break;
            };
            if self.holds_its_share(reactor, key) && self.is_stalled(reactor, key) {
                self.eviction.scarce_since = Some(reactor.now());
                self.eviction.count += 1;
                return Some(key);
            }
        }
        let incomplete = self.next_incomplete(reactor);
        self.eviction.count += u64::from(incomplete.is_some());
        incomplete
    }

    /// The number of connections that were evicted.
    pub(crate) fn evictions(&self) -> u64 {
        self.eviction.count
    }

    /// The connection with the largest incomplete message, if it is to be evicted now.
    fn next_incomplete<N: Net>(&mut self, reactor: &mut Connections<N, P>) -> Option<Key> {
        let now = reactor.now();
        let scarce_since = self.eviction.scarce_since;
        // If FIN is a receipt, memory may be scarce because the owner takes records slowly; no message is lost for that.
        let is_lasting = !P::Session::FIN_IS_RECEIPT
            && scarce_since.is_some_and(|since| now.since(since) >= EVICT_AFTER);
        let evicts = |pool: &Pool| pool.is_scarce() && (is_lasting || pool.is_mostly_incomplete());
        for _ in 0..CANDIDATES {
            let pool = &mut self.common.pool;
            if !evicts(pool) {
                return None;
            }
            let key = pool.largest(Kind::Incomplete, self.eviction.round)?;
            // What earlier messages have left unused does not count against the connection.
            reactor.find(key)?.tenant.free_unused(pool);
            if !pool.is_scarce() {
                self.eviction.scarce_since = None;
                return None;
            }
            if evicts(pool) && self.holds_its_share(reactor, key) {
                return Some(key);
            }
        }
        None
    }

    /// Whether a connection holds at least its share.
    fn holds_its_share<N: Net>(&self, reactor: &mut Connections<N, P>, key: Key) -> bool {
        let pool = &self.common.pool;
        let slot = reactor.find(key);
        slot.is_some_and(|slot| pool.held_by(slot.tenant.buffers) >= pool.share().max(1))
    }

    /// Whether the peer of a connection has acknowledged none of its pending output for [`EVICT_AFTER`].
    fn is_stalled<N: Net>(&mut self, reactor: &mut Connections<N, P>, key: Key) -> bool {
        let now = reactor.now();
        if reactor.timer_age(key) < EVICT_AFTER {
            return false;
        }
        let Some((slot, net)) = reactor.slot_and_net(key) else {
            return false;
        };
        // Without pending output, it holds a record, which waits for the owner and not for the peer.
        let waits_for_peer = slot.tenant.has_pending_output() && !slot.tenant.state.is_connecting();
        if !waits_for_peer || self.eviction.queries == 0 {
            return false;
        }
        self.eviction.queries -= 1;
        let (pool, connection) = (&mut self.common.pool, &mut slot.tenant);
        let progress = net.progress(&slot.stream);
        progress.is_none_or(|progress| {
            connection.since_acknowledged(pool, progress, now) >= EVICT_AFTER
        })
    }
}
