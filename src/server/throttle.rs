//! Warnings that would repeat: said once in a while, with a count of those left unsaid.

use crate::net::Time;
use std::time::Duration;

/// How long a warning is silent after it was said.
const SILENCE: Duration = Duration::from_secs(5);

/// Decides whether a warning is to be said now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throttle {
    said: Option<Time>,
    unsaid: u64,
}

impl Throttle {
    /// Counts one occurrence. When it is to be said: how many were not since the last time.
    pub(super) fn occur(&mut self, now: Time) -> Option<u64> {
        match self.said {
            Some(said) if now < said + SILENCE => {
                self.unsaid += 1;
                None
            }
            _ => {
                self.said = Some(now);
                Some(std::mem::take(&mut self.unsaid))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_said_once_in_five_seconds_with_a_count_of_the_rest() {
        let at = |milliseconds| Time::ZERO + Duration::from_millis(milliseconds);
        let mut throttle = Throttle::default();
        assert_eq!(throttle.occur(at(0)), Some(0));
        assert_eq!(throttle.occur(at(1)), None);
        assert_eq!(throttle.occur(at(4999)), None);
        assert_eq!(throttle.occur(at(5000)), Some(2));
        assert_eq!(throttle.occur(at(10_000)), Some(0));
    }
}
