//! Which end of the load is the limit: the server, or this process.

use super::Generator;
use super::tally::{Tally, ratio};
use crate::numbers::as_f64;

/// If the p99 of the schedule lag is above this, the times are not those of the server alone.
pub(super) const MAX_LAG_US: u64 = 1000;

/// The share of the messages due that must be answered. It is below 1 because replies to the last messages arrive after the
/// end of the measured part.
const MIN_RATE_REACHED: f64 = 0.99;

/// The largest share of the time that a busy load tester waits for events: what the system calls take.
const MAX_WAITED_IF_BUSY: f64 = 0.2;

/// The least CPU time of a busy load tester, in percent of one CPU: less if other programs use the CPU.
const MIN_CPU_IF_BUSY: f64 = 70.0;

impl Tally {
    /// Whether the server did not keep up with the schedule: messages waited although it replied.
    pub(super) fn has_missed_rate(&self) -> bool {
        let answered = as_f64(self.received + self.received_wrong);
        self.is_behind && self.received > 0 && answered < as_f64(self.due) * MIN_RATE_REACHED
    }

    /// Whether this process had hardly any time left: it neither slept nor polled in vain.
    fn is_busy(&self) -> bool {
        let waited = ratio(self.waited.1.as_secs_f64(), self.seconds());
        waited < MAX_WAITED_IF_BUSY
            && self.cpu_percent(|snapshot| snapshot.own_cpu_time) > MIN_CPU_IF_BUSY
    }

    /// Figures of the load tester itself; `rate` is the rate requested.
    pub(super) fn generator(&self, rate: Option<f64>) -> Generator {
        let lag_us = self.lag.summary();
        let is_limit = lag_us.p99 > MAX_LAG_US || (self.has_missed_rate() && self.is_busy());
        Generator {
            cpu_percent: self.cpu_percent(|snapshot| snapshot.own_cpu_time),
            lag_us,
            saturated: rate.is_some() && is_limit,
        }
    }
}
