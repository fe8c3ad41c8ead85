//! Sleep that ends on time: `epoll_wait(2)` counts in milliseconds and rounds up, a timer of its own does not.

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// A deadline that differs by less than this is the same: it is not worth a system call to set it anew.
const SAME: Duration = Duration::from_micros(2);

/// The longest sleep: a hundred years. The kernel counts nanoseconds in 63 bits, which are no more than 292.
const LONGEST: Duration = Duration::from_secs(100 * 31_556_952);

/// A timer that wakes the selector.
#[derive(Debug)]
pub(super) struct Timer {
    timer: TimerFd,
    /// When it will go off.
    set_to: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Timer> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Timer {
            timer,
            set_to: None,
        })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.timer.as_fd().as_raw_fd()
    }

    /// Goes off in `delay`, which is not zero. Returns what is left for the selector to see to: nothing, or all of it
    /// if the timer cannot be set.
    ///
    /// It is never read: each time that it goes off it is told anew, since the selector is told of edges.
    pub(super) fn wake_in(&mut self, delay: Duration) -> Option<Duration> {
        let now = Instant::now();
        let due = now.checked_add(delay)?;
        if self.set_to.is_some_and(|set_to| {
            set_to > now && set_to.max(due).duration_since(set_to.min(due)) < SAME
        }) {
            return None;
        }
        let nanoseconds = i64::try_from(delay.min(LONGEST).as_nanos()).unwrap_or(i64::MAX);
        let once = Expiration::OneShot(TimeSpec::nanoseconds(nanoseconds));
        match self.timer.set(once, TimerSetTimeFlags::empty()) {
            Ok(()) => {
                self.set_to = Some(due);
                None
            }
            Err(_) => Some(delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timer;
    use crate::net::{MioNet, Net};
    use std::time::Duration;

    #[test]
    fn a_sleep_may_be_longer_than_the_kernel_can_count() {
        for delay in [Duration::from_nanos(u64::MAX), Duration::MAX] {
            let mut timer = Timer::new().unwrap();
            assert_eq!(timer.wake_in(delay), None);
        }
    }

    #[test]
    fn a_sleep_ends_within_the_millisecond_and_nobody_is_told() {
        let mut net = MioNet::new().unwrap();
        net.keep_time_precisely().unwrap();
        let delay = Duration::from_micros(300);
        let mut ready = Vec::new();
        let mut slept = Vec::new();
        for _ in 0..50 {
            let before = net.now();
            net.wait(Some(delay), &mut ready).unwrap();
            slept.push(net.now().since(before));
            assert!(ready.is_empty(), "{ready:?}");
        }
        // It may be a moment early by what it takes to set the timer, never by a whole sleep.
        assert!(slept.iter().all(|slept| *slept > delay / 2), "{slept:?}");
        let best = slept.iter().min().unwrap();
        assert!(*best < Duration::from_micros(900), "{slept:?}");
    }
}
