//! How many handshakes were completed and how many failed, and how long they took.

use super::TlsErrorKind;
use crate::histogram::Histogram;
use std::time::Duration;

/// The handshakes of a server since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakeStats {
    /// Completed with certificates.
    pub full: u64,
    /// Completed with a ticket of an earlier session.
    pub resumed: u64,
    /// The time from the establishment of the connection to the end of the handshake, in nanoseconds.
    pub time: Histogram,
    failed: [u64; TlsErrorKind::ALL.len()],
}

impl HandshakeStats {
    pub(super) fn count_completed(&mut self, took: Duration, is_resumed: bool) {
        if is_resumed {
            self.resumed += 1;
        } else {
            self.full += 1;
        }
        self.time.record_time(took);
    }

    pub(super) fn count_failed(&mut self, kind: TlsErrorKind) {
        self.failed[kind as usize] += 1;
    }

    /// The number of handshakes that failed because of each kind of error.
    pub fn failed(&self) -> impl Iterator<Item = (TlsErrorKind, u64)> {
        TlsErrorKind::ALL.into_iter().zip(self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_counted_by_kind_and_failures_by_cause() {
        let mut stats = HandshakeStats::default();
        stats.count_completed(Duration::from_millis(1), false);
        stats.count_completed(Duration::from_millis(2), true);
        for kind in TlsErrorKind::ALL {
            stats.count_failed(kind);
        }
        stats.count_failed(TlsErrorKind::NotTls);
        assert_eq!((stats.full, stats.resumed), (1, 1));
        assert_eq!(stats.time.sum(), 3_000_000);
        for (kind, count) in stats.failed() {
            assert_eq!(
                count,
                1 + u64::from(kind == TlsErrorKind::NotTls),
                "{kind:?}"
            );
        }
    }
}
