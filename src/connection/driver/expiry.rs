//! Deadlines: the connection is driven once more, the kernel is queried for the peer's progress, and only then the
//! connection is closed.
//!
//! A passed deadline only means that this process has moved no byte. After a pause of the whole process (SIGSTOP, a
//! suspended machine) there may be unread input and unused output space, whose events are still queued in the kernel. And
//! a peer that reads steadily may receive bytes from the kernel's send buffer for a long time before there is space for the
//! next write.

use super::{Borrowed, Classes, CloseReason, Connections, Driver, Moved, Outcome};
use crate::net::{Key, Net};
use crate::protocol::{Protocol, Session};
use crate::reactor::{Class, TICK};
use std::time::Duration;

impl<P: Protocol> Driver<P> {
    /// Drives a connection whose deadline has passed. Returns why it has ended, if it has.
    pub(crate) fn drive_at_deadline<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        let class = reactor.find(key)?.class();
        self.drive_if::<N, true>(reactor, key, Classes::readiness_at_deadline(class))
    }

    /// Returns why a connection is to be closed, if its deadline has still passed after
    /// [`drive_at_deadline`](Driver::drive_at_deadline) and its peer has made no progress.
    pub(crate) fn check_deadline<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
    ) -> Option<CloseReason> {
        if !reactor.is_expired(key) {
            return None;
        }
        let class = reactor.find(key)?.class();
        if Classes::base(class) == Classes::STALLED && self.least_rate.is_some() {
            return self.check_rate(reactor, key);
        }
        if let Some(recheck) = Classes::recheck(class)
            && self.has_progressed(reactor, key, class) == Some(true)
        {
            reactor.recheck(key, recheck);
            return None;
        }
        Some(reactor.find(key)?.tenant.expire())
    }

    /// Returns why a connection whose deadline has passed ends now, if it does. An idle connection sends the last output of
    /// its session. If the kernel does not accept all of that, the connection ends later, at the latest at the stall
    /// timeout.
    pub(crate) fn finish<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        reason: CloseReason,
    ) -> Option<CloseReason> {
        if !P::Session::HOLDS_BYTES || reason != CloseReason::Idle {
            return Some(reason);
        }
        let Borrowed { slot, now, .. } = reactor.borrow(key)?;
        let mut cx = self.context(key, now);
        match slot.tenant.finish_idle(&mut slot.stream, &mut cx) {
            Ok(()) => self.apply_outcome(reactor, key, Outcome::Event, Moved::default()),
            Err(reason) => Some(reason),
        }
    }

    /// Whether, according to the kernel, a byte was acknowledged or received within the timeout of `class`; `None` if
    /// unknown.
    fn has_progressed<N: Net>(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        class: Class,
    ) -> Option<bool> {
        let now = reactor.now();
        let base = Classes::base(class);
        let timeout = reactor.timeout(base)?;
        let (slot, net) = reactor.slot_and_net(key)?;
        let connection = &mut slot.tenant;
        if base == Classes::IDLE && connection.bytes_out() == 0 {
            // Nothing was written that could be acknowledged.
            return Some(false);
        }
        let progress = net.progress(&slot.stream)?;
        let quiet = if base == Classes::IDLE {
            progress.since_acknowledged.min(progress.since_received)
        } else {
            connection.since_acknowledged(&mut self.common.pool, progress, now)
        };
        // At a recheck the tolerance was applied already.
        let tolerance = if class == base {
            tolerance(timeout)
        } else {
            Duration::ZERO
        };
        Some(quiet + tolerance < timeout)
    }
}

/// The time by which a deadline may precede the end of the timeout as counted from the last acknowledgement, which follows
/// the write that started the timer by a round trip or a delayed ACK.
fn tolerance(timeout: Duration) -> Duration {
    TICK.min(timeout / 8)
}
