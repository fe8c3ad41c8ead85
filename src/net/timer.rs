//! A precise timer for the event loop: `epoll_wait(2)` rounds its timeout up to milliseconds, timerfd does not.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A change of the deadline by less than this is ignored: it is not worth a system call.
const TOLERANCE: Duration = Duration::from_micros(2);

/// The longest delay: a hundred years. The kernel counts nanoseconds in 63 bits, which are 292 years.
const MAX_DELAY: Duration = Duration::from_secs(100 * 31_556_952);

/// A timer that wakes `epoll_wait`.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) fd: OwnedFd,
    deadline: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Timer { fd, deadline: None })
    }

    /// Sets the timer to `delay`, which is not zero. Returns the timeout still to be passed to epoll: `None`, or
    /// `delay` if the timer cannot be set.
    ///
    /// The timer is never read: each expiration is a new edge.
    pub(super) fn wake_in(&mut self, delay: Duration) -> Option<Duration> {
        let now = Instant::now();
        let due = now.checked_add(delay)?;
        let is_set = |deadline: Instant| {
            deadline > now && deadline.max(due).duration_since(deadline.min(due)) < TOLERANCE
        };
        if self.deadline.is_some_and(is_set) {
            return None;
        }
        if self.set(delay.min(MAX_DELAY)).is_err() {
            return Some(delay);
        }
        self.deadline = Some(due);
        None
    }

    fn set(&self, delay: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: delay.try_into().map_err(io::Error::other)?,
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Timer;
    use crate::net::{MioNet, Net};
    use std::time::Duration;

    #[test]
    fn delay_beyond_the_range_of_the_kernel_is_accepted() {
        for delay in [Duration::from_nanos(u64::MAX), Duration::MAX] {
            let mut timer = Timer::new().unwrap();
            assert_eq!(timer.wake_in(delay), None);
        }
    }

    #[test]
    fn wait_of_300_us_ends_within_a_millisecond_without_event() {
        let mut net = MioNet::new().unwrap();
        net.use_precise_timer().unwrap();
        let delay = Duration::from_micros(300);
        let mut ready = Vec::new();
        let mut waits = Vec::new();
        for _ in 0..50 {
            let before = net.now();
            net.wait(Some(delay), &mut ready).unwrap();
            waits.push(net.now().since(before));
            assert!(ready.is_empty(), "{ready:?}");
        }
        // A wait may end early by the time that setting the timer takes, never by a whole delay.
        assert!(waits.iter().all(|wait| *wait > delay / 2), "{waits:?}");
        let shortest = waits.iter().min().unwrap();
        assert!(*shortest < Duration::from_micros(900), "{waits:?}");
    }
}
