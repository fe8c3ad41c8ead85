//! The buffer memory of a server, added up over its connections.

use echoloop::net::Net;
use echoloop::protocol::Protocol;
use echoloop::server::Server;

/// As [`Server::buffered`], but added up over the connections.
pub fn count_buffered<N: Net, P: Protocol>(server: &mut Server<N, P>) -> usize {
    let (reactor, driver) = server.parts();
    let slots = 0..reactor.slots_end();
    let footprint = |index| {
        let slot = reactor.find(reactor.key_at(index)?)?;
        Some(slot.tenant.footprint(&driver.common.pool))
    };
    slots.filter_map(footprint).sum()
}
