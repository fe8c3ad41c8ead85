//! Points in time: nanoseconds on a monotonic clock.
//!
//! A plain number and not `Instant`, so that a simulation can choose it and the state of a connection can be
//! serialized. Time is an argument: sessions get it, but have no access to a clock.

use std::ops::Add;
use std::time::Duration;

/// A point in time: nanoseconds since an origin that the [`Net`](crate::net::Net) defines.
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

    /// The duration from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point `duration` earlier; the origin if that is out of range.
    #[must_use]
    pub fn before(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(nanoseconds))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// The point `duration` later; the largest value (584 years) if that is out of range.
    fn add(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanoseconds))
    }
}

/// A duration as the command line takes it, with the largest unit of at most its length: `10s`, `1.5ms`, `131us`.
#[must_use]
pub fn in_units(duration: Duration) -> String {
    format!("{duration:?}").replace('\u{b5}', "u")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_and_differences_saturate() {
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

    #[test]
    fn durations_have_ascii_units() {
        for (nanoseconds, text) in [
            (0, "0ns"),
            (131_000, "131us"),
            (1_500_000, "1.5ms"),
            (10_000_000_000, "10s"),
        ] {
            assert_eq!(in_units(Duration::from_nanos(nanoseconds)), text);
        }
    }
}
