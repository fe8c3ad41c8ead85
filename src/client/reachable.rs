//! Choosing one address of a name for many connections: the first that accepts a connection.

use super::connector::{Connector, Target};
use super::failure::Failure;
use crate::connection::{
    Classes, CloseReason, Common, Connection, Connections, Driver, Limits, Timeouts,
};
use crate::net::{Key, Net, Readiness, Source, Time};
use crate::protocol::{Discard, DiscardSession};
use crate::reactor::{Handler, Reactor};
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
        reactor.turn(&mut finder).map_err(Failure::Loop)?;
    }
}

impl Finder {
    fn connect<N: Net>(&mut self, reactor: &mut Loop<N>) {
        if let Err(failure) = self.connector.connect_next(&mut self.driver, reactor) {
            self.result = Some(Err(failure));
        }
    }

    fn close<N: Net>(&mut self, reactor: &mut Loop<N>, key: Key, reason: CloseReason) {
        let Some(closed) = self.driver.close(reactor, key, reason) else {
            return;
        };
        match (reason, self.connector.address()) {
            (CloseReason::ConnectFailed | CloseReason::ConnectTimeout, _) | (_, None) => {
                self.connector.on_connect_error(closed);
                self.connect(reactor);
            }
            (_, Some(address)) => self.result = Some(Ok(address)),
        }
    }
}

impl<N: Net> Handler<N, Connection<DiscardSession>> for Finder {
    fn ready(&mut self, reactor: &mut Loop<N>, key: Key, readiness: Readiness) {
        let ended = self.driver.drive(reactor, key, readiness);
        let class = reactor.find(key).map(|slot| slot.tenant.class());
        let established = (class != Some(Classes::CONNECT)).then_some(CloseReason::SessionDone);
        if let Some(reason) = ended.or(established) {
            self.close(reactor, key, reason);
        }
    }

    fn expired(&mut self, reactor: &mut Loop<N>, key: Key) {
        // Process input first: its event may still be queued in the kernel.
        if let Some(slot) = reactor.find(key) {
            let readiness = Classes::readiness_at_deadline(slot.class());
            self.ready(reactor, key, readiness);
        }
        if reactor.is_expired(key)
            && let Some(slot) = reactor.find(key)
        {
            let reason = slot.tenant.expire();
            self.close(reactor, key, reason);
        }
    }

    fn source_ready(&mut self, _: &mut Loop<N>, _: Source) {}

    fn wake_at(&self) -> Option<Time> {
        None
    }
}
