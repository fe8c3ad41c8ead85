//! Connecting to a server by name: its addresses are tried in order until one accepts.

use super::Failure;
use crate::connection::{CloseReason, Closed, Connections, Driver};
use crate::net::{Key, Net};
use crate::protocol::Protocol;
use crate::tls::{MaybeTls, TlsError};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// The server to connect to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server as the user named it.
    pub name: String,
    /// The addresses of that name, in the order in which to try them.
    pub addresses: Vec<SocketAddr>,
    /// The local address to connect from; `None`: the kernel chooses.
    pub local: Option<SocketAddr>,
    /// How long to wait for each address; `None`: until the kernel gives up.
    pub connect_timeout: Option<Duration>,
}

/// The attempts to connect to a [`Target`].
#[derive(Debug)]
pub struct Connector {
    target: Target,
    untried: VecDeque<SocketAddr>,
    current: Option<SocketAddr>,
    failed: Vec<(SocketAddr, io::Error)>,
}

impl Connector {
    /// Starts no attempt yet.
    #[must_use]
    pub fn new(target: Target) -> Connector {
        Connector {
            untried: target.addresses.iter().copied().collect(),
            target,
            current: None,
            failed: Vec::new(),
        }
    }

    /// The address tried last; `None` before the first attempt.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.current
    }

    /// The address tried last, or the name before the first attempt.
    #[must_use]
    pub fn peer(&self) -> String {
        let address = self.current.map(|address| address.to_string());
        address.unwrap_or_else(|| self.target.name.clone())
    }

    /// Starts a connection to the next address that does not fail at once.
    ///
    /// # Errors
    /// All addresses have failed; the failure lists the error of each.
    pub fn connect_next<N: Net, P: Protocol>(
        &mut self,
        driver: &mut Driver<P>,
        reactor: &mut Connections<N, P>,
    ) -> Result<Key, Failure> {
        while let Some(address) = self.untried.pop_front() {
            self.current = Some(address);
            log::debug!("connecting to {address}");
            match driver.connect(reactor, address, self.target.local, 0) {
                Ok(key) => return Ok(key),
                Err(error) => self.failed.push((address, error)),
            }
        }
        Err(Failure::Connect {
            name: self.target.name.clone(),
            attempts: std::mem::take(&mut self.failed),
            timeout: self.target.connect_timeout,
            is_bound: self.target.local.is_some(),
        })
    }

    /// As [`on_connect_error`](Connector::on_connect_error), of a client of `protocol`: over TLS, the handshake may have
    /// failed.
    pub(super) fn on_not_established<P>(
        &mut self,
        mut closed: Closed,
        protocol: &impl MaybeTls<P>,
        key: Key,
    ) {
        let failure = protocol.tls_failure(key).cloned();
        let is_handshaking = |reason| {
            !matches!(
                reason,
                CloseReason::ConnectFailed | CloseReason::ConnectTimeout
            )
        };
        if let Some(error) = failure {
            closed.error = Some(io::Error::other(error));
        } else if is_handshaking(closed.reason) && protocol.has_handshake() {
            closed.error = Some(io::Error::other(TlsError::of_close(closed.reason)));
        }
        self.on_connect_error(closed);
    }

    /// Records why the last attempt failed.
    pub fn on_connect_error(&mut self, closed: Closed) {
        if let Some(address) = self.current {
            let error = closed.error.unwrap_or_else(|| ErrorKind::TimedOut.into());
            log::debug!("cannot connect to {address}: {}", describe(&error));
            self.failed.push((address, error));
        }
    }
}

/// The text of an error, without the error number that the standard library appends.
pub(super) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((description, _)) => description.to_owned(),
        None => text,
    }
}
