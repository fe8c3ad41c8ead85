//! Clients behind proxies: admitted when the session has reported them.

use super::admission::{canonical, shown};
use super::sources::UNCOUNTED;
use super::{Refusal, Service};
use crate::connection::{CloseReason, Connections};
use crate::net::{Key, Net, Stream};
use crate::protocol::{Protocol, Session, UNADMITTED};
use std::net::{IpAddr, SocketAddr};

impl<N: Net, P: Protocol> Service<N, P> {
    /// Counts a new connection, and returns the number of its source. A proxy is not counted, but its clients are.
    pub(super) fn admit_peer(&mut self, peer: Option<IpAddr>) -> Result<u32, Refusal> {
        match self.driver.common.protocol.proxies() {
            None => self.admit_client(peer),
            Some(proxies) if peer.is_some_and(|peer| proxies.include(peer)) => Ok(UNADMITTED),
            Some(_) => Err(Refusal::NotProxy),
        }
    }

    /// Counts a client, if its address is admitted, and returns the number of its source.
    fn admit_client(&mut self, address: Option<IpAddr>) -> Result<u32, Refusal> {
        if address.is_some_and(|address| !self.filter.admits(address)) {
            return Err(Refusal::Denied);
        }
        match self.sources.as_mut().zip(address) {
            None => Ok(0),
            Some((sources, address)) => sources.admit(address),
        }
    }

    /// Admits the client that a proxy has reported, or refuses it; `None`: the connection is the proxy's own.
    #[cold]
    pub(super) fn admit_reported(
        &mut self,
        reactor: &mut Connections<N, P>,
        key: Key,
        client: Option<SocketAddr>,
    ) -> Option<CloseReason> {
        let slot = reactor.find(key)?;
        if slot.tenant.tag() != UNADMITTED {
            return None;
        }
        let peer = || slot.stream.peer_addr().ok().map(canonical);
        let proxies = self.driver.common.protocol.proxies()?;
        // Some proxies report themselves for their own connections, as HAProxy does in version 1.
        let is_own = |client: SocketAddr| proxies.include(client.ip()) && peer() == Some(client);
        let client = client.map(canonical);
        let client = client.filter(|client| !is_own(*client));
        let admitted = match client {
            None => Ok(UNCOUNTED),
            Some(client) => self.admit_client(Some(client.ip())),
        };
        let tag = match admitted {
            Ok(tag) => tag,
            Err(refusal) => {
                self.count_refused(client, refusal, reactor.now());
                return Some(CloseReason::Refused);
            }
        };
        let wants_proxy = P::WANTS_PEER || log::log_enabled!(log::Level::Debug);
        let proxy = wants_proxy.then(peer).flatten();
        slot.tenant.set_tag(tag);
        if let Some(client) = client
            && P::Session::FIN_IS_RECEIPT
        {
            self.records.keep_client(key, client);
        }
        match client {
            Some(client) => log::debug!("{key} is {client} behind the proxy {}", shown(proxy)),
            None => log::debug!("{key} is of the proxy {} itself", shown(proxy)),
        }
        let peer = client.or(proxy).filter(|_| P::WANTS_PEER);
        self.driver.common.protocol.opened(key, peer);
        None
    }
}
