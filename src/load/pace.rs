//! When messages are due: a constant rate, distributed over the lanes in turn.
//!
//! The schedule is computed, not stored: the due time of a message follows from its number. So messages queued for a
//! stalled server cost no memory and none is lost.

use crate::time::Time;
use std::time::Duration;

/// A constant rate of messages over several lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    origin: Time,
    nanoseconds_each: f64,
    lanes: u64,
}

impl Pace {
    /// `per_second` messages over `lanes`, the first due at `origin`. Both must be greater than zero.
    #[must_use]
    pub fn new(origin: Time, per_second: f64, lanes: u32) -> Pace {
        debug_assert!(per_second > 0.0 && lanes > 0);
        Pace {
            origin,
            nanoseconds_each: 1e9 / per_second,
            lanes: u64::from(lanes),
        }
    }

    /// When message `index`, counted over all lanes, is due.
    ///
    /// Computed from the index, so that rounding errors do not accumulate. Exact to the nanosecond for the first 104 days
    /// (2^53 ns).
    #[inline]
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and rounded"
    )]
    pub fn due(&self, index: u64) -> Time {
        let after = (index as f64 * self.nanoseconds_each).round() as u64;
        self.origin + Duration::from_nanos(after)
    }

    /// The number of messages, counted over all lanes, that are due before `time`: the index of the first one that is not.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, corrected below"
    )]
    #[inline(never)]
    pub fn count_before(&self, time: Time) -> u64 {
        let nanoseconds = time.since(self.origin).as_nanos() as f64;
        let mut index = (nanoseconds / self.nanoseconds_each) as u64;
        while index > 0 && self.due(index - 1) >= time {
            index -= 1;
        }
        while self.due(index) < time {
            index += 1;
        }
        index
    }

    /// The number of messages of one lane that are due before `time`.
    #[must_use]
    pub fn count_on_lane_before(&self, lane: u32, time: Time) -> u64 {
        let all = self.count_before(time);
        all.saturating_sub(u64::from(lane)).div_ceil(self.lanes)
    }

    /// The number of lanes.
    #[inline]
    #[must_use]
    pub fn lanes(&self) -> u64 {
        self.lanes
    }

    /// The lane of message `index`.
    #[inline]
    #[must_use]
    pub fn lane(&self, index: u64) -> u32 {
        // `lanes` was converted from 32 bits.
        u32::try_from(index % self.lanes).unwrap_or(u32::MAX)
    }

    /// When message `number` of a lane, counted on that lane, is due.
    #[inline]
    #[must_use]
    pub fn due_at(&self, lane: u32, number: u64) -> Time {
        self.due(u64::from(lane) + number * self.lanes)
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "compared with a tolerance")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rate_neither_drifts_nor_bunches(per_second in 0.1_f64..5e6, lanes in 1_u32..1000, index in 0_u64..1_000_000_000, origin in 0_u64..1 << 40) {
            let pace = Pace::new(Time::from_nanos(origin), per_second, lanes);
            let due = pace.due(index).as_nanos() - origin;
            let exact = index as f64 / per_second * 1e9;
            prop_assert!((due as f64 - exact).abs() <= 1.0 + exact * 1e-12, "{due} for {exact}");
            let gap = pace.due(index + 1).since(pace.due(index)).as_nanos() as f64;
            prop_assert!((gap - 1e9 / per_second).abs() <= 1.5 + exact * 1e-12, "{gap}");
        }

        #[test]
        fn count_before_a_time_is_the_index_of_the_first_due_then(per_second in 0.1_f64..5e7, lanes in 1_u32..50, nanoseconds in 0_u64..1 << 42) {
            let origin = 1 << 20;
            let pace = Pace::new(Time::from_nanos(origin), per_second, lanes);
            let time = Time::from_nanos(nanoseconds);
            let count = pace.count_before(time);
            prop_assert!(pace.due(count) >= time);
            prop_assert!(count == 0 || pace.due(count - 1) < time);
            let of_lanes = (0..lanes).map(|lane| pace.count_on_lane_before(lane, time));
            prop_assert_eq!(of_lanes.sum::<u64>(), count);
            let number = pace.count_on_lane_before(lanes - 1, time);
            prop_assert!(pace.due_at(lanes - 1, number) >= time);
        }

        #[test]
        fn every_message_belongs_to_exactly_one_lane(lanes in 1_u32..100, index in 0_u64..1 << 40) {
            let pace = Pace::new(Time::ZERO, 1000.0, lanes);
            let lane = pace.lane(index);
            prop_assert!(lane < lanes);
            let number = index / u64::from(lanes);
            prop_assert_eq!(pace.due_at(lane, number), pace.due(index));
        }
    }
}
