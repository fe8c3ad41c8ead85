//! When messages are due: a steady rate, dealt out over the connections in turn.
//!
//! The schedule is a rule and not a list. Where a connection cannot send yet, what it owes is found again by counting,
//! so a stalled server costs no memory here, and no message is forgotten.

use crate::time::Time;
use std::time::Duration;

/// A rate of messages over some connections, from a point in time on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    origin: Time,
    nanoseconds_each: f64,
    places: u64,
}

impl Pace {
    /// `per_second` messages over `places` connections, the first of them at `origin`. Both are more than zero.
    #[must_use]
    pub fn new(origin: Time, per_second: f64, places: u32) -> Pace {
        debug_assert!(per_second > 0.0 && places > 0);
        Pace {
            origin,
            nanoseconds_each: 1e9 / per_second,
            places: u64::from(places),
        }
    }

    /// When message `index`, counted over all connections, is due.
    ///
    /// From the index and not from the message before, so that no error adds up. Exact to the nanosecond for the first
    /// 104 days (2^53 ns).
    #[inline]
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and rounded as said"
    )]
    pub fn due(&self, index: u64) -> Time {
        let after = (index as f64 * self.nanoseconds_each).round() as u64;
        self.origin + Duration::from_nanos(after)
    }

    /// Which connection message `index` is for.
    #[inline]
    #[must_use]
    pub fn place(&self, index: u64) -> u32 {
        // Below `places`, which was made of 32 bits.
        u32::try_from(index % self.places).unwrap_or(u32::MAX)
    }

    /// When message `number` of a connection, counted on it alone, is due.
    #[inline]
    #[must_use]
    pub fn due_at(&self, place: u32, number: u64) -> Time {
        self.due(u64::from(place) + number * self.places)
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_precision_loss,
    reason = "compared within what is allowed for"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However long it goes on, the rate is kept: no more and no fewer than it says, to a message.
        #[test]
        fn the_rate_neither_drifts_nor_bunches(per_second in 0.1_f64..5e6, places in 1_u32..1000, index in 0_u64..1_000_000_000, origin in 0_u64..1 << 40) {
            let pace = Pace::new(Time::from_nanos(origin), per_second, places);
            let due = pace.due(index).as_nanos() - origin;
            let exact = index as f64 / per_second * 1e9;
            prop_assert!((due as f64 - exact).abs() <= 1.0 + exact * 1e-12, "{due} for {exact}");
            let gap = pace.due(index + 1).since(pace.due(index)).as_nanos() as f64;
            prop_assert!((gap - 1e9 / per_second).abs() <= 1.5 + exact * 1e-12, "{gap}");
        }

        #[test]
        fn every_message_is_some_connections_and_no_message_two_connections(places in 1_u32..100, index in 0_u64..1 << 40) {
            let pace = Pace::new(Time::ZERO, 1000.0, places);
            let place = pace.place(index);
            prop_assert!(place < places);
            let number = index / u64::from(places);
            prop_assert_eq!(pace.due_at(place, number), pace.due(index));
        }
    }
}
