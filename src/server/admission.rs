//! Admission: which connections get a slot, by limits and addresses, and how many per second are accepted.

use super::throttle::Throttle;
use super::{Refusal, Service, Shortage};
use crate::connection::{Connection, Connections, Owner};
use crate::net::{Ending, Net, Time};
use crate::protocol::{Protocol, UNADMITTED};
use std::fmt::{self, Debug};
use std::net::{IpAddr, SocketAddr};
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

impl<N: Net, P: Protocol> Service<N, P> {
    /// Whether the protocol, a limit by address or the log needs the addresses of clients.
    pub(super) fn needs_peer_address(&mut self) -> bool {
        let is_logged = P::IS_LOGGED && log::log_enabled!(log::Level::Debug);
        let is_limited = self.sources.is_some() || self.filter.is_set();
        let is_proxied = self.driver.common.protocol.proxies().is_some();
        P::WANTS_PEER || is_limited || is_proxied || is_logged
    }

    /// Admits an accepted connection, or refuses it. `peer` is its address,
    /// [if needed](Self::needs_peer_address).
    pub(super) fn admit(
        &mut self,
        reactor: &mut Connections<N, P>,
        stream: N::Stream,
        peer: Option<SocketAddr>,
    ) {
        if reactor.len() >= self.config.max_connections {
            self.refuse(reactor, stream, peer, Refusal::MaxConnections);
            return;
        }
        if !self.driver.common.protocol.admits() {
            self.refuse(reactor, stream, peer, Refusal::MaxHandshakes);
            return;
        }
        let source = match self.admit_peer(peer.map(|peer| peer.ip())) {
            Ok(source) => source,
            Err(refusal) => {
                self.refuse(reactor, stream, peer, refusal);
                return;
            }
        };
        let session = self.driver.common.protocol.session();
        let connection = Connection::open(session).tagged(source);
        let key = match reactor.insert(stream, connection, false) {
            Ok(key) => key,
            Err((stream, _)) => {
                if let Some(sources) = &mut self.sources {
                    sources.release(source);
                }
                self.refuse(reactor, stream, peer, Refusal::NoMemory);
                return;
            }
        };
        self.counters.opened += 1;
        if P::IS_LOGGED {
            log::debug!("{key} open {}", shown(peer));
        }
        if source != UNADMITTED {
            let peer = peer.filter(|_| P::WANTS_PEER).map(canonical);
            self.driver.common.protocol.opened(key, peer);
        }
        if let Some(reason) = self.driver.open(reactor, key) {
            self.close(reactor, key, reason);
        } else if self.drain.is_some() {
            // It was in the accept queue when the drain began, and may have got a slot that the drain has visited
            // already.
            self.drain_connection(reactor, key);
        }
    }

    fn refuse(
        &mut self,
        reactor: &mut Connections<N, P>,
        stream: N::Stream,
        peer: Option<SocketAddr>,
        refusal: Refusal,
    ) {
        // FIN would be an empty reply, or a receipt, and would leave the server a socket in TIME_WAIT.
        reactor.net.close(stream, Ending::Reset);
        self.count_refused(peer, refusal, reactor.now());
    }

    /// Counts and logs a refused client.
    pub(super) fn count_refused(&mut self, peer: Option<SocketAddr>, refusal: Refusal, now: Time) {
        self.counters.count_refused(refusal);
        let cause = || {
            let advice = (self.config.advice)(Shortage::Refused(refusal));
            format!("{}{advice}", refusal.text())
        };
        log_refused(&mut self.accepting.refused, now, peer, &cause);
    }
}

/// The usual form of a peer's address: an IPv4 client of a `[::]` listener has an IPv4 address.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, peer.port()),
        // Unchanged: a link-local address needs its interface (`%2`), which is not a part of the IP address.
        _ => peer,
    }
}

/// The address of a peer for the log.
pub(super) fn shown(peer: Option<SocketAddr>) -> String {
    peer.map(canonical)
        .map_or_else(|| "unknown".into(), |peer| peer.to_string())
}

#[cold]
fn log_refused(
    throttle: &mut Throttle,
    now: Time,
    peer: Option<SocketAddr>,
    cause: &dyn Fn() -> String,
) {
    log::debug!("refused {}: {}", shown(peer), cause());
    let text = || format!("refused a connection: {}", cause());
    throttle.warn(now, &text);
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

    #[test]
    fn ipv4_client_of_ipv6_listener_is_shown_as_ipv4() {
        let shown = |text: &str| shown(Some(text.parse().unwrap()));
        assert_eq!(shown("[::ffff:10.1.2.3]:80"), "10.1.2.3:80");
        assert_eq!(shown("[2001:db8::1]:80"), "[2001:db8::1]:80");
        assert_eq!(shown("10.1.2.3:80"), "10.1.2.3:80");
    }

    #[test]
    fn link_local_client_is_shown_with_its_interface() {
        let shown = shown(Some("[fe80::1%2]:80".parse().unwrap()));
        assert_eq!(shown, "[fe80::1%2]:80");
    }
}
