//! How many connections may begin to connect now.
//!
//! Over loopback a connect succeeds before the server has accepted anything, and once the accept queue is full the kernel
//! drops SYNs, which are retransmitted after a second. If the queue is visible, connects only fill the room in it.
//! Otherwise their rate is controlled ([`ConnectRate`]). Either way no byte is sent.

use super::connect_rate::ConnectRate;
use crate::net::AcceptQueue;
use crate::time::Time;
use std::time::Duration;

/// This part of the accept queue is left to other clients, and to connects whose handshake the kernel has delayed.
const RESERVE: u32 = 8;

/// At most this part of the room is filled after one reading: other load testers may have read the same.
const FILL: u32 = 4;

/// A full queue is read again after this time, which doubles up to the second.
const POLL: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(1));

/// Limits the connects that the server has not accepted.
#[derive(Debug)]
pub(super) struct Pacing {
    /// A fixed limit; `None`: adaptive.
    window: Option<u32>,
    reads_queue: bool,
    /// The accept queue has been read at least once.
    has_read: bool,
    /// How long to wait when the queue is full.
    poll: Duration,
    rate: ConnectRate,
    /// Connects that may begin now.
    pub(super) permits: u32,
    /// When to plan again even without an event.
    pub(super) wake_at: Option<Time>,
}

impl Pacing {
    pub(super) fn new(window: Option<u32>, now: Time) -> Pacing {
        Pacing {
            window,
            reads_queue: true,
            has_read: false,
            poll: POLL.0,
            rate: ConnectRate::new(now),
            permits: 0,
            wake_at: Some(now),
        }
    }

    /// Whether the accept queue is to be read. If not, it is not visible, or the server does not accept.
    pub(super) fn reads_queue(&self) -> bool {
        self.reads_queue
    }

    /// Whether the accept queue was visible at any time.
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    /// Reads the accept queue no longer.
    pub(super) fn abandon_queue(&mut self) {
        self.reads_queue = false;
    }

    /// Plans by the accept queue; `connecting` connections may not be in it yet.
    pub(super) fn plan_by_queue(
        &mut self,
        queue: AcceptQueue,
        connecting: u32,
        is_last: bool,
        now: Time,
    ) {
        self.has_read = true;
        let room = match self.window {
            Some(window) => window
                .saturating_sub(queue.length)
                .saturating_sub(connecting),
            None => adaptive_room(queue, connecting),
        };
        self.permits = if is_last { 0 } else { room };
        if self.permits > 0 {
            self.poll = POLL.0;
            self.wake_at = Some(now);
        } else {
            self.wake_at = Some(now + self.poll);
            self.poll = (self.poll * 2).min(POLL.1);
        }
    }

    /// Plans without the accept queue; those that are connecting began at these times.
    pub(super) fn plan_blindly(
        &mut self,
        connecting: impl ExactSizeIterator<Item = Time>,
        now: Time,
    ) {
        if let Some(window) = self.window {
            let connecting = u32::try_from(connecting.len()).unwrap_or(u32::MAX);
            self.permits = window.saturating_sub(connecting);
            self.wake_at = (self.permits > 0).then_some(now);
        } else {
            let (permits, wake_at) = self.rate.plan(connecting, now);
            self.permits = permits;
            self.wake_at = Some(wake_at);
        }
    }

    /// Plans by the replies on connections that are established: `room` further ones may be opened. If no reply arrives,
    /// the server is stalled after `timeout`.
    pub(super) fn plan_by_proofs(&mut self, room: u32, now: Time, timeout: Duration) {
        self.permits = room;
        self.wake_at = Some(if room > 0 { now } else { now + timeout });
    }

    pub(super) fn on_started(&mut self) {
        self.permits = self.permits.saturating_sub(1);
        self.rate.on_started();
    }

    pub(super) fn on_established(&mut self, took: Duration) {
        self.rate.on_established(took);
    }

    /// How long after the last accept a refusal may arrive.
    pub(super) fn settle_time(&self) -> Duration {
        self.rate.late_after()
    }
}

/// The part of the room that connects may fill after this reading.
fn adaptive_room(queue: AcceptQueue, connecting: u32) -> u32 {
    // Even a queue for a single connection is used.
    let reserve = (1 + queue.capacity / RESERVE).min(queue.capacity.saturating_sub(1));
    let room = queue
        .room
        .saturating_sub(reserve)
        .saturating_sub(connecting);
    room.div_ceil(FILL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(length: u32, backlog: u32, connecting: u32) -> u32 {
        adaptive_room(AcceptQueue::new(length, backlog), connecting)
    }

    #[test]
    fn a_quarter_of_the_room_is_filled_and_an_eighth_is_left() {
        assert_eq!(room(0, 127, 0), 28);
        assert_eq!(room(107, 127, 0), 1);
        assert_eq!(room(111, 127, 0), 0);
        assert_eq!(room(0, 127, 111), 0);
        assert_eq!(room(0, 4_095, 0), 896);
    }

    #[test]
    fn smallest_queues_are_used() {
        assert_eq!((room(0, 0, 0), room(1, 0, 0)), (1, 0));
        assert_eq!((room(0, 1, 0), room(1, 1, 0)), (1, 0));
        assert_eq!((room(3, 5, 0), room(4, 5, 0), room(5, 5, 0)), (1, 1, 0));
        assert_eq!(room(0, u32::MAX, 0), 939_524_096);
    }

    #[test]
    fn full_queue_is_read_at_growing_intervals() {
        let mut pacing = Pacing::new(None, Time::ZERO);
        let intervals: Vec<u128> = (0..8)
            .map(|_| {
                pacing.plan_by_queue(AcceptQueue::new(6, 5), 0, false, Time::ZERO);
                pacing.wake_at.unwrap().since(Time::ZERO).as_micros()
            })
            .collect();
        assert_eq!(intervals, [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
        pacing.plan_by_queue(AcceptQueue::new(0, 5), 0, false, Time::ZERO);
        assert_eq!((pacing.permits, pacing.wake_at), (2, Some(Time::ZERO)));
    }

    #[test]
    fn fixed_window_limits_queued_and_connecting_together() {
        let mut pacing = Pacing::new(Some(10), Time::ZERO);
        pacing.plan_by_queue(AcceptQueue::new(4, 100), 3, false, Time::ZERO);
        assert_eq!(pacing.permits, 3);
        pacing.plan_blindly([Time::ZERO; 9].into_iter(), Time::ZERO);
        assert_eq!(pacing.permits, 1);
        pacing.plan_blindly([Time::ZERO; 12].into_iter(), Time::ZERO);
        assert_eq!((pacing.permits, pacing.wake_at), (0, None));
    }
}
