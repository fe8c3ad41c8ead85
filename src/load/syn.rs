//! SYN retransmits of the load's own connections, inferred from how long each connect took.
//!
//! The kernel counts SYN retransmits of a whole network namespace (`TCPSynRetrans`), which includes those of other programs.
//! The retransmits of one connection follow from the kernel's retransmission timer: a connection that was still connecting
//! one second after connect(2) has had one.

use super::Observer;
use super::session::EchoClient;
use super::tester::{Loop, Tester};
use crate::connection::CloseReason;
use crate::net::{Key, Net, Stream, Time};
use crate::tls::MaybeTls;
use std::time::Duration;

/// When the kernel retransmits a SYN: one second after it was sent (RFC 6298, 2.1), then after intervals that double.
/// Since version 6.5 Linux repeats the first interval several times before doubling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynTimers {
    /// Additional intervals of one second before they double (`net.ipv4.tcp_syn_linear_timeouts`); 0 as in RFC 6298.
    pub linear: u32,
    /// Retransmits before the kernel gives up, in addition to the linear ones (`net.ipv4.tcp_syn_retries`).
    pub retries: u32,
}

impl Default for SynTimers {
    /// As in RFC 6298, and the kernel's default of six retransmits (tcp(7)).
    fn default() -> SynTimers {
        SynTimers {
            linear: 0,
            retries: 6,
        }
    }
}

impl SynTimers {
    /// The number of retransmits of a SYN that has had no answer for `waited`.
    ///
    /// Without linear intervals: at 1 s, 3 s, 7 s and so on: floor(log2(seconds + 1)). The kernel's limit of 120 s for an
    /// interval is ignored: it matters only after more than two minutes.
    #[must_use]
    pub fn retransmits(self, waited: Duration) -> u64 {
        let regular = u64::from(self.linear) + 1;
        let seconds = waited.as_secs();
        let sent = match seconds.checked_sub(regular) {
            None => seconds,
            // Then intervals of 2 s, 4 s, 8 s and so on.
            Some(doubling) => regular + u64::from((doubling / 2 + 1).ilog2()),
        };
        sent.min(u64::from(self.linear) + u64::from(self.retries))
    }
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    /// Counts the SYN retransmits of a connection that began to connect at `began` and is now established.
    pub(super) fn count_syn_retransmits<N: Net>(&mut self, reactor: &Loop<N, C>, began: Time) {
        let connected = self.waits.event_not_before(reactor.now());
        self.tally.retransmitted += self.syn_timers.retransmits(connected.since(began));
    }

    /// Counts the SYN retransmits of a connection that has closed for this `reason`, if it was connecting. Called before
    /// its socket is closed.
    pub(super) fn count_syn_retransmits_of_failed<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        key: Key,
        reason: CloseReason,
    ) {
        let Some(slot) = reactor.find(key) else {
            return;
        };
        let number = slot.tenant.tag();
        let Some(began) = self.connecting_since(number) else {
            return;
        };
        // The state of the socket decides: the answer may have arrived while this process was stopped.
        let is_connecting = reason == CloseReason::ConnectTimeout
            && slot.stream.connected().is_ok_and(|connected| !connected);
        if is_connecting {
            let waited = reactor.net.now().since(began);
            self.tally.retransmitted += self.syn_timers.retransmits(waited);
        } else {
            self.count_syn_retransmits(reactor, began);
        }
    }

    /// Counts the SYN retransmits of all connections that are still connecting at the end.
    pub(super) fn count_syn_retransmits_of_connecting<N: Net>(&mut self, reactor: &mut Loop<N, C>) {
        let mut lanes = self.client().lanes.iter();
        let is_reconnecting = lanes.any(|lane| lane.connecting_since.is_some());
        if !is_reconnecting && self.connector.connecting.is_empty() {
            return;
        }
        for index in 0..reactor.slots_end() {
            if let Some(key) = reactor.key_at(index) {
                self.count_syn_retransmits_of_failed(reactor, key, CloseReason::ConnectTimeout);
            }
        }
    }

    /// When a connection that is connecting began.
    pub(super) fn connecting_since(&mut self, number: u32) -> Option<Time> {
        if self.is_handshaking(number) {
            return None;
        }
        let reconnecting = self.lane(number).and_then(|lane| lane.connecting_since);
        reconnecting.or_else(|| self.connector.connecting.get(&number).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The retransmits after each of these waits.
    fn after(timers: SynTimers, milliseconds: &[u64]) -> Vec<u64> {
        let waits = milliseconds.iter().copied().map(Duration::from_millis);
        waits.map(|waited| timers.retransmits(waited)).collect()
    }

    #[test]
    fn intervals_double_from_one_second_as_in_rfc_6298() {
        let timers = SynTimers::default();
        let waits = [0, 999, 1_000, 2_999, 3_000, 6_999, 7_000, 14_999, 15_000];
        assert_eq!(after(timers, &waits), [0, 0, 1, 1, 2, 2, 3, 3, 4]);
        for count in 1..=6_u32 {
            let at = Duration::from_secs((1 << count) - 1);
            let before = at.saturating_sub(Duration::from_nanos(1));
            let counted = [before, at].map(|waited| timers.retransmits(waited));
            assert_eq!(counted, [u64::from(count) - 1, u64::from(count)]);
        }
    }

    #[test]
    fn linear_intervals_precede_those_that_double() {
        // From the kernel's documentation: "1, 1, 1, 1, 1, 2, 4, ..." (ip-sysctl, tcp_syn_linear_timeouts).
        let timers = SynTimers {
            linear: 4,
            retries: 6,
        };
        let waits = [
            999, 1_000, 2_000, 4_999, 5_000, 6_999, 7_000, 10_999, 11_000,
        ];
        assert_eq!(after(timers, &waits), [0, 1, 2, 4, 5, 5, 6, 6, 7]);
    }

    #[test]
    fn retransmits_are_limited_by_the_retries_setting() {
        let timers = SynTimers {
            linear: 0,
            retries: 2,
        };
        assert_eq!(after(timers, &[3_000, 7_000, u64::MAX]), [2, 2, 2]);
        let timers = SynTimers {
            linear: u32::MAX,
            retries: u32::MAX,
        };
        assert_eq!(after(timers, &[4_000]), [4]);
    }
}
