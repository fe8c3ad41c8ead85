//! Which connections are closed while memory is scarce. The rule is at the top of `pool.rs`.

use super::{Classes, Connections, Driver};
use crate::connection::by_size::Kind;
use crate::net::{Key, Net, Time};
use crate::protocol::{Protocol, Session};
use crate::reactor::TICK;
use std::time::Duration;

/// For how long a peer may acknowledge none of its pending output while memory is scarce, and for how long no such peer
/// was found before a message that is not complete is evicted for output that peers do read.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections are looked at in one iteration, and for how many of them the kernel is asked.
const LOOKS: usize = 32;
const QUESTIONS: usize = 4;

/// What the search for a connection to evict remembers.
#[derive(Debug)]
pub(super) struct Eviction {
    /// Since when memory has been scarce, or pending output was evicted last.
    scarce_since: Option<Time>,
    /// All that may be evicted are looked at once in a round, which may take several iterations.
    round: u32,
    looks: usize,
    questions: usize,
    /// When some of those that wait for memory are driven next although there is none: their share may have grown.
    recheck_at: Time,
}

impl Default for Eviction {
    fn default() -> Eviction {
        Eviction {
            scarce_since: None,
            // Nothing was found in it yet.
            round: 1,
            looks: 0,
            questions: 0,
            recheck_at: Time::ZERO,
        }
    }
}

impl<P: Protocol> Driver<P> {
    /// Whether connections are to be evicted in this iteration; then [`next_to_evict`](Driver::next_to_evict) is to be
    /// called until it returns `None`.
    #[inline]
    pub fn begin_eviction(&mut self, now: Time) -> bool {
        if !self.common.pool.is_scarce() {
            self.eviction.scarce_since = None;
            return false;
        }
        self.eviction.scarce_since.get_or_insert(now);
        (self.eviction.looks, self.eviction.questions) = (LOOKS, QUESTIONS);
        if now >= self.eviction.recheck_at {
            self.eviction.recheck_at = now + TICK;
            self.common.pool.recheck(LOOKS);
        }
        true
    }

    /// When to look for connections to evict even if nothing happens: while memory is scarce, every tick.
    #[inline]
    pub fn evicts_at(&self) -> Option<Time> {
        let is_scarce = self.common.pool.is_scarce();
        is_scarce.then_some(self.eviction.recheck_at)
    }

    /// A connection that is to be closed for [`CloseReason::NoMemory`](crate::connection::CloseReason::NoMemory) now;
    /// `None` when memory is no longer scarce, or no connection is to be evicted in this iteration.
    pub fn next_to_evict<N: Net>(&mut self, reactor: &mut Connections<N, P>) -> Option<Key> {
        while self.common.pool.is_scarce() && self.eviction.looks > 0 {
            self.eviction.looks -= 1;
            let Some(key) = self.common.pool.largest(Kind::Pending, self.eviction.round) else {
                self.eviction.round = self.eviction.round.wrapping_add(1);
                break;
            };
            if self.holds_its_share(reactor, key) && self.is_stalled(reactor, key) {
                self.eviction.scarce_since = Some(reactor.now());
                return Some(key);
            }
        }
        self.next_incomplete(reactor)
    }

    fn next_incomplete<N: Net>(&mut self, reactor: &mut Connections<N, P>) -> Option<Key> {
        let now = reactor.now();
        let scarce_since = self.eviction.scarce_since;
        // Where records wait for the program, it is that which is slow, and no message need be lost for it.
        let is_lasting = !P::Session::FIN_IS_RECEIPT
            && scarce_since.is_some_and(|since| now.since(since) >= PATIENCE);
        let pool = &mut self.common.pool;
        if !pool.is_scarce() || !(is_lasting || pool.is_mostly_incomplete()) {
            return None;
        }
        let key = pool.largest(Kind::Incomplete, self.eviction.round)?;
        self.holds_its_share(reactor, key).then_some(key)
    }

    /// Whether a connection holds as much as is set aside for it, or more.
    fn holds_its_share<N: Net>(&self, reactor: &mut Connections<N, P>, key: Key) -> bool {
        let pool = &self.common.pool;
        let held = reactor
            .find(key)
            .map(|slot| pool.held_by(slot.tenant.buffers));
        held >= Some(pool.share().max(1))
    }

    /// Whether the peer of a connection has acknowledged none of its pending output for a while.
    fn is_stalled<N: Net>(&mut self, reactor: &mut Connections<N, P>, key: Key) -> bool {
        let now = reactor.now();
        if reactor.timer_age(key) < PATIENCE {
            return false;
        }
        let Some((slot, net)) = reactor.slot_and_net(key) else {
            return false;
        };
        // A record that waits to be taken is not the peer's doing.
        if Classes::base(slot.class()) != Classes::STALLED || self.eviction.questions == 0 {
            return false;
        }
        self.eviction.questions -= 1;
        match net.progress(&slot.stream) {
            Some(progress) => {
                let pool = &mut self.common.pool;
                slot.tenant.since_acknowledged(pool, progress, now) >= PATIENCE
            }
            None => true,
        }
    }
}
