//! The server's figures, from readings of its processes at several moments.

use super::tally::ratio;
use super::{Memory, ServerSide, ServerUsage};
use crate::numbers::as_f64;

/// Readings of the server; none if it was not running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerReadings {
    /// Before the first connect.
    pub before: Option<ServerUsage>,
    /// At the beginning of the measured part.
    pub from: Option<ServerUsage>,
    /// At its end.
    pub to: Option<ServerUsage>,
    /// After it, with no message in flight and all connections established.
    pub drained: Option<ServerUsage>,
}

impl ServerReadings {
    /// The figures for a measured part of this length, with this number of connections held at its end.
    #[must_use]
    pub fn to_result(&self, seconds: f64, held: u64) -> Option<ServerSide> {
        let before = self.before?;
        let during = self.drained.or(self.to).or(self.from)?;
        // Both readings must be of the same kind.
        let (memory, old, new) = match (before.pss_bytes, during.pss_bytes) {
            (Some(old), Some(new)) => (Memory::Pss, old, new),
            _ => (Memory::Rss, before.rss_bytes, during.rss_bytes),
        };
        let cpu_time = |usage: Option<ServerUsage>| usage.map(|usage| usage.cpu_time);
        let used = cpu_time(self.to).unwrap_or_default();
        let used = used.saturating_sub(cpu_time(self.from).unwrap_or_default());
        Some(ServerSide {
            pid: before.pid,
            processes: during.processes,
            memory,
            cpu_percent: ratio(100.0 * used.as_secs_f64(), seconds),
            rss_bytes: new,
            rss_bytes_per_connection: ratio(as_f64(new.saturating_sub(old)), as_f64(held)),
            rss_before_bytes: old,
            rss_after_bytes: 0,
        })
    }
}

impl ServerSide {
    /// Adds the reading after all connections were closed.
    pub fn set_after(&mut self, after: &ServerUsage) {
        self.rss_after_bytes = match self.memory {
            Memory::Rss => after.rss_bytes,
            Memory::Pss => after.pss_bytes.unwrap_or(0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn usage(seconds: u64, rss_bytes: u64, pss_bytes: Option<u64>, processes: u32) -> ServerUsage {
        ServerUsage {
            pid: 7,
            cpu_time: Duration::from_secs(seconds),
            rss_bytes,
            pss_bytes,
            processes,
        }
    }

    #[test]
    fn single_process_is_measured_by_rss_and_a_forked_one_by_pss() {
        let readings = |pss, processes| ServerReadings {
            before: Some(usage(1, 3000, Some(2000), 1)),
            from: Some(usage(2, 3000, None, 1)),
            to: Some(usage(7, 9000, None, processes)),
            drained: Some(usage(7, 9000, pss, processes)),
        };
        let single = readings(None, 1).to_result(10.0, 100).unwrap();
        assert_eq!((single.memory, single.processes), (Memory::Rss, 1));
        assert_eq!((single.rss_before_bytes, single.rss_bytes), (3000, 9000));
        assert!((single.cpu_percent - 50.0).abs() < 1e-9);
        let mut forked = readings(Some(4000), 5).to_result(10.0, 100).unwrap();
        assert_eq!((forked.memory, forked.processes), (Memory::Pss, 5));
        assert_eq!((forked.rss_before_bytes, forked.rss_bytes), (2000, 4000));
        assert!((forked.rss_bytes_per_connection - 20.0).abs() < 1e-9);
        forked.set_after(&usage(8, 3100, Some(2100), 1));
        assert_eq!(forked.rss_after_bytes, 2100);
    }

    #[test]
    fn server_that_has_ended_keeps_the_last_memory() {
        let readings = ServerReadings {
            before: Some(usage(1, 3000, None, 1)),
            from: Some(usage(2, 5000, None, 1)),
            ..ServerReadings::default()
        };
        let result = readings.to_result(10.0, 0).unwrap();
        assert_eq!(result.rss_bytes, 5000);
        assert!(result.cpu_percent.abs() < 1e-9);
        assert_eq!(ServerReadings::default().to_result(1.0, 1), None);
    }
}
