//! All figures at one moment, as plain data.

use super::ProcessFigures;
use crate::server::Figures;
use crate::tls::HandshakeStats;
use crate::upgrade::UpgradeCounts;
use std::fmt::Debug;
use std::time::Duration;

/// All figures at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The protocol, as in the log.
    pub protocol: String,
    /// The time since 1970-01-01 00:00 UTC.
    pub time: Duration,
    /// The figures of the server.
    pub server: Figures,
    /// The messages, of a protocol that has some and counts them.
    pub messages: Option<Messages>,
    /// The TLS handshakes, of a server with TLS.
    pub handshakes: Option<HandshakeStats>,
    /// The upgrades.
    pub upgrades: UpgradeCounts,
    /// Log lines that stderr did not accept.
    pub log_lines_dropped: u64,
    /// The figures of the process.
    pub process: ProcessFigures,
}

/// Messages in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
}

impl Snapshot {
    /// Bytes received and sent.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.server.bytes_in, self.server.bytes_out)
    }
}

/// The name of a variant in snake case, for labels and keys: `PeerClosed` is `peer_closed`.
#[must_use]
pub fn label(variant: impl Debug) -> String {
    let mut label = String::new();
    for character in format!("{variant:?}").chars() {
        if character.is_ascii_uppercase() && !label.is_empty() {
            label.push('_');
        }
        label.push(character.to_ascii_lowercase());
    }
    label
}

#[cfg(test)]
pub(super) fn example() -> Snapshot {
    use crate::connection::CloseReason;
    use crate::server::{IterationStats, Refusal};
    let mut iterations = IterationStats {
        iterations: 3,
        longest: Duration::from_micros(1500),
        ..IterationStats::default()
    };
    for (events, microseconds) in [(1, 3), (1, 40), (700, 1500)] {
        iterations.events.record(events);
        let time = Duration::from_micros(microseconds);
        iterations.time.record_time(time);
    }
    let mut snapshot = Snapshot {
        protocol: "a \"quoted\" \\ name\n<b>".to_owned(),
        time: Duration::from_millis(1_795_340_000_250),
        messages: Some(Messages {
            received: 9,
            sent: 8,
        }),
        handshakes: Some(HandshakeStats::default()),
        upgrades: UpgradeCounts { done: 2, failed: 1 },
        log_lines_dropped: 4,
        process: ProcessFigures {
            started: Duration::from_secs(1_795_339_000),
            cpu: Duration::from_millis(1250),
            resident_bytes: Some(10 << 20),
            open_fds: Some(1017),
            max_fds: 1 << 20,
        },
        ..Snapshot::default()
    };
    let server = &mut snapshot.server;
    server.iterations = Some(iterations);
    (server.bytes_in, server.bytes_out) = (1 << 40, 12);
    server.live = 1000;
    server.max_connections = 20_000;
    server.counters.opened = 1009;
    server.counters.closed[CloseReason::PeerClosed as usize] = 7;
    server.counters.closed[CloseReason::HandshakeTimeout as usize] = 2;
    server.counters.refused[Refusal::MaxPerSource as usize] = 5;
    (server.buffered, server.most_buffered) = (4096, 65_536);
    server.max_buffered = 256 << 20;
    server.evicted = 1;
    server.deadlines.idle = 990;
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::CloseReason;
    use crate::server::Refusal;

    #[test]
    fn label_of_a_variant_is_in_snake_case() {
        assert_eq!(label(CloseReason::PeerClosed), "peer_closed");
        assert_eq!(label(CloseReason::Idle), "idle");
        assert_eq!(label(Refusal::MaxPerSource), "max_per_source");
    }
}
