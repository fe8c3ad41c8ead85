//! Limits how often a warning is logged, and counts the suppressed ones.

use crate::net::Time;
use std::time::Duration;

/// The shortest time between two log lines of the same warning.
const INTERVAL: Duration = Duration::from_secs(5);

/// Decides whether a warning is logged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throttle {
    last_logged: Option<Time>,
    suppressed: u64,
}

impl Throttle {
    /// The state: the time of the last line in nanoseconds, and the number of suppressed warnings.
    pub(super) fn save(&self) -> (Option<u64>, u64) {
        (self.last_logged.map(Time::as_nanos), self.suppressed)
    }

    pub(super) fn restore((last_logged, suppressed): (Option<u64>, u64)) -> Throttle {
        Throttle {
            last_logged: last_logged.map(Time::from_nanos),
            suppressed,
        }
    }

    /// Logs a warning, unless it is suppressed.
    #[cold]
    pub(super) fn warn(&mut self, now: Time, text: &dyn Fn() -> String) {
        if let Some(suppressed) = self.count(now) {
            log::warn!("{}{}", text(), more(suppressed));
        }
    }

    /// Counts a warning. If it is to be logged, returns how many were suppressed since the last.
    fn count(&mut self, now: Time) -> Option<u64> {
        match self.last_logged {
            Some(last) if now < last + INTERVAL => {
                self.suppressed += 1;
                None
            }
            _ => {
                self.last_logged = Some(now);
                Some(std::mem::take(&mut self.suppressed))
            }
        }
    }
}

/// The number of suppressed warnings, for the end of a log line.
fn more(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        count => format!(" ({count} more since the last such line)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_suppressed_warnings_ends_the_line() {
        assert_eq!(more(0), "");
        assert_eq!(more(17), " (17 more since the last such line)");
    }

    #[test]
    fn warning_is_logged_every_5_s_with_count_of_suppressed() {
        let at = |milliseconds| Time::ZERO + Duration::from_millis(milliseconds);
        let mut throttle = Throttle::default();
        assert_eq!(throttle.count(at(0)), Some(0));
        assert_eq!(throttle.count(at(1)), None);
        assert_eq!(throttle.count(at(4999)), None);
        assert_eq!(throttle.count(at(5000)), Some(2));
        assert_eq!(throttle.count(at(10_000)), Some(0));
    }
}
