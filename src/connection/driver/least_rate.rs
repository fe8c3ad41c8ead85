//! The least rate at which peers acknowledge pending output.
//!
//! A connection is measured from the moment when its output is pending. It is checked several times within the stall
//! timeout, and as long as output is pending at each check, the measurement continues: short gaps, in which the kernel
//! has accepted all output, do not hide a slow reader.

use super::{Classes, CloseReason, Connections, Driver};
use crate::net::{Key, Net, Progress, Time};
use crate::protocol::Protocol;
use crate::reactor::Class;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// The least rate, and the connections that are measured.
#[derive(Debug)]
pub(super) struct LeastRate {
    bytes_per_second: NonZeroU64,
    /// The bytes that the peer of a connection had acknowledged at the start of its measurement, and when that was.
    starts: HashMap<Key, (u64, Time)>,
}

/// What is assumed without the kernel's report: the peer has acknowledged what the kernel has accepted.
const ALL_ACKNOWLEDGED: Progress = Progress {
    unacknowledged: 0,
    since_acknowledged: Duration::ZERO,
    since_received: Duration::ZERO,
};

impl LeastRate {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> LeastRate {
        LeastRate {
            bytes_per_second,
            starts: HashMap::new(),
        }
    }

    /// The bytes that were acknowledged during the last `time`; `None` if that is not known yet.
    fn measure(&mut self, key: Key, acknowledged: u64, now: Time, time: Duration) -> Option<u64> {
        // Without memory it is not measured.
        self.starts.try_reserve(1).ok()?;
        let start = self.starts.entry(key).or_insert((acknowledged, now));
        if now.since(start.1) < time {
            return None;
        }
        let (before, _) = std::mem::replace(start, (acknowledged, now));
        Some(acknowledged.saturating_sub(before))
    }
}

impl<P: Protocol> Driver<P> {
    /// Closes connections whose peers acknowledge less than this number of bytes of pending output per second, over the
    /// stall timeout.
    #[must_use]
    pub fn with_min_rate(mut self, min_rate: Option<NonZeroU64>) -> Self {
        self.least_rate = min_rate.map(LeastRate::new);
        self
    }

    /// Moves a connection into `class`; if its output is pending, to be measured. Only a check ends a measurement.
    #[cold]
    #[inline(never)]
    pub(super) fn set_measured_class<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        class: Class,
    ) {
        let current = reactor.find(key).map(|slot| slot.class());
        let is_measured = current == Some(Classes::STALLED_RECHECK);
        match class {
            Classes::STALLED | Classes::IDLE if is_measured => {}
            Classes::STALLED => {
                self.end_measurement(key);
                reactor.set_class(key, Classes::STALLED_RECHECK);
            }
            _ => reactor.set_class(key, class),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn end_measurement(&mut self, key: Key) {
        if let Some(least_rate) = &mut self.least_rate {
            least_rate.starts.remove(&key);
        }
    }

    /// Returns why a connection is to be closed at a check, if its peer acknowledges nothing or too little. If no output
    /// is pending any more, the measurement ends.
    pub(super) fn check_rate<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        let least_rate = self.least_rate.as_mut()?;
        let now = reactor.now();
        let timeout = reactor.timeout(Classes::STALLED)?;
        let (slot, net) = reactor.slot_and_net(key)?;
        let class = slot.tenant.class();
        if class != Classes::STALLED {
            least_rate.starts.remove(&key);
            reactor.set_class(key, class);
            return None;
        }
        let progress = net.progress(&slot.stream).unwrap_or(ALL_ACKNOWLEDGED);
        let acknowledged = slot
            .tenant
            .bytes_out()
            .saturating_sub(progress.unacknowledged);
        let least = u128::from(least_rate.bytes_per_second.get()) * timeout.as_millis() / 1000;
        match least_rate.measure(key, acknowledged, now, timeout) {
            Some(0) => return Some(slot.tenant.expire()),
            Some(bytes) if u128::from(bytes) < least => return Some(CloseReason::TooSlow),
            _ => {}
        }
        reactor.recheck(key, Classes::STALLED_RECHECK);
        None
    }
}
