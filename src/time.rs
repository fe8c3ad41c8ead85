//! Time as the loop sees it: nanoseconds on a clock that only moves forward.
//!
//! A plain number and not `Instant`, so that a simulation can make it up and a connection's state can be written out.
//! This room stands left of all others, because sessions are given the time but may not read a clock.

use std::ops::Add;
use std::time::Duration;

/// A point in time: nanoseconds since an origin that only the [`Net`](crate::net::Net) knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The origin of the clock.
    pub const ZERO: Time = Time(0);

    /// The point `nanoseconds` after the origin.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long it is since `earlier`; zero when that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point `duration` earlier, or the origin where that does not fit.
    #[must_use]
    pub fn before(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(nanoseconds))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// The point `duration` later, or the end of time (year 584 of the process) where that does not fit.
    fn add(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates_and_differences_do_not_go_below_zero() {
        let late = Time::from_nanos(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Time::from_nanos(u64::MAX));
        assert_eq!(Time::ZERO + Duration::MAX, Time::from_nanos(u64::MAX));
        assert_eq!(Time::ZERO.since(late), Duration::ZERO);
        assert_eq!(
            late.before(Duration::from_nanos(1)).as_nanos(),
            u64::MAX - 2
        );
        assert_eq!(late.before(Duration::MAX), Time::ZERO);
        assert_eq!(
            (Time::ZERO + Duration::from_millis(3)).since(Time::ZERO),
            Duration::from_millis(3)
        );
    }
}
