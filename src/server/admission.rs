//! Which clients are admitted, by address, and how many per second are accepted.

use crate::net::Time;
use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Decides by the address of a client whether it is admitted.
pub(super) struct AddressFilter(Option<Box<dyn Fn(IpAddr) -> bool>>);

impl AddressFilter {
    pub(super) const NONE: AddressFilter = AddressFilter(None);

    pub(super) fn new(admits: impl Fn(IpAddr) -> bool + 'static) -> AddressFilter {
        AddressFilter(Some(Box::new(admits)))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let admits = self.0.as_ref();
        admits.is_none_or(|admits| admits(address.to_canonical()))
    }
}

impl Debug for AddressFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddressFilter")
            .field(&self.is_set())
            .finish()
    }
}

/// Limits the connections accepted per second, with a burst of those of one second: a token bucket that holds `rate`
/// tokens. Its state is the time at which it is full again.
#[derive(Debug)]
pub(super) struct AcceptRate {
    /// The time in which one token is added.
    interval: Duration,
    full_at: Time,
    /// The bucket was empty at the last attempt.
    is_limiting: bool,
}

impl AcceptRate {
    pub(super) fn new(per_second: u32) -> AcceptRate {
        AcceptRate {
            interval: SECOND / per_second.max(1),
            full_at: Time::ZERO,
            is_limiting: false,
        }
    }

    /// The time of the next token, if there is none; and whether that ended a burst.
    pub(super) fn wait_until(&mut self, now: Time) -> Option<(Time, bool)> {
        let missing = self.full_at.since(now);
        let capacity = SECOND.saturating_sub(self.interval);
        let wait = missing
            .checked_sub(capacity)
            .filter(|wait| !wait.is_zero())?;
        let is_first = !std::mem::replace(&mut self.is_limiting, true);
        Some((now + wait, is_first))
    }

    /// Takes a token.
    pub(super) fn count(&mut self, now: Time) {
        self.full_at = self.full_at.max(now) + self.interval;
        self.is_limiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::ZERO + Duration::from_millis(milliseconds)
    }

    /// Takes all tokens that are there, and returns their number.
    fn take_all(rate: &mut AcceptRate, now: Time) -> u32 {
        let mut taken = 0;
        while rate.wait_until(now).is_none() {
            rate.count(now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn burst_of_one_second_is_followed_by_the_rate() {
        let mut rate = AcceptRate::new(100);
        assert_eq!(take_all(&mut rate, at(5000)), 100);
        assert_eq!(
            rate.wait_until(at(5000)).map(|(time, _)| time),
            Some(at(5010))
        );
        assert_eq!(take_all(&mut rate, at(5009)), 0);
        assert_eq!(take_all(&mut rate, at(5010)), 1);
        assert_eq!(take_all(&mut rate, at(5510)), 50);
        assert_eq!(
            take_all(&mut rate, at(60_000)),
            100,
            "no more than a second's"
        );
    }

    #[test]
    fn rate_of_one_admits_one_per_second() {
        let mut rate = AcceptRate::new(1);
        assert_eq!(take_all(&mut rate, at(0)), 1);
        assert_eq!(
            rate.wait_until(at(300)).map(|(time, _)| time),
            Some(at(1000))
        );
        assert_eq!(take_all(&mut rate, at(1000)), 1);
    }

    #[test]
    fn rate_above_one_per_nanosecond_does_not_limit() {
        let mut rate = AcceptRate::new(u32::MAX);
        for _ in 0..1000 {
            assert_eq!(rate.wait_until(at(1)), None);
            rate.count(at(1));
        }
    }

    #[test]
    fn only_the_first_attempt_without_a_token_is_reported() {
        let mut rate = AcceptRate::new(2);
        take_all(&mut rate, at(0));
        let mut is_first = |now| rate.wait_until(now).map(|(_, is_first)| is_first);
        assert_eq!(is_first(at(1)), Some(false), "take_all was the first");
        assert_eq!(is_first(at(2)), Some(false));
        take_all(&mut rate, at(500));
        rate.count(at(500));
        assert_eq!(
            rate.wait_until(at(500)).map(|(_, is_first)| is_first),
            Some(true)
        );
    }

    #[test]
    fn mapped_address_is_filtered_as_ipv4() {
        let filter = AddressFilter::new(|address| address.is_ipv4());
        assert!(filter.admits("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!filter.admits("2001:db8::1".parse().unwrap()));
        assert!(AddressFilter::NONE.admits("2001:db8::1".parse().unwrap()));
    }
}
