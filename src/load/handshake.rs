//! The TLS handshakes of a load: their times, how many were resumed, and why the first one failed.
//!
//! A connection counts as established when its handshake has completed; its connect time ends before, when TCP has
//! established it.

use super::session::EchoClient;
use super::tester::{Loop, Tester};
use super::{ConnectError, Distribution, Handshakes, Observer};
use crate::connection::{Classes, CloseReason};
use crate::net::{Key, Net, Time};
use crate::tls::{MaybeTls, TlsError};
use std::collections::{HashMap, HashSet};

/// Connections that connect or have a handshake in progress, at most, while connections are opened: a quarter of what
/// `serve` admits by default, since other load testers may run.
const MAX_IN_PROGRESS: usize = 256;

/// The handshakes of a load over TLS.
#[derive(Debug, Default)]
pub(super) struct HandshakeTally {
    /// By connection.
    in_progress: HashMap<u32, InProgress>,
    /// Connections whose TLS session has failed, until they are closed.
    failed: HashSet<u32>,
    /// From when TCP has established a connection until its handshake has completed.
    pub(super) times: Distribution,
    pub(super) counts: Handshakes,
    pub(super) first_failure: Option<TlsError>,
}

/// A handshake in progress.
#[derive(Clone, Copy, Debug)]
struct InProgress {
    began: Time,
    /// The connection is not a reconnection.
    is_first: bool,
}

/// What a connection that has closed had failed at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FailedHandshake {
    /// Why, if TLS was the reason.
    pub(super) error: Option<ConnectError>,
    /// Its first handshake was in progress.
    pub(super) was_first: bool,
}

impl HandshakeTally {
    fn fail(&mut self, number: u32, error: &TlsError) {
        self.failed.insert(number);
        self.first_failure.get_or_insert_with(|| error.clone());
    }

    /// A connection has closed for this `reason`.
    fn close(&mut self, number: u32, reason: CloseReason) -> FailedHandshake {
        let in_progress = self.in_progress.remove(&number);
        let has_failed = self.failed.remove(&number);
        // A server that refuses a connection resets it.
        let is_cut = in_progress.is_some() && reason != CloseReason::PeerReset;
        if is_cut && !has_failed {
            let error = TlsError::of_close(reason);
            self.first_failure.get_or_insert(error);
        }
        FailedHandshake {
            error: (has_failed || is_cut).then_some(ConnectError::Tls),
            was_first: in_progress.is_some_and(|handshake| handshake.is_first),
        }
    }
}

impl<C: MaybeTls<EchoClient>, S: Observer> Tester<C, S> {
    fn handshakes(&self) -> Option<&HandshakeTally> {
        self.tally.handshakes.as_deref()
    }

    /// Whether the handshake of a connection is in progress.
    pub(super) fn is_handshaking(&self, number: u32) -> bool {
        let handshakes = self.handshakes();
        handshakes.is_some_and(|all| all.in_progress.contains_key(&number))
    }

    /// Whether any handshake is in progress.
    pub(super) fn is_any_handshaking(&self) -> bool {
        let handshakes = self.handshakes();
        handshakes.is_some_and(|all| !all.in_progress.is_empty())
    }

    /// Whether no connection is to be opened before a handshake has completed.
    pub(super) fn has_most_handshakes(&self) -> bool {
        self.handshakes().is_some_and(|all| {
            let connecting = self.connector.connecting.len();
            all.in_progress.len() + connecting >= MAX_IN_PROGRESS
        })
    }

    /// With TLS, called after a connection was driven: it may be established by TCP now, or its session may have failed.
    pub(super) fn watch_handshake<N: Net>(&mut self, reactor: &mut Loop<N, C>, key: Key) {
        let Some(slot) = reactor.find(key) else {
            return;
        };
        let number = slot.tenant.tag();
        let is_handshaking = slot.tenant.class() == Classes::HANDSHAKE;
        let failure = self.driver.common.protocol.tls_failure(key);
        if let (Some(error), Some(handshakes)) = (failure, &mut self.tally.handshakes) {
            handshakes.fail(number, error);
        }
        if is_handshaking && !self.is_handshaking(number) {
            let now = reactor.net.now();
            self.begin_handshake(reactor, number, now);
        }
    }

    /// TCP has established a connection.
    fn begin_handshake<N: Net>(&mut self, reactor: &mut Loop<N, C>, number: u32, now: Time) {
        let is_first = self.on_connected(reactor, number, now);
        let began = InProgress {
            began: now,
            is_first,
        };
        if let Some(handshakes) = &mut self.tally.handshakes {
            handshakes.in_progress.insert(number, began);
        }
    }

    /// The handshake of a connection has completed; returns whether the connection is not a reconnection.
    pub(super) fn end_handshake<N: Net>(
        &mut self,
        reactor: &mut Loop<N, C>,
        number: u32,
        now: Time,
    ) -> bool {
        if !self.is_handshaking(number) {
            // The server's reply arrived before the connection was driven a second time.
            let began = reactor.now();
            self.begin_handshake(reactor, number, began);
        }
        let completed = self.driver.common.protocol.take_handshake();
        let Some(handshakes) = &mut self.tally.handshakes else {
            return false;
        };
        let Some(InProgress { began, is_first }) = handshakes.in_progress.remove(&number) else {
            return false;
        };
        handshakes.times.record(now.since(began));
        if completed.is_some_and(|completed| completed.is_resumed) {
            handshakes.counts.resumed += 1;
        } else {
            handshakes.counts.full += 1;
        }
        is_first
    }

    /// A connection has closed: whether its handshake, or its TLS session after that, has failed.
    pub(super) fn close_handshake(&mut self, number: u32, reason: CloseReason) -> FailedHandshake {
        let handshakes = self.tally.handshakes.as_mut();
        handshakes.map_or_else(FailedHandshake::default, |all| all.close(number, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_handshake_is_an_error_of_tls_and_a_reset_is_not() {
        let mut tally = HandshakeTally::default();
        let first = InProgress {
            began: Time::ZERO,
            is_first: true,
        };
        for (reason, error) in [
            (CloseReason::PeerReset, None),
            (CloseReason::HandshakeTimeout, Some(ConnectError::Tls)),
            (CloseReason::PeerClosed, Some(ConnectError::Tls)),
        ] {
            tally.in_progress.insert(7, first);
            let failed = tally.close(7, reason);
            assert_eq!((failed.error, failed.was_first), (error, true), "{reason}");
        }
        let reason = tally.first_failure.as_ref().unwrap().to_string();
        assert!(reason.contains("in time"), "{reason}");
    }

    #[test]
    fn failure_after_the_handshake_is_an_error_of_tls() {
        let mut tally = HandshakeTally::default();
        tally.fail(3, &TlsError::of_close(CloseReason::PeerClosed));
        let failed = tally.close(3, CloseReason::Malformed);
        assert_eq!(failed.error, Some(ConnectError::Tls));
        assert!(!failed.was_first);
        let other = tally.close(3, CloseReason::Malformed);
        assert_eq!(other.error, None);
    }
}
