//! Choosing one address of a name for many connections: the first that accepts a connection.

use super::connector::{Connector, Target};
use super::failure::Failure;
use crate::connection::{
    Classes, CloseReason, Closed, Common, Connections, Driver, Limits, Owner, Timeouts,
};
use crate::net::{Key, Net};
use crate::protocol::Discard;
use crate::reactor::Reactor;
use std::net::SocketAddr;
use std::time::Duration;

/// The event loop.
type Loop<N> = Connections<N, Discard>;

struct Finder {
    driver: Driver<Discard>,
    connector: Connector,
    result: Option<Result<SocketAddr, Failure>>,
}

/// Connects to the addresses of `target` in order, closes the first connection that is established, and returns its
/// address. A single address is returned without a connection.
///
/// # Errors
/// No address accepts a connection, or the event loop fails.
pub fn find_reachable<N: Net>(net: N, target: Target) -> Result<SocketAddr, Failure> {
    if let [address] = target.addresses[..] {
        return Ok(address);
    }
    let timeouts = Timeouts {
        connect: target.connect_timeout,
        ..Timeouts::default()
    };
    let mut reactor = Reactor::new(net, timeouts.by_class(), Duration::ZERO);
    let mut finder = Finder {
        driver: Driver::new(Common::new(Discard, Limits::default(), usize::MAX)),
        connector: Connector::new(target),
        result: None,
    };
    finder.connect(&mut reactor);
    loop {
        if let Some(result) = finder.result {
            return result;
        }
        finder.run_iteration(&mut reactor).map_err(Failure::Loop)?;
    }
}

impl Finder {
    fn connect<N: Net>(&mut self, reactor: &mut Loop<N>) {
        if let Err(failure) = self.connector.connect_next(&mut self.driver, reactor) {
            self.result = Some(Err(failure));
        }
    }
}

impl<N: Net> Owner<N, Discard> for Finder {
    fn driver(&mut self) -> &mut Driver<Discard> {
        &mut self.driver
    }

    fn driven(
        &mut self,
        reactor: &mut Loop<N>,
        key: Key,
        ended: Option<CloseReason>,
    ) -> Option<CloseReason> {
        let class = reactor.find(key).map(|slot| slot.tenant.class());
        let established = (class != Some(Classes::CONNECT)).then_some(CloseReason::SessionDone);
        ended.or(established)
    }

    fn closed(&mut self, reactor: &mut Loop<N>, _: Key, closed: Closed) {
        match (closed.reason, self.connector.address()) {
            (CloseReason::ConnectFailed | CloseReason::ConnectTimeout, _) | (_, None) => {
                self.connector.on_connect_error(closed);
                self.connect(reactor);
            }
            (_, Some(address)) => self.result = Some(Ok(address)),
        }
    }
}
