//! Proxies that forward the connections of clients, and report the address of each client.

use super::ConnectionId;
use core::net::{IpAddr, SocketAddr};
use std::fmt::{self, Debug};

/// The [tag](super::Context::is_admitted) of a connection whose client is not known yet.
pub(crate) const UNADMITTED: u32 = u32::MAX;

/// The proxies from which all connections of a server come ([`Protocol::proxies`](super::Protocol::proxies)).
///
/// The input of such a connection begins with the address of a client. The session [reports](Proxies::report) it, and
/// waits until the server has admitted the client ([`Context::is_admitted`](super::Context::is_admitted)).
pub struct Proxies {
    is_proxy: Box<dyn Fn(IpAddr) -> bool>,
    reported: Option<Report>,
}

/// The last report of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    id: ConnectionId,
    pub(crate) client: Option<SocketAddr>,
}

impl Proxies {
    /// The proxies are the peers with addresses for which `is_proxy` is true; the server resets connections from others.
    /// An IPv4 peer of an IPv6 listener has an IPv4 address.
    pub fn new(is_proxy: impl Fn(IpAddr) -> bool + 'static) -> Proxies {
        Proxies {
            is_proxy: Box::new(is_proxy),
            reported: None,
        }
    }

    /// Reports the client of a connection; `None`: the proxy has opened it for itself, as for a health check, or does not
    /// know the client's address.
    ///
    /// The session then calls [`Outbox::defer`](super::Outbox::defer), and does so again in each call until the client is
    /// admitted. If it is not admitted, the connection is reset.
    pub fn report(&mut self, id: ConnectionId, client: Option<SocketAddr>) {
        self.reported = Some(Report { id, client });
    }

    /// Whether a peer is a proxy.
    pub(crate) fn include(&self, peer: IpAddr) -> bool {
        (self.is_proxy)(peer.to_canonical())
    }

    /// The last report, if it is of this connection.
    #[inline]
    pub(crate) fn take_report(&mut self, id: ConnectionId) -> Option<Report> {
        self.reported.take_if(|report| report.id == id)
    }
}

impl Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("reported", &self.reported)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_proxy_of_ipv6_listener_is_included() {
        let proxies = Proxies::new(|address| address == IpAddr::from([10, 0, 0, 1]));
        assert!(proxies.include("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!proxies.include("::1".parse().unwrap()));
    }

    #[test]
    fn report_is_taken_once_and_for_its_connection_only() {
        let [first, second] = [1, 2].map(|serial| ConnectionId { slot: 0, serial });
        let mut proxies = Proxies::new(|_| true);
        let client = SocketAddr::from(([192, 0, 2, 1], 5555));
        proxies.report(first, Some(client));
        assert_eq!(proxies.take_report(second), None);
        let report = proxies.take_report(first);
        assert_eq!(report.and_then(|report| report.client), Some(client));
        assert_eq!(proxies.take_report(first), None);
    }
}
